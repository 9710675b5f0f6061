import assert from "node:assert/strict";
import { GuestAgentSilent } from "../../../../operations/clients";
import { leastPrivileges } from "../../../../operations/nodes/privileges";
import { instanceOf } from "../../../../rehearsal/home/proxmox";
import type { HomeState, Vm } from "../../../../rehearsal/home/state";
import { labs, machine, said, token, wanted } from "../../../support/pve-lab";
import { createBody, provider } from "../../../support/pve-provider";

describe("rehearsal/simulators/proxmox (does not prove that a real Proxmox does so)", () => {
  const start = labs();

  describe("the life of a machine, by the provider's requests", () => {
    it("is created from the image, and the home knows what the API knows", async () => {
      const lab = await start();
      await provider.download(lab.caller, wanted);
      await provider.create(lab.caller, wanted);
      const { uuid, config, ...flat } = lab.vm();
      assert.deepEqual(flat, {
        ...{ vmId: 201, name: "debian-1", host: "pve", status: "running", protection: false },
        ...{ tags: ["debian", "home-cluster-home"], macs: ["BC:24:11:00:10:21", "BC:24:11:00:40:21"] },
        ...{ disks: [40, 200], memory: 12 },
      });
      assert.match(uuid, /^[0-9a-f-]{36}$/);
      const { scsi0, scsi1, ide2, ide3, net1, onboot, cores, memory, smbios1 } = config ?? {};
      const kept = "aio=io_uring,backup=1,cache=none,discard=on,iothread=1,replicate=1";
      assert.deepEqual(
        { scsi0, scsi1, ide2, ide3, net1, onboot, cores, memory, smbios1 },
        {
          scsi0: `local-lvm:vm-201-disk-0,${kept},size=40G,ssd=1`,
          scsi1: `local-lvm:vm-201-disk-1,${kept},size=200G,ssd=1`,
          ide2: "local-lvm:vm-201-cloudinit,media=cdrom",
          ide3: "none,media=cdrom",
          net1: "virtio=BC:24:11:00:40:21,bridge=vmbr0,firewall=0,tag=40",
          onboot: 1,
          cores: 4,
          memory: "12288",
          smbios1: `uuid=${uuid}`,
        },
      );
      const { file, checksum } = wanted;
      assert.deepEqual(lab.home.proxmox.images, [{ host: "pve", datastore: "local", file, checksum }]);
      assert.equal(lab.home.guests[201]?.address, "192.168.10.21");
      assert.equal(lab.home.guests[201]?.instance, instanceOf(lab.vm()));
    });

    it("is deleted with its guest, gives its room back, and nobody else's machine is touched", async () => {
      const lab = await start({}, ({ proxmox }) => Object.assign(proxmox.datastores[1] ?? {}, { thin: false }));
      lab.image();
      const before = structuredClone(lab.home);
      const room = (): number => lab.home.proxmox.datastores[1]?.available ?? 0;
      await provider.create(lab.caller, wanted);
      assert.equal(2 ** 41 - room(), 240 * 2 ** 30 + 4 * 2 ** 20);
      await provider.destroy(lab.caller, wanted);
      assert.deepEqual(lab.home, before);
    });
  });

  it("makes a machine from nothing but an id, with what Proxmox adds", async () => {
    const lab = await start();
    assert.equal(await lab.caller.task("POST", "/nodes/pve/qemu", { vmid: "300", net0: "virtio,bridge=vmbr0" }), "OK");
    const path = "/nodes/pve/qemu/300";
    const config = (await lab.caller.must("GET", `${path}/config`)) as Record<string, string>;
    assert.deepEqual(Object.keys(config).sort(), ["boot", "digest", "meta", "net0", "smbios1", "vmgenid"]);
    assert.match(config.net0 ?? "", /^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0$/);
    assert.equal(config.boot, "order=net0");
    assert.equal(await lab.caller.task("POST", `${path}/status/start`), "OK");
    const status = (await lab.caller.must("GET", `${path}/status/current`)) as Record<string, unknown>;
    const { name, cpus, maxmem, maxdisk, agent, serial, tags } = status;
    assert.deepEqual(
      [name, cpus, maxmem, maxdisk, agent, serial, tags],
      [...["VM 300", 1, 2 ** 29, 0, undefined, undefined, undefined]],
    );
    assert.match(
      String(await lab.caller.must("GET", `${path}/cloudinit/dump`, { type: "user" })),
      /^hostname: VM300$/m,
    );
    assert.deepEqual(
      [lab.vm(300).macs, lab.vm(300).disks, lab.home.guests[300]?.address],
      [...[[config.net0?.slice(7, 24)], [], ""]],
    );
  });

  describe("our own client", () => {
    it("finds everything that it asks for", async () => {
      const lab = await start();
      const { home, caller } = lab;
      const proxmox = lab.client();
      await lab.make();
      await proxmox.startVm("pve", 201);
      assert.deepEqual(await proxmox.readVm("pve", 201), {
        ...{ vmId: 201, name: "debian-1", host: "pve", status: "running", protection: false, uuid: lab.vm().uuid },
        ...{ tags: ["debian", "home-cluster-home"], macs: ["BC:24:11:00:10:21", "BC:24:11:00:40:21"] },
      });
      assert.deepEqual(
        (await proxmox.listVms()).map(({ vmId, status }) => `${vmId} ${status}`),
        [101, 102, 103, 150, 201].map((vmId) => `${vmId} running`),
      );
      assert.deepEqual([await proxmox.vmIdFree(201), await proxmox.vmIdFree(204)], [false, true]);
      assert.equal(await proxmox.readVm("pve", 204), undefined);
      const content = ["images", "import", "iso", "rootdir"];
      assert.deepEqual(await proxmox.readDatastore("pve", "local"), {
        content,
        active: true,
        available: 2 ** 41,
        thin: true,
      });
      assert.equal(await proxmox.readDatastore("pve", "nowhere"), undefined);
      assert.deepEqual((await proxmox.privileges())["/vms"], [...leastPrivileges]);
      await assert.rejects(proxmox.readGuestFile("pve", 201, "/etc/hostname"), GuestAgentSilent);
      const guest = home.guests[201];
      assert.ok(guest);
      guest.agent = true;
      const hostKey = await proxmox.readGuestFile("pve", 201, "/etc/ssh/ssh_host_ed25519_key.pub");
      assert.equal(hostKey, `${guest.hostKey} root@guest\n`);
      const instance = await proxmox.readGuestFile("pve", 201, "/var/lib/cloud/data/instance-id");
      assert.equal(instance, `${await proxmox.cloudInitInstance("pve", 201)}\n`);
      await assert.rejects(proxmox.readGuestFile("pve", 201, "/etc/nothing"), /failed to open file '\/etc\/nothing'/);
      await caller.must("PUT", `${machine}/config`, { memory: "16384", delete: "vga" });
      assert.deepEqual(await proxmox.pendingSettings("pve", 201), ["memory", "vga"]);
      assert.equal(await proxmox.shutdownVm("pve", 201, 60), true);
      await proxmox.startVm("pve", 201);
      assert.deepEqual(await proxmox.pendingSettings("pve", 201), []);
      await proxmox.stopVm("pve", 201);
      await proxmox.deleteVm("pve", 201);
      assert.equal(await proxmox.readVm("pve", 201), undefined);
    });

    it("reads a machine that was made by hand from what the home says of it, and changes no more than it is asked to", async () => {
      const lab = await start();
      assert.deepEqual(await lab.client().readVm("pve", 101), {
        ...{ vmId: 101, name: "rancheros-1", host: "pve", status: "running", tags: [], protection: false },
        ...{ macs: ["BC:24:11:00:10:11"], uuid: "00000000-0000-4000-8000-000000000101" },
      });
      const { config: before, ...flat } = lab.vm(101);
      assert.equal(before, undefined);
      await lab.caller.must("PUT", "/nodes/pve/qemu/101/config", { tags: "Old,keep" });
      const { config, ...after } = lab.vm(101);
      assert.deepEqual(after, { ...flat, tags: ["keep", "old"] });
      assert.equal(config?.scsi0, "local-lvm:vm-101-disk-0,size=20G");
    });
  });

  describe("the guest agent", () => {
    it("answers for the cards and for what the test puts into the guest", async () => {
      const lab = await start({
        tokens: { [token]: "all" },
        guestFile: ({ vmId }, path) => (path === "/etc/hostname" ? `guest ${vmId}\n` : undefined),
      });
      await provider.download(lab.caller, wanted);
      await provider.create(lab.caller, wanted);
      const { guests } = lab.home;
      Object.assign(guests[201] ?? {}, { agent: true });
      assert.equal(await lab.client().readGuestFile("pve", 201, "/etc/hostname"), "guest 201\n");
      assert.deepEqual(await lab.caller.must("POST", `${machine}/agent/ping`), { result: {} });
      const { result } = (await lab.caller.must("GET", `${machine}/agent/network-get-interfaces`)) as {
        result: { name: string; "hardware-address": string; "ip-addresses": { "ip-address": string }[] }[];
      };
      assert.deepEqual(
        result.map((link) => [link.name, link["hardware-address"], link["ip-addresses"][0]?.["ip-address"]]),
        [
          ["lo", "00:00:00:00:00:00", "127.0.0.1"],
          ["eth0", "bc:24:11:00:10:21", "192.168.10.21"],
          ["eth1", "bc:24:11:00:40:21", "192.168.40.21"],
        ],
      );
    });
  });

  describe("datastores", () => {
    const full =
      (thin: boolean) =>
      ({ proxmox }: HomeState): void =>
        void Object.assign(proxmox.datastores[1] ?? {}, { available: 2 ** 30, thin });

    it("thin and full: the import ends as qemu-img does; thick and full: no disk; nothing is left of the machine", async () => {
      const target = "/var/lib/vz/import/debian-13.qcow2 zeroinit:/dev/pve/vm-201-disk-0";
      const convert = `/usr/bin/qemu-img convert -p -n -f qcow2 -O raw ${target}`;
      for (const [thin, exit] of [
        [
          true,
          `cannot import from 'local:import/debian-13.qcow2' - copy failed: command '${convert}' failed: exit code 1`,
        ],
        [false, "not enough free space (1044480 < 3145728)"],
      ] as const) {
        const lab = await start({}, full(thin));
        lab.image();
        const before = structuredClone(lab.home);
        const ended = await lab.caller.task("POST", "/nodes/pve/qemu", createBody(wanted));
        assert.equal(ended, `unable to create VM 201 - ${exit}`);
        assert.deepEqual(lab.home, before);
      }
    });

    it("list what the token may read: no disk of a machine that it may not change", async () => {
      const lab = await start({ tokens: { [token]: { "/": [...leastPrivileges], "/vms/150": ["VM.Audit"] } } });
      const content = (await lab.caller.must("GET", "/nodes/pve/storage/local-lvm/content")) as { volid: string }[];
      assert.deepEqual(
        content.map(({ volid }) => volid),
        [101, 102, 103].map((id) => `local-lvm:vm-${id}-disk-0`),
      );
    });

    it("keep an image that is the one asked for, and refuse another one of its name", async () => {
      const lab = await start();
      await provider.download(lab.caller, wanted);
      await provider.download(lab.caller, wanted);
      const form = { content: "import", filename: wanted.file, url: "https://example.org/a" };
      const download = (more: Record<string, string>): Promise<unknown> =>
        lab.caller.task("POST", "/nodes/pve/storage/local/download-url", { ...form, ...more });
      const path = `/var/lib/vz/import/${wanted.file}`;
      assert.equal(await download({}), `refusing to override existing file '${path}'`);
      const other = { checksum: "c".repeat(128), "checksum-algorithm": "sha512" };
      const mismatch = `checksum mismatch: got '${wanted.checksum}' != expect '${other.checksum}', aborting`;
      assert.equal(await download(other), mismatch);
      assert.equal(lab.home.proxmox.images.length, 1);
    });
  });

  describe("tasks that take their time", () => {
    it("run on after the request, imports on one host one after another, and hold the machine", async () => {
      const lab = await start({ durations: { import: 3_600_000 } });
      const { caller } = lab;
      lab.image();
      await caller.must("POST", "/nodes/pve/qemu", createBody(wanted));
      await caller.must("POST", "/nodes/pve/qemu", createBody({ ...wanted, vmId: 202, name: "debian-2" }));
      assert.deepEqual(lab.vm().config, { lock: "create" });
      const locked = await caller.send("PUT", `${machine}/config`, { memory: "512" });
      assert.deepEqual(said(locked), [500, "VM is locked (create)"]);
      const again = await caller.send("POST", "/nodes/pve/qemu", createBody(wanted));
      assert.deepEqual(said(again), [500, "unable to create VM 201 - VM 201 already exists on node 'pve'"]);
      lab.simulator.hurry();
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual([lab.vm().config?.lock, lab.vm(202).config?.lock], [undefined, "create"]);
      lab.simulator.hurry();
      await lab.simulator.idle();
      assert.deepEqual([lab.vm().name, lab.vm(202).name], ["debian-1", "debian-2"]);
    });

    it("show as running until they end, and can be stopped", async () => {
      const lab = await start({ durations: { start: 60_000 } });
      await lab.make();
      const upid = String(await lab.caller.must("POST", `${machine}/status/start`));
      const task = `/nodes/pve/tasks/${upid.replaceAll("!", "%21")}`;
      const status = async (): Promise<unknown[]> => {
        const found = (await lab.caller.must("GET", `${task}/status`)) as { status: string; exitstatus?: string };
        return [found.status, found.exitstatus];
      };
      assert.deepEqual(await status(), ["running", undefined]);
      await lab.caller.must("DELETE", task);
      await lab.simulator.idle();
      assert.deepEqual([await status(), lab.vm().status], [["stopped", "interrupted by signal"], "stopped"]);
      const log = await lab.caller.must("GET", `${task}/log`);
      assert.deepEqual(log, [{ n: 1, t: "TASK ERROR: interrupted by signal" }]);
    });

    it("of a guest that does not go off in time: refused, or stopped where that is asked for", async () => {
      const lab = await start({ durations: { shutdown: 100 } });
      const shutdown = (more: Record<string, string>): Promise<unknown> =>
        lab.caller.task("POST", "/nodes/pve/qemu/101/status/shutdown", { timeout: "0", ...more });
      assert.equal(await shutdown({}), "VM quit/powerdown failed - got timeout");
      assert.equal(lab.vm(101).status, "running");
      assert.equal(await shutdown({ forceStop: "1" }), "OK");
      assert.equal(lab.vm(101).status, "stopped");
      assert.equal(await shutdown({}), "OK");
    });

    it("tell the test when a guest boots, goes off and is gone, and await it", async () => {
      const seen: string[] = [];
      const hook = (what: string) => async (vm: Vm) => {
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(`${what} ${vm.vmId} ${vm.status}`);
      };
      const lab = await start({ onBoot: hook("boot"), onOff: hook("off"), onDelete: hook("gone") });
      await lab.make();
      for (const action of ["start", "reboot", "stop"]) {
        await lab.caller.must("POST", `${machine}/status/${action}`);
        await lab.simulator.idle();
      }
      await lab.caller.must("DELETE", machine);
      await lab.simulator.idle();
      const boot = "boot 201 running";
      const off = "off 201 stopped";
      assert.deepEqual(seen, [boot, off, boot, off, "gone 201 stopped"]);
    });
  });
});
