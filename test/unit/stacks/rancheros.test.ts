import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { Secrets } from "../../../environment/load";
import type { Environment } from "../../../environment/schema";
import { buildHome } from "../../../rehearsal/home/build";
import type { HomeState } from "../../../rehearsal/home/state";
import { isUnknown, type Recording } from "../../../rehearsal/record";
import { rancheros } from "../../../stacks/rancheros";
import { environment } from "../../support/environment";
import { secrets } from "../../support/nodes";
import { recordOn, type RunOptions } from "../../support/rancheros";
import { inClear, names, summaries } from "../../support/services";

function up(file: Environment, options: RunOptions = {}): Promise<Recording> {
  return recordOn(
    () => {
      const given = Object.fromEntries(Object.entries(secrets).map(([key, value]) => [key, pulumi.secret(value)]));
      return rancheros({ environment: "home", layer: "rancheros", file, secrets: given as unknown as Secrets });
    },
    { home: buildHome(file), ...options },
  );
}

const home = environment("home");

describe("stacks/rancheros", () => {
  it("registers two resources per old node and the gate, all under the one provider of operations", async () => {
    const recording = await up(home);
    assert.equal(recording.error, undefined);
    assert.deepEqual(
      summaries(recording).map(({ name, type, provider }) => [name, type, provider]),
      [
        ...["rancheros-1", "rancheros-2", "rancheros-3"].flatMap((name) => [
          [name, "home-cluster:rancheros:OldNode", ""],
          [`${name}-machine`, "command:local:Command", "operations"],
        ]),
        ["retirement", "home-cluster:rancheros:RetirementGate", ""],
        ["retirement-check", "command:local:Command", "operations"],
      ],
    );
    assert.deepEqual(
      recording.registrations.filter(({ type }) => type.startsWith("pulumi:providers:")).map(({ type }) => type),
      ["pulumi:providers:command"],
    );
  });

  it("writes nothing to anything that it records", async () => {
    const state: HomeState = buildHome(home);
    const before = structuredClone(state);
    await up(home, { home: state });
    await up(home, { home: state });
    assert.deepEqual(state, before);
  });

  it("gives the identity that the retirement will look for; unknown in a preview, node by node", async () => {
    assert.deepEqual((await up(home)).outputs, {
      nodes: {
        "rancheros-1": { vmId: 101, mac: "BC:24:11:00:10:11" },
        "rancheros-2": { vmId: 102, mac: "BC:24:11:00:10:12" },
        "rancheros-3": { vmId: 103, mac: "BC:24:11:00:10:13" },
      },
    });
    const { nodes } = (await up(home, { preview: true })).outputs as { nodes: Record<string, { vmId: unknown }> };
    assert.deepEqual(Object.keys(nodes), ["rancheros-1", "rancheros-2", "rancheros-3"]);
    assert.ok(Object.values(nodes).every(({ vmId }) => isUnknown(vmId)));
  });

  it("registers the same in preview and update, and no secret in clear", async () => {
    const recording = await up(home);
    assert.deepEqual(names(await up(home, { preview: true })), names(recording));
    for (const text of Object.values(secrets)) assert.ok(!inClear(recording).includes(text), text);
  });

  it("passes over a retired node, whatever its system is called, and counts it nowhere", async () => {
    const lab = environment("lab");
    assert.deepEqual(names(await up(lab)), [
      "lab-k3os-1",
      "lab-k3os-1-machine",
      "lab-k3os-2",
      "lab-k3os-2-machine",
      "retirement",
      "retirement-check",
    ]);
  });

  it("is empty once all are retired, so that the stack can be removed", async () => {
    const recording = await up(environment("home", (file) => file.oldNodes?.forEach((node) => (node.retired = true))));
    assert.equal(recording.error, undefined);
    assert.deepEqual(summaries(recording), []);
    assert.deepEqual(
      recording.registrations.map(({ type }) => type),
      ["pulumi:pulumi:Stack"],
    );
    assert.deepEqual(recording.outputs, { nodes: {} });
  });

  it("an old node that cannot be recorded keeps the gate away, and no other node", async () => {
    const recording = await up(home, { fail: "rancheros-2" });
    assert.deepEqual(
      names(recording),
      ["rancheros-1", "rancheros-2", "rancheros-3"].flatMap((name) => [name, `${name}-machine`]),
    );
  });
});
