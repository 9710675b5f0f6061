import assert from "node:assert/strict";
import { neverReplaced, replacementRules } from "../../../diff/plan/replacement";
import { recordSide } from "../../../diff/recorder/record-side";
import { root } from "../../support/environment";
import { keepingWarnings } from "../../support/warnings";
import { changeOf, compareHome, named } from "../../support/diff";

describe("diff: rules of replacement (that the providers follow them is what test/engine/diff.test.ts tries)", () => {
  it("every type that a committed environment registers has a rule, or is known to change in place", async () => {
    const { result } = await keepingWarnings(() => recordSide(root, {}));
    assert.deepEqual(
      result.layers.flatMap(({ error }) => error ?? []),
      [],
    );
    const types = new Set(
      result.layers.flatMap(({ resources }) => resources.filter(({ custom }) => custom).map(({ type }) => type)),
    );
    const known = [...neverReplaced, ...replacementRules.map((rule) => rule.types)];
    assert.deepEqual(
      [...types].filter((type) => !known.some((pattern) => pattern.test(type))),
      [],
    );
  });

  it("every rule says why and where that is known from", () => {
    for (const { types, why, source } of replacementRules)
      assert.ok(why.length > 10 && source.length > 10, String(types));
  });

  it("another id: the machine, and what was made from it", async () => {
    const { stacks } = await compareHome([[["nodes", 2, "vmId"], 204]]);
    assert.deepEqual(
      named(stacks).filter((line) => line.startsWith("home-nodes")),
      [
        "home-nodes debian-3-identity-guard replace",
        "home-nodes debian-3-membership-member replace",
        "home-nodes debian-3-provisioning-guest replace",
        "home-nodes debian-3-restart-step update",
        "home-nodes debian-3-vm-machine replace",
      ],
    );
    assert.match(changeOf(stacks, "debian-3-vm-machine").refused ?? "", /protected/);
  });

  it("a claim's access mode: the claim; its size: in place", async () => {
    const mode = await compareHome([[["volumes", 4, "accessMode"], "ReadWriteMany"]]);
    assert.equal(changeOf(mode.stacks, "grafana-data-claim").operation, "replace");
    const size = await compareHome([[["volumes", 4, "size"], "6Gi"]]);
    assert.deepEqual(named(size.stacks), ["home-volumes grafana-data-claim update"]);
  });

  it("another cluster: everything of the cluster", async () => {
    const { stacks } = await compareHome([[["cluster", "name"], "house"]]);
    const kubernetes = stacks.flatMap(({ resources }) => resources.filter(({ type }) => /^kubernetes:/.test(type)));
    assert.ok(kubernetes.length > 20);
    assert.deepEqual([...new Set(kubernetes.map(({ operation }) => operation))], ["replace"]);
  });
});
