import assert from "node:assert/strict";
import { labs, machine, said, token } from "../../../support/pve-lab";

type Found = Record<string, unknown>;

describe("rehearsal/simulators/proxmox: changes to machines (what is taken at once is as in PVE::QemuServer; not tried on a real one)", () => {
  const start = labs();

  it("a running machine takes some at once, and the rest with its next start; config shows both before", async () => {
    const cases: Record<string, readonly [changes: Record<string, string>, waiting: readonly string[]]> = {
      "memory, cores, processor": [{ memory: "16384", cores: "6", cpu: "host" }, ["cores", "cpu", "memory"]],
      "balloon from off to on": [{ balloon: "1024" }, ["balloon"]],
      "name, tags, protection": [{ name: "other", tags: "a", description: "b", protection: "1", onboot: "0" }, []],
      "cloud-init": [{ ipconfig0: "ip=192.168.10.99/24", ciuser: "me", nameserver: "192.168.10.2" }, []],
      "a card more, one moved": [{ net2: "virtio,bridge=vmbr1", net1: "virtio=BC:24:11:00:40:21,bridge=vmbr1" }, []],
      "a card less": [{ delete: "net1" }, []],
      "a disk more": [{ scsi2: "local-lvm:10" }, []],
      "a disk on a bus without hotplug": [{ sata0: "local-lvm:10" }, ["sata0"]],
      "how a disk is cached": [{ scsi1: "local-lvm:vm-{id}-disk-1,cache=writeback" }, ["scsi1"]],
      "whether a disk is backed up": [
        { scsi0: "local-lvm:vm-{id}-disk-0,aio=io_uring,cache=none,discard=on,iothread=1,ssd=1,backup=0" },
        [],
      ],
      "a disk less": [{ delete: "scsi1" }, []],
      "vga, bios, boot order": [{ vga: "std", bios: "ovmf", boot: "order=scsi1" }, ["bios", "boot", "vga"]],
      "a serial port less": [{ delete: "serial0" }, ["serial0"]],
      "the agent's channel": [{ agent: "enabled=1,type=isa" }, ["agent"]],
      "the agent's trim": [{ agent: "enabled=1,type=virtio" }, []],
      "a medium in the drive": [{ ide3: "none,media=cdrom" }, []],
      "what it has already": [{ memory: "12288", cores: "4", delete: "vcpus,cpulimit" }, []],
    };
    const lab = await start({ tokens: { [token]: "all" } });
    const waiting: Record<string, readonly string[]> = {};
    for (const [index, [title, [changes]]] of Object.entries(cases).entries()) {
      const vmId = 201 + index;
      const path = `/nodes/pve/qemu/${vmId}`;
      await lab.make(vmId);
      await lab.caller.task("POST", `${path}/status/start`);
      const own = Object.entries(changes).map(([key, value]) => [key, value.replace("{id}", String(vmId))]);
      await lab.caller.must("PUT", `${path}/config`, Object.fromEntries(own) as Record<string, string>);
      waiting[title] = Object.keys(lab.vm(vmId).pending ?? {}).sort();
      const { digest, ...shown } = (await lab.caller.must("GET", `${path}/config`)) as Found;
      assert.match(String(digest), /^[0-9a-f]{40}$/);
      await lab.caller.task("POST", `${path}/status/reboot`);
      assert.equal(lab.vm(vmId).pending, undefined, title);
      assert.deepEqual(lab.vm(vmId).config, shown, `${title}: what config showed before is what the machine then has`);
    }
    assert.deepEqual(
      waiting,
      Object.fromEntries(Object.entries(cases).map(([title, [, expected]]) => [title, expected])),
    );
  });

  it("a stopped machine takes all of it", async () => {
    const lab = await start();
    await lab.make();
    await lab.caller.must("PUT", `${machine}/config`, { memory: "4096", cores: "2", delete: "serial0" });
    const { pending, memory, config } = lab.vm();
    assert.deepEqual([pending, memory, config?.cores, config?.serial0], [undefined, 4, 2, undefined]);
  });

  it("current=1 shows what runs, and a digest guards against writes in between", async () => {
    const lab = await start();
    await lab.make();
    await lab.caller.task("POST", `${machine}/status/start`);
    const read = async (current: string): Promise<Found> =>
      (await lab.caller.must("GET", `${machine}/config`, { current })) as Found;
    const digest = String((await read("1")).digest);
    await lab.caller.must("PUT", `${machine}/config`, { memory: "16384", digest });
    assert.deepEqual([(await read("1")).memory, (await read("0")).memory], ["12288", "16384"]);
    const late = await lab.caller.send("PUT", `${machine}/config`, { cores: "1", digest });
    assert.deepEqual(said(late), [500, "checksum mismatch (file change by other user?)"]);
  });

  it("other settings for cloud-init name another instance, which the guest has after its next start", async () => {
    const lab = await start();
    await lab.make();
    await lab.caller.task("POST", `${machine}/status/start`);
    const dump = async (type: string): Promise<string> =>
      String(await lab.caller.must("GET", `${machine}/cloudinit/dump`, { type }));
    const inGuest = (): string => `instance-id: ${lab.home.guests[201]?.instance}\n`;
    const before = inGuest();
    assert.equal(await dump("meta"), before);
    await lab.caller.must("PUT", `${machine}/config`, { ipconfig0: "ip=192.168.10.99/24" });
    await lab.caller.must("PUT", `${machine}/cloudinit`);
    assert.deepEqual([(await dump("meta")) === before, inGuest() === before], [false, true]);
    await lab.caller.task("POST", `${machine}/status/reboot`);
    assert.equal(await dump("meta"), inGuest());
    assert.match(await dump("user"), /^hostname: debian-1$.*^user: debian$.*^ {2}- ssh-ed25519 AAAAC3\S+ me@home$/ms);
    assert.match(await dump("network"), /address: '192\.168\.10\.99'\n +netmask: '255\.255\.255\.0'\n/);
    assert.match(await dump("network"), /search:\n +- 'home'\n$/);
    const settings = (await lab.caller.must("GET", `${machine}/cloudinit`)) as { key: string; value: unknown }[];
    assert.deepEqual(settings.find(({ key }) => key === "ipconfig0")?.value, "ip=192.168.10.99/24");
  });

  it("a disk that is taken off stays as an unused one, can come back, and is gone when that is removed", async () => {
    const lab = await start({}, ({ proxmox }) => Object.assign(proxmox.datastores[1] ?? {}, { thin: false }));
    const room = (): number => lab.home.proxmox.datastores[1]?.available ?? 0;
    const config = (changes: Record<string, string>): Promise<unknown> =>
      lab.caller.must("PUT", `${machine}/config`, changes);
    await lab.make();
    await config({ delete: "scsi1" });
    assert.deepEqual([lab.vm().config?.unused0, lab.vm().disks], ["local-lvm:vm-201-disk-1", [3]]);
    await config({ scsi3: "local-lvm:vm-201-disk-1" });
    assert.deepEqual([lab.vm().config?.unused0, lab.vm().disks], [undefined, [3, 200]]);
    await config({ delete: "scsi3" });
    const before = room();
    await config({ delete: "unused0" });
    assert.equal(room() - before, 200 * 2 ** 30);
    const content = (await lab.caller.must("GET", "/nodes/pve/storage/local-lvm/content", {})) as { vmid: number }[];
    assert.equal(content.filter(({ vmid }) => vmid === 201).length, 2);
  });

  it("protection set through the API protects, until it is taken off again", async () => {
    const lab = await start();
    await lab.make();
    await lab.caller.must("PUT", `${machine}/config`, { protection: "1" });
    assert.equal(lab.vm().protection, true);
    assert.deepEqual(said(await lab.caller.send("DELETE", machine)), [
      ...[500, "can't remove VM 201 - protection mode enabled"],
    ]);
    await lab.caller.must("PUT", `${machine}/config`, { protection: "0" });
    assert.equal(await lab.caller.task("DELETE", machine), "OK");
  });

  it("a disk grows by so much or to so much", async () => {
    const lab = await start();
    await lab.make();
    for (const [size, gib] of [
      [String(40 * 2 ** 30), 40],
      ["+2G", 42],
      ["42G", 42],
    ] as const) {
      assert.equal(await lab.caller.task("PUT", `${machine}/resize`, { disk: "scsi0", size }), "OK");
      assert.deepEqual(lab.vm().disks, [gib, 200]);
    }
  });
});
