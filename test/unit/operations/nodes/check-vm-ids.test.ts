import assert from "node:assert/strict";
import type { Clients } from "../../../../operations/clients";
import { checkVmIds } from "../../../../operations/nodes/check-vm-ids";
import type { Vm } from "../../../../rehearsal/home/state";
import { homeWithMachine, refused } from "../../../support/nodes";

const input = {
  nodes: [
    { name: "debian-1", host: "pve", vmId: 201 },
    { name: "debian-2", host: "pve", vmId: 202 },
  ],
  tag: "home-cluster-home",
  oldNodes: ["rancheros-1"],
};

function machine(change: Partial<Vm>): Vm {
  return {
    vmId: 202,
    name: "debian-2",
    host: "pve",
    status: "stopped",
    tags: ["home-cluster-home"],
    macs: [],
    protection: false,
    disks: [],
    memory: 1,
    uuid: "",
    ...change,
  };
}

const check = (clients: Clients, change: Partial<typeof input> = {}) =>
  checkVmIds.run({ ...input, ...change }, clients);

describe("operations/nodes/check-vm-ids, on the pretend Proxmox", () => {
  it("returns the id of every node when each is free or ours, and changes nothing", async () => {
    const { clients, home } = homeWithMachine();
    const before = structuredClone(home);
    assert.deepEqual(await check(clients), { vmIds: { "debian-1": 201, "debian-2": 202 } });
    assert.deepEqual(home, before);
  });

  it("accepts our own half-made machine: name and tag, but stopped and without disks", async () => {
    const { clients, home } = homeWithMachine();
    home.proxmox.vms.push(machine({}));
    assert.deepEqual(await check(clients), { vmIds: { "debian-1": 201, "debian-2": 202 } });
  });

  const strangers: [string, Partial<Vm>, string][] = [
    ["another name and no tag", { name: "nas", tags: [] }, "nas (202, stopped on pve, no tags)"],
    ["our tag under another name", { name: "nas" }, "nas (202, stopped on pve, tags home-cluster-home)"],
    ["our name without the tag", { tags: ["x"] }, "debian-2 (202, stopped on pve, tags x)"],
    ["another cluster's tag", { tags: ["home-cluster-lab"] }, "debian-2 (202, stopped on pve, tags home-cluster-lab)"],
  ];
  for (const [what, change, holder] of strangers) {
    it(`refuses an id that a machine with ${what} holds`, async () => {
      const { clients, home } = homeWithMachine();
      home.proxmox.vms.push(machine(change));
      assert.deepEqual(await refused(check(clients)), {
        what: "node debian-2: id 202 is taken, nothing was touched",
        why: `Proxmox has ${holder} under it, which is not ours: ours is called debian-2 and tagged home-cluster-home`,
        next: "give debian-2 a free vmId in the environment file (or, if this is our machine, its name and tag back: `qm set 202 --name debian-2 --tags home-cluster-home`)",
      });
    });
  }

  it("refuses a machine of the same name under another id, ours or not", async () => {
    const { clients, home } = homeWithMachine();
    home.proxmox.vms.push(machine({ vmId: 305 }));
    const { what, why } = await refused(check(clients));
    assert.equal(what, "node debian-2: a machine of this name exists under another id, nothing was touched");
    assert.match(why, /debian-2 \(305, .* the environment file says 202/);
  });

  it("refuses our machine on another host, which the engine would delete and make anew", async () => {
    const { clients, home } = homeWithMachine();
    home.proxmox.vms.push(machine({ host: "pve-b" }));
    const { what, next } = await refused(check(clients));
    assert.equal(what, "node debian-2: its machine 202 is on another Proxmox host, nothing was touched");
    assert.equal(next, "move it back: `qm migrate 202 pve --online` on pve-b");
  });

  it("refuses an id that is taken by something the token cannot see", async () => {
    const { clients } = homeWithMachine();
    const asked: number[] = [];
    const proxmox: Clients["proxmox"] = Object.create(clients.proxmox, {
      vmIdFree: {
        value: async (vmId: number) => {
          asked.push(vmId);
          return false;
        },
      },
    }) as Clients["proxmox"];
    const { what, why } = await refused(check({ ...clients, proxmox }));
    assert.equal(what, "node debian-2: id 202 is taken, nothing was touched");
    assert.match(why, /does not show it to the token/);
    // Not asked for 201, which is seen.
    assert.deepEqual(asked, [202]);
  });

  it("refuses a token that sees nothing although old nodes must be there", async () => {
    const { clients, home } = homeWithMachine();
    home.proxmox.vms = [];
    const { what, next } = await refused(check(clients));
    assert.match(what, /sees no machine at all/);
    assert.match(next, /pveum acl modify/);
  });

  it("takes an empty Proxmox for what it is when no old node should be there", async () => {
    const { clients, home } = homeWithMachine();
    home.proxmox.vms = [];
    assert.deepEqual(await check(clients, { oldNodes: [] }), { vmIds: { "debian-1": 201, "debian-2": 202 } });
  });
});
