import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { Secrets } from "../../../environment/load";
import type { Environment } from "../../../environment/schema";
import { record, type RecordOptions, type Recording } from "../../../rehearsal/record";
import { nodes } from "../../../stacks/nodes";
import { environment } from "../../support/environment";
import { engine, hostKey, secrets, type RunOptions } from "../../support/nodes";
import { inClear, names, resources } from "../../support/services";
import { keepingWarnings } from "../../support/warnings";

function up(file: Environment, options: RunOptions = {}, other: RecordOptions = {}): Promise<Recording> {
  return record(
    () => {
      const given = Object.fromEntries(Object.entries(secrets).map(([key, value]) => [key, pulumi.secret(value)]));
      return nodes({ environment: "home", layer: "nodes", file, secrets: given as unknown as Secrets });
    },
    { ...engine(options), ...other },
  );
}

const home = environment("home");
const perNode = (name: string): string[] =>
  ["identity-guard", "membership-member", "provisioning-guest", "restart-step", "vm-machine"].map(
    (part) => `${name}-${part}`,
  );

describe("stacks/nodes", () => {
  it("registers the image of the one host and five resources per node, each with the provider of its system", async () => {
    const recording = await up(home);
    assert.equal(recording.error, undefined);
    const registered = resources(recording);
    assert.deepEqual(
      registered.map(({ name }) => name),
      ["debian-image-pve-file", ...["debian-1", "debian-2", "debian-3"].flatMap(perNode)].sort((a, b) =>
        a.localeCompare(b),
      ),
    );
    for (const { name, provider } of registered) {
      assert.equal(provider, /-(machine|file)$/.test(name) ? "proxmox" : "operations", name);
    }
    const providers = recording.registrations.filter(({ type }) => type.startsWith("pulumi:providers:"));
    assert.deepEqual(providers.map(({ name, type }) => [name, type]).sort(), [
      ["operations", "pulumi:providers:command"],
      ["proxmox", "pulumi:providers:proxmoxve"],
    ]);
  });

  it("registers the same in preview and update", async () => {
    assert.deepEqual(names(await up(home, { preview: true })), names(await up(home)));
  });

  it("names what waits for a restart, once, and registers the same", async () => {
    const told = engine({});
    const call: RecordOptions["call"] = (token, args) =>
      args.command === "operations/run check-pending"
        ? { stdout: '{"pending":{"debian-2":["memory"]}}' }
        : (told.call?.(token, args) ?? {});
    const { result, warnings } = await keepingWarnings(() => up(home, {}, { call }));
    assert.deepEqual(names(result), names(await up(home)));
    assert.deepEqual(warnings, [
      "waits for a restart: debian-2 (memory)\n  to apply it: `restart: true` on debian-2 in the environment file, then `pulumi up`: one node at a time is drained, restarted and awaited",
    ]);
  });

  it("returns how each node is reached, and no secret anywhere in clear", async () => {
    const recording = await up(home);
    const reach = (vmId: number, address: string) => ({ vmId, address, hostKey });
    assert.deepEqual(recording.outputs, {
      nodes: {
        "debian-1": reach(201, "192.168.10.21"),
        "debian-2": reach(202, "192.168.10.22"),
        "debian-3": reach(203, "192.168.10.23"),
      },
    });
    for (const text of Object.values(secrets)) assert.ok(!inClear(recording).includes(text), text);
  });

  for (const refuses of ["check-vm-ids", "check-hosts"]) {
    for (const preview of [true, false]) {
      it(`registers neither image nor machine when ${refuses} refuses, in ${preview ? "a preview" : "an update"}`, async () => {
        const recording = await up(home, { preview, refuses, refuse: "it is taken, nothing was touched" });
        assert.match(String(recording.error), /it is taken/);
        assert.deepEqual(resources(recording), []);
      });
    }
  }

  it("without the image of one host, exactly the nodes of that host are not registered", async () => {
    const recording = await up(environment("lab"), { fail: "debian-image-pve-a-file" });
    assert.deepEqual(
      resources(recording).map(({ name }) => name),
      ["debian-image-pve-a-file", "debian-image-pve-b-file", ...perNode("lab-debian-2"), ...perNode("lab-debian-3")],
    );
  });

  it("without one machine, exactly the rest of that node is not registered", async () => {
    const recording = await up(home, { fail: "debian-2-vm-machine" });
    const lost = names(await up(home)).filter((name) => !names(recording).includes(name));
    assert.deepEqual(lost, [
      "debian-2-identity",
      "debian-2-identity-guard",
      "debian-2-membership",
      "debian-2-membership-member",
      "debian-2-provisioning",
      "debian-2-provisioning-guest",
      "debian-2-restart",
      "debian-2-restart-step",
    ]);
  });
});
