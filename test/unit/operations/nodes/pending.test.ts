import assert from "node:assert/strict";
import { checkPending } from "../../../../operations/nodes/pending";
import { instanceOf } from "../../../../rehearsal/home/proxmox";
import type { Guest, Vm } from "../../../../rehearsal/home/state";
import { homeWithMachine } from "../../../support/nodes";

const nodes = [
  { name: "debian-1", host: "pve", vmId: 201 },
  { name: "debian-2", host: "pve", vmId: 202 },
];

describe("operations/nodes/check-pending, on the pretend Proxmox (does not prove what a real one calls pending)", () => {
  const cases: [string, (vm: Vm, guest: Guest) => void, readonly string[] | undefined][] = [
    ["nothing", () => undefined, undefined],
    ["settings", (vm) => (vm.pending = { memory: 16_384, cores: 6, balloon: null }), ["balloon", "cores", "memory"]],
    [
      "cloud-init data that the guest has not booted with",
      (_, guest) => Object.assign(guest, { agent: true, instance: "other" }),
      ["cloud-init"],
    ],
    [
      "both, cloud-init last",
      (vm, guest) => {
        vm.pending = { sshkeys: "x" };
        Object.assign(guest, { agent: true, instance: "other" });
      },
      ["sshkeys", "cloud-init"],
    ],
    [
      "nothing where the guest booted with this data",
      (vm, guest) => Object.assign(guest, { agent: true, instance: instanceOf(vm) }),
      undefined,
    ],
    ["nothing known while the guest agent is silent", (_, guest) => (guest.instance = "other"), undefined],
    ["nothing known where the guest keeps no instance id", (_, guest) => (guest.agent = true), undefined],
    [
      "nothing of a machine that is off: its start takes it",
      (vm) => Object.assign(vm, { status: "stopped", pending: { memory: 1 } }),
      undefined,
    ],
    [
      "nothing of somebody else's machine",
      (vm) => Object.assign(vm, { name: "nas", pending: { memory: 1 } }),
      undefined,
    ],
  ];
  for (const [what, change, expected] of cases) {
    it(`finds ${what}, and changes nothing`, async () => {
      const { clients, home, log } = homeWithMachine(change);
      const before = structuredClone(home);
      const pending = expected === undefined ? {} : { "debian-1": expected };
      assert.deepEqual(await checkPending.run({ nodes }, clients), { pending });
      assert.deepEqual([home, log], [before, []]);
    });
  }

  it("a guest without the file is not known, a machine that cannot be read is named, and neither stops anybody", async () => {
    for (const [message, expected] of [
      ["Agent error: failed to open file '/var/lib/cloud/data/instance-id': No such file or directory", []],
      ["no route to host", ["debian-1: cannot tell what waits for a restart: it failed (Error: no route to host)"]],
    ] as const) {
      const { clients, log } = homeWithMachine();
      clients.proxmox.readGuestFile = () => Promise.reject(new Error(message));
      assert.deepEqual(await checkPending.run({ nodes }, clients), { pending: {} });
      assert.deepEqual(log, expected);
    }
  });
});
