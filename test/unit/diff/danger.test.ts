import assert from "node:assert/strict";
import { acknowledgementOf, acknowledgementsIn, newOnes } from "../../../diff/danger/acknowledge";
import type { Example, Scene, Sketch } from "../../../diff/danger/rule";
import { sceneOf } from "../../../diff/danger/rule";
import { findDangers, rules } from "../../../diff/danger/rules";
import type { RecordedLayer, RecordedResource } from "../../../diff/format";
import { Planner } from "../../../diff/plan/planner";
import { compareHome, type Edit } from "../../support/diff";

const urn = (type: string, name: string): string => `urn:pulumi:home-services::home-cluster::${type}::${name}`;

function recorded(sketches: readonly Sketch[]): RecordedLayer {
  const byName = new Map(sketches.map(({ type, name }) => [name, urn(type, name)]));
  return {
    environment: "home",
    layer: "services",
    stack: "home-services",
    outputs: {},
    error: undefined,
    resources: sketches.map(({ type, name, inputs = {}, options, waitsFor = [] }): RecordedResource => ({
      urn: urn(type, name),
      type,
      name,
      custom: true,
      parent: "",
      provider: "",
      version: "",
      inputs,
      id: name,
      outputs: inputs,
      dependencies: waitsFor.map((other) => byName.get(other) ?? ""),
      propertyDependencies: {},
      aliases: [],
      options: {
        protect: false,
        retainOnDelete: false,
        deleteBeforeReplace: undefined,
        deletedWith: "",
        ignoreChanges: [],
        replaceOnChanges: [],
        importId: "",
        customTimeouts: { create: "", update: "", delete: "" },
        ...options,
      },
    })),
  };
}

function scene({ before, after }: Pick<Example, "before" | "after">): Scene {
  const [one, other] = [recorded(before), recorded(after)];
  const planner = new Planner(one.resources);
  for (const resource of other.resources) planner.register(resource);
  return sceneOf({ stack: "home-services", environment: "home", before: one, after: other, steps: planner.finish() });
}

describe("diff: rules about danger (each on its own examples; that there is no other danger is not proved)", () => {
  it("names are their own, in the form that an acknowledgement takes, and every reason is a sentence", () => {
    assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
    for (const { name, reason } of rules) {
      assert.match(name, /^[a-z]+(-[a-z]+)+$|^quorum$/);
      assert.ok(reason.length > 25, name);
    }
  });

  for (const rule of rules) {
    describe(rule.name, () => {
      for (const example of rule.bad)
        it(`speaks up: ${example.title}`, () => {
          const found = rule.find(scene(example));
          assert.equal(found.length, 1, JSON.stringify(found));
        });
      for (const example of rule.good)
        it(`says nothing: ${example.title}`, () => assert.deepEqual(rule.find(scene(example)), []));
      if (rule.name !== "environment-gone")
        it("has both kinds", () => assert.ok(rule.bad.length > 0 && rule.good.length > 0));
    });
  }

  it("environment-gone speaks up for a stack that only the base has", () => {
    const before = recorded([{ type: "kubernetes:core/v1:Namespace", name: "n" }]);
    const [found] = findDangers(
      [{ stack: "home-services", environment: "home", before, after: undefined, steps: [] }],
      [],
    );
    assert.deepEqual([found?.rule, found?.resource], ["environment-gone", ""]);
  });

  it("a replacement that a preview only names because something is not known yet is no danger", async () => {
    // Longhorn's release changes, so everything that its answer leads to is unknown in a preview.
    const { compared } = await compareHome([[["longhorn", "reservedPercent"], 20]]);
    assert.deepEqual(findDangers(compared, []), []);
  });
});

