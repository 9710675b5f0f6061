import assert from "node:assert/strict";
import { renderTerminal } from "../../../diff/render/terminal";
import { summarize } from "../../../diff/compare";
import { changeOf, compareHome, named } from "../../support/diff";
import { emptyReport } from "../../support/report";

describe("diff: what is reported of a change to the home environment (stand-ins in the place of live systems)", () => {
  it("an operation's request is shown property by property, and the access in it only as a secret", async () => {
    const { stacks } = await compareHome([[["nodes", 0, "labels"], { rack: "left" }]]);
    const { properties, operation } = changeOf(stacks, "debian-1-membership-member");
    assert.equal(operation, "update");
    assert.deepEqual(properties, [{ path: "stdin.input.labels.rack", after: "left" }]);
  });

  it("a new volume is created and stands in its component; nothing of the others changes", async () => {
    const { stacks } = await compareHome([
      [["volumes", 5], { namespace: "wiki", claim: "pages", oldSize: "1Gi", size: "2Gi" }],
    ]);
    const volumes = stacks.find(({ stack }) => stack === "home-volumes")?.resources ?? [];
    assert.deepEqual(
      volumes.map(({ operation }) => operation).filter((operation) => operation !== "create"),
      [],
    );
    assert.deepEqual(changeOf(stacks, "pages-claim").within, ["pages"]);
    assert.equal(
      changeOf(stacks, "pages-claim").properties.find(({ path }) => path === "spec.resources.requests.storage")?.after,
      "2Gi",
    );
  });

  it("a volume taken out of the file is deleted, and says nothing of its values", async () => {
    const { stacks } = await compareHome([[["volumes", 4], undefined]]);
    const gone = changeOf(stacks, "grafana-data-claim");
    assert.deepEqual([gone.operation, gone.properties], ["delete", []]);
  });

  it("what the Jobs ignore is said where the Job changes, and a Job that only ignores is no change", async () => {
    const { stacks } = await compareHome([[["volumes", 4, "oldSize"], "3Gi"]]);
    assert.deepEqual(
      named(stacks).filter((line) => line.includes("grafana-data")),
      [
        "home-volumes grafana-data-copy same",
        "home-volumes grafana-data-prepare update",
        "home-volumes grafana-data-verify same",
      ],
    );
    const copy = changeOf(stacks, "grafana-data-copy");
    assert.deepEqual(
      copy.settings.map(({ path }) => path),
      ["customTimeouts.create", "customTimeouts.update"],
    );
    assert.deepEqual(copy.ignored, ["spec.activeDeadlineSeconds"]);
  });

  it("a protection that is taken off is a setting, with no operation of its own but the record of it", async () => {
    const { stacks } = await compareHome([[["nodes", 2, "protect"], false]]);
    const { operation, settings } = changeOf(stacks, "debian-3-vm-machine");
    assert.deepEqual([operation, settings], ["same", [{ path: "protect", before: true, after: false }]]);
  });

  it("in a terminal: a tree of components, each named once, and a line per property", async () => {
    const { stacks } = await compareHome([[["nodes", 0, "cores"], 6]]);
    const text = renderTerminal({ ...emptyReport, stacks, summary: summarize(stacks, []) }, false);
    assert.deepEqual(text.split("\n"), [
      "main (11111111) → the working tree: 2 to update",
      "home-nodes",
      "  debian-1",
      "    debian-1-vm",
      "      ~ debian-1-vm-machine (proxmoxve:VmLegacy): update",
      "          cpu.cores: 4 → 6",
      "    debian-1-restart",
      "      ~ debian-1-restart-step (command:local:Command): update",
      "          stdin.input.wanted.cores: 4 → 6",
    ]);
    assert.match(renderTerminal({ ...emptyReport, stacks }, true), /\u001b\[33m~ debian-1-vm-machine/);
  });
});
