import assert from "node:assert/strict";
import type { Clients } from "../../../../operations/clients";
import { checkMachine } from "../../../../operations/nodes/check-machine";
import { identifyMachine } from "../../../../operations/nodes/identify-machine";
import { startMachine } from "../../../../operations/nodes/start-machine";
import { uuidOf } from "../../../../rehearsal/home/build";
import type { HomeState, Vm } from "../../../../rehearsal/home/state";
import { homeWithMachine, refused } from "../../../support/nodes";

const input = {
  node: "debian-1",
  tag: "home-cluster-home",
  vm: { host: "pve", vmId: 201, mac: "BC:24:11:00:10:21" },
};

const strangers: readonly (readonly [string, Partial<Vm>, string])[] = [
  ["another name", { name: "nas" }, "its name is nas, recorded is debian-1"],
  [
    "another first MAC",
    { macs: ["BC:24:11:00:40:21", "BC:24:11:00:10:21"] },
    "its first MAC is BC:24:11:00:40:21, recorded is BC:24:11:00:10:21",
  ],
  ["no card", { macs: [] }, "its first MAC is missing, recorded is BC:24:11:00:10:21"],
  ["another cluster's tag", { tags: ["home-cluster-lab"] }, "it is not tagged home-cluster-home"],
  [
    "neither name nor tag",
    { name: "nas", tags: [] },
    "its name is nas, recorded is debian-1; it is not tagged home-cluster-home",
  ],
];

const gone = (home: HomeState): void => {
  home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 201);
};

/** Somebody took the id, and this token cannot see who. */
function hidden(clients: Clients): Clients {
  const proxmox = Object.create(clients.proxmox, {
    vmIdFree: { value: async () => false },
  }) as Clients["proxmox"];
  return { ...clients, proxmox };
}

describe("operations/nodes/identify-machine, on the pretend Proxmox", () => {
  it("returns the UUID of the node's machine and changes nothing; made again, it is another one", async () => {
    const { clients, home } = homeWithMachine();
    const before = structuredClone(home);
    assert.deepEqual(await identifyMachine.run(input, clients), { uuid: uuidOf(201, 1) });
    assert.deepEqual(home, before);
    const again = homeWithMachine((vm) => (vm.uuid = uuidOf(201, 2)));
    assert.deepEqual(await identifyMachine.run(input, again.clients), { uuid: uuidOf(201, 2) });
  });

  it("refuses a machine that was removed by hand, and says how it comes back", async () => {
    const { clients, home } = homeWithMachine();
    gone(home);
    const { what, next } = await refused(identifyMachine.run(input, clients));
    assert.equal(what, "debian-1: its machine 201 was removed behind the program's back, nothing was touched");
    assert.match(next, /^`pulumi up --refresh`: /);
  });

  for (const [name, change, why] of strangers) {
    it(`refuses one with ${name}`, async () => {
      const { clients } = homeWithMachine((vm) => Object.assign(vm, change));
      const parts = await refused(identifyMachine.run(input, clients));
      assert.equal(parts.what, "debian-1: machine 201 on pve is another one, nothing was touched");
      assert.equal(parts.why, why);
      assert.match(parts.next, /then `pulumi up --refresh`$/);
    });
  }

  it("does not call a machine gone that the token cannot see, or that is on another host", async () => {
    const { clients, home } = homeWithMachine();
    gone(home);
    const unseen = await refused(identifyMachine.run(input, hidden(clients)));
    assert.equal(unseen.what, "debian-1: its machine cannot be told, nothing was touched");
    assert.match(unseen.next, /VM\.Audit/);
    const moved = homeWithMachine((vm) => (vm.host = "pve-b"));
    assert.match((await refused(identifyMachine.run(input, moved.clients))).why, /belongs to debian-1 on host pve-b$/);
  });
});

describe("operations/nodes/start-machine, on the pretend Proxmox", () => {
  it("starts the node's machine where its creation ended before its start, and leaves a running one alone", async () => {
    const { clients, home, clock } = homeWithMachine((vm) => (vm.status = "stopped"));
    assert.deepEqual(await startMachine.run(input, clients), { uuid: uuidOf(201, 1) });
    assert.equal(home.proxmox.vms.find(({ vmId }) => vmId === 201)?.status, "running");
    const before = [structuredClone(home), clock.now()];
    await startMachine.run(input, clients);
    assert.deepEqual([home, clock.now()], before);
  });

  it("starts nobody else's", async () => {
    const { clients, home } = homeWithMachine((vm) => Object.assign(vm, { status: "stopped", name: "nas" }));
    await refused(startMachine.run(input, clients));
    assert.equal(home.proxmox.vms.find(({ vmId }) => vmId === 201)?.status, "stopped");
  });
});

describe("operations/nodes/check-machine, on the pretend Proxmox (that the engine runs it before the machine's deletion: test/engine)", () => {
  it("lets the node's machine be deleted, also one that was restored from a backup, and one that is gone", async () => {
    const { clients, home } = homeWithMachine((vm) => (vm.uuid = uuidOf(201, 7)));
    const before = structuredClone(home);
    assert.deepEqual(await checkMachine.run(input, clients), { node: "debian-1" });
    assert.deepEqual(home, before);
    gone(home);
    assert.deepEqual(await checkMachine.run(input, clients), { node: "debian-1" });
  });

  for (const [name, change, why] of strangers) {
    it(`refuses to let one with ${name} go`, async () => {
      const { clients } = homeWithMachine((vm) => Object.assign(vm, change));
      const parts = await refused(checkMachine.run(input, clients));
      assert.equal(parts.what, "debian-1: machine 201 on pve is not deleted, it may be somebody else's");
      assert.equal(parts.why, why);
      assert.match(parts.next, /`pulumi state delete '<URN of debian-1-vm-machine>' --target-dependents`/);
    });
  }

  it("refuses one that Proxmox protects: the provider would power it off before it is refused", async () => {
    const { clients } = homeWithMachine((vm) => (vm.protection = true));
    assert.deepEqual(await refused(checkMachine.run(input, clients)), {
      what: "debian-1: its machine stays, nothing was touched",
      why: "machine 201 on pve is protected in Proxmox, so that deleting it would only power it off",
      next: "if it is really to go, `qm set 201 --protection 0` on pve, then the same command again",
    });
  });

  it("refuses what it cannot see", async () => {
    const { clients, home } = homeWithMachine();
    gone(home);
    const { why } = await refused(checkMachine.run(input, hidden(clients)));
    assert.equal(
      why,
      "debian-1: machine 201 is not on host pve, and its id is taken by something that this token cannot see",
    );
  });
});