describe("diff: dangers of edits to the home environment", () => {
  const cases: readonly (readonly [title: string, edits: readonly Edit[], dangers: readonly string[]])[] = [
    ["more cores", [[["nodes", 0, "cores"], 6]], []],
    [
      "a node that may restart",
      [
        [["nodes", 0, "memory"], 14],
        [["nodes", 0, "restart"], true],
      ],
      ["node-restarted debian-1-restart-step"],
    ],
    [
      "another machine under a node that is protected",
      [[["nodes", 2, "vmId"], 204]],
      [
        "node-removed debian-3-membership-member",
        "refused-by-protection debian-3-vm-machine",
        "vm-deleted debian-3-vm-machine",
      ],
    ],
    ["protection taken off", [[["nodes", 2, "protect"], false]], ["protect-removed debian-3-vm-machine"]],
    ["an old node retired", [[["oldNodes", 0, "retired"], true]], ["old-node-retired rancheros-1-machine"]],
    [
      "another address of the ingress",
      [[["ingress", "address"], "192.168.40.4"]],
      ["ingress-address ingress-answers", "ingress-address ingress-own-service"],
    ],
    [
      "client addresses lost",
      [
        [["ingress", "externalTrafficPolicy"], "Cluster"],
        [["ingress", "healthCheckNodePort"], undefined],
      ],
      ["service-traffic ingress-own-service"],
    ],
    [
      "a shorter pool",
      [[["loadBalancer", "pools", 0, "addresses"], "192.168.40.3-192.168.40.5"]],
      ["pool-changed pools-default"],
    ],
    [
      "Longhorn may leave",
      [[["longhorn", "leaving"], true]],
      [
        "longhorn-leaving longhorn-helm-release",
        "retention-lost longhorn-helm-release",
        "retention-lost longhorn-storage-namespace",
        "protect-removed longhorn-helm-release",
        "protect-removed longhorn-storage-namespace",
      ],
    ],
    [
      "fewer backups",
      [[["longhorn", "recurringJobs", 1, "retain"], 7]],
      ["backups-fewer longhorn-jobs-backup-nightly"],
    ],
    [
      "no backup target",
      [
        [["longhorn", "backup"], undefined],
        [["longhorn", "recurringJobs", 1], undefined],
      ],
      ["backups-fewer longhorn-helm-release", "backups-fewer longhorn-jobs-backup-nightly"],
    ],
    ["another access mode", [[["volumes", 4, "accessMode"], "ReadWriteMany"]], ["claim-replaced grafana-data-claim"]],
    ["a volume taken out: its claim is kept", [[["volumes", 4], undefined]], []],
    ["a new volume", [[["volumes", 5], { namespace: "wiki", claim: "pages", oldSize: "1Gi", size: "2Gi" }]], []],
    [
      "another address of a node",
      [[["nodes", 0, "cards", 0, "address"], "192.168.10.31"]],
      ["node-address debian-1-vm-machine"],
    ],
  ];
  for (const [title, edits, dangers] of cases)
    it(`${title}: ${dangers.length === 0 ? "none" : dangers.join(", ")}`, async () => {
      const { compared } = await compareHome(edits);
      const found = findDangers(compared, []).map(({ rule, resource }) => `${rule} ${resource}`);
      assert.deepEqual([...found].sort(), [...dangers].sort());
    });
});

describe("diff: acknowledgements", () => {
  const line = "# diff: accept node-removed debian-3-membership-member: its board is broken, a new one comes";

  it("are comments that name the rule, if need be the resource, and say why", () => {
    assert.deepEqual(
      acknowledgementsIn("Pulumi.home.yaml", `a: b\n  ${line}\r\n// diff: accept quorum: planned for Sunday night\n`),
      [
        {
          file: "Pulumi.home.yaml",
          rule: "node-removed",
          resource: "debian-3-membership-member",
          why: "its board is broken, a new one comes",
        },
        { file: "Pulumi.home.yaml", rule: "quorum", resource: undefined, why: "planned for Sunday night" },
      ],
    );
    for (const other of [
      "# diff: accept quorum",
      "# diff: accept quorum: ok",
      "diff: accept quorum: planned for Sunday night",
      "# diff accept quorum: planned for Sunday",
    ])
      assert.deepEqual(acknowledgementsIn("a", other), [], other);
  });

  it("count only where this change adds them: neither what stood there nor what was moved, and as often as they were added", () => {
    const [one] = acknowledgementsIn("Pulumi.home.yaml", line);
    assert.ok(one);
    assert.deepEqual(newOnes([one], []), [one]);
    assert.deepEqual(newOnes([one], [one]), []);
    assert.deepEqual(newOnes([{ ...one, file: "moved.yaml" }], [one]), []);
    assert.deepEqual(newOnes([one, one], [one]), [one]);
  });

  it("cover their rule, their resource, and in an environment's file that environment", () => {
    const [one] = acknowledgementsIn("Pulumi.home.yaml", line);
    assert.ok(one);
    const danger = { rule: "node-removed", environment: "home", resource: "debian-3-membership-member" };
    assert.equal(acknowledgementOf(danger, [one])?.why, "its board is broken, a new one comes");
    assert.equal(acknowledgementOf({ ...danger, rule: "quorum" }, [one]), undefined);
    assert.equal(acknowledgementOf({ ...danger, resource: "debian-2-membership-member" }, [one]), undefined);
    assert.equal(acknowledgementOf({ ...danger, environment: "lab" }, [one]), undefined);
    assert.ok(acknowledgementOf({ ...danger, environment: "lab" }, [{ ...one, file: "stacks/nodes.ts" }]));
  });
});
