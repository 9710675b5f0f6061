import assert from "node:assert/strict";
import type { Vm } from "../../rehearsal/home/state";
import { Lab, writes } from "./lab/lab";

/** Settings as machines made by hand over the years have them; each was seen to make the provider's import write to, or restart, the machine. */
const shapes: Readonly<Record<string, Partial<Vm> & { settings: Record<string, string | number> }>> = {
  "an agent in the settings that never answers": { settings: { agent: 1, ostype: "l26", scsihw: "virtio-scsi-pci" } },
  "no operating system type": { settings: { scsi0: "local-lvm:vm-101-disk-0,size=20G" } },
  "switched off, protected": { status: "stopped", protection: true, settings: { ostype: "l26", protection: 1 } },
  "no SCSI controller, a disk on SATA, started by arguments of its own": {
    settings: { sata0: "local-lvm:vm-101-disk-0,size=20G", args: "-device virtio-rng-pci", boot: "cdn" },
  },
  "an ISO in its drive, a serial port, a disk that nothing uses": {
    settings: {
      ostype: "other",
      ide2: "local:iso/rancheros.iso,media=cdrom",
      serial0: "socket",
      unused0: "local-lvm:vm-101-disk-7",
    },
  },
  "two cards, USB, cloud-init of its own, values that wait for a restart": {
    pending: { memory: 16384, cores: 8 },
    settings: {
      ostype: "l26",
      usb0: "host=1234:5678",
      ide2: "local-lvm:vm-101-cloudinit,media=cdrom",
      ciuser: "rancher",
      net1: "virtio=BC:24:11:00:40:11,bridge=vmbr1",
    },
  },
};

describe("rancheros on the real engine: the old machines are read and never written to (shapes nobody thought of are not shown)", () => {
  const names = Object.keys(shapes);
  for (const three of [names.slice(0, 3), names.slice(3)]) {
    it(`${three.join("; ")}: up, up again and refresh`, async () => {
      const lab = await Lab.start();
      try {
        for (const [index, name] of three.entries()) {
          const vm = lab.machine(101 + index);
          const { settings, ...more } = shapes[name] ?? { settings: {} };
          Object.assign(vm, more, {
            config: {
              ...{ name: vm.name, memory: vm.memory * 1024, net0: `virtio=${vm.macs[0]},bridge=vmbr0` },
              ...settings,
            },
          });
        }
        const before = structuredClone(lab.home);
        const stack = await lab.stack("rancheros");
        for (const outcome of [
          await stack.up(),
          await stack.up(),
          await stack.refresh(),
          await stack.up({ refresh: true }),
        ])
          assert.ok(outcome.ok, outcome.text);
        assert.deepEqual(writes(lab.proxmox.log), []);
        assert.deepEqual(lab.home, before);
        assert.deepEqual(Object.keys((await stack.outputs()).nodes as object), [
          "rancheros-1",
          "rancheros-2",
          "rancheros-3",
        ]);
      } finally {
        await lab.stop();
      }
    });
  }
});
