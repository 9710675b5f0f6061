import assert from "node:assert/strict";
import { recordOldNode } from "../../../../operations/rancheros/record-old-node";
import type { HomeState } from "../../../../rehearsal/home/state";
import { counted, migratedHome, refusalOf, vmOf } from "../../../support/migrated-home";

describe("recording an old node", () => {
  it("reads who its machine is, and writes nothing anywhere", async () => {
    const { home, clients, inputs } = await migratedHome();
    const before = structuredClone(home);
    const calls: string[] = [];
    const watched = counted(clients, (_, name) => calls.push(name));
    assert.deepEqual(await recordOldNode.run(inputs[1] ?? assert.fail(), watched), {
      name: "rancheros-2",
      vmId: 102,
      mac: "BC:24:11:00:10:12",
    });
    assert.deepEqual(calls, ["proxmox.readVm"]);
    assert.deepEqual(home, before);
    assert.deepEqual(recordOldNode.needs, ["proxmox"]);
  });

  const refusals: [string, (home: HomeState) => void, RegExp, RegExp][] = [
    [
      "a machine that does not exist",
      (home) => (home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 101)),
      /^rancheros-1: there is no machine 101$/,
      /nothing to retire$/,
    ],
    [
      "another name",
      (home) => (vmOf(home, "rancheros-1").name = "database"),
      /^rancheros-1: machine 101 on pve is not the one in the environment file$/,
      /^its name is database, recorded is rancheros-1$/,
    ],
    [
      "another first MAC",
      (home) => (vmOf(home, "rancheros-1").macs = ["BC:24:11:FF:FF:FF", "BC:24:11:00:10:11"]),
      /is not the one in the environment file$/,
      /^its first MAC is BC:24:11:FF:FF:FF, recorded is BC:24:11:00:10:11$/,
    ],
    [
      "another host",
      (home) => (vmOf(home, "rancheros-1").host = "pve-2"),
      /^rancheros-1: not recorded$/,
      /^rancheros-1: machine 101 is not on host pve, its id belongs to rancheros-1 on host pve-2$/,
    ],
  ];
  for (const [name, change, what, why] of refusals) {
    it(`refuses ${name}, and touches nothing`, async () => {
      const { home, clients, inputs } = await migratedHome();
      change(home);
      const before = structuredClone(home);
      const parts = await refusalOf(recordOldNode.run(inputs[0] ?? assert.fail(), clients));
      assert.match(parts.what, what);
      assert.match(parts.why, why);
      assert.match(parts.next, /pulumi up/);
      assert.deepEqual(home, before);
    });
  }

  it("a machine that is off, or protected, is recorded as well: what is wrong with it is the retirement's business", async () => {
    const { home, clients, inputs } = await migratedHome();
    Object.assign(vmOf(home, "rancheros-1"), { status: "stopped", protection: true });
    assert.equal((await recordOldNode.run(inputs[0] ?? assert.fail(), clients)).vmId, 101);
  });
});
