import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "../support/environment";
import type { Image } from "./image";
import { Namespace, type Run } from "./namespace";
import { noCloudFiles, type CloudInit } from "./no-cloud";
import { monitor, type JsonLines } from "./qmp";

/** Seconds: all of them for a machine whose processor is a program, beside whatever else runs here. */
const limits = { boot: 600, powerOff: 180, script: 300, operation: 1800 };

/** Where clients beyond the second network are. */
export const beyond = "203.0.113.9";

/** A network that the machine has a card in, as its router: the namespace. */
export interface Network {
  /** The router's address with its prefix length. */
  readonly router: string;
  /** The machine's card. */
  readonly mac: string;
}

/** A file that holds a disk. */
export interface Disk {
  readonly path: string;
  readonly format: "qcow2" | "raw";
}

/** Every disk that a test may attach has its controller from the start (virtio-scsi-single). */
const controllers = ["scsi0", "scsi1", "scsi2"];

/**
 * A Debian machine as Proxmox would start it, in QEMU without any hardware's help: machine type, processor, disks, cards, agent channel and cloud-init drive have
 * the form that Proxmox gives them. Its networks end in a namespace that holds nothing else; that namespace is the router, the clients and the operator.
 */
export class Machine {
  private process: ChildProcess | undefined;
  private monitor: JsonLines | undefined;

  private constructor(
    private readonly namespace: Namespace,
    private readonly image: Image,
    private readonly networks: readonly Network[],
    /** Where it answers. */
    private readonly address: string,
    /** The operator's private key, for the user of cloud-init. */
    readonly key: string,
    readonly publicKey: string,
  ) {}

  static async make(
    image: Image,
    given: { readonly networks: readonly Network[]; readonly address: string; readonly systemDiskGib: number },
  ): Promise<Machine> {
    const { networks, address, systemDiskGib } = given;
    const namespace = await Namespace.make();
    try {
      const at = (name: string): string => namespace.file(name);
      await namespace.must("ip", ["-batch", "-"], {
        input: [
          "link set lo up",
          `address add ${beyond}/32 dev lo`,
          ...networks.flatMap(({ router }, index) => [
            `tuntap add tap${index} mode tap`,
            `link set tap${index} up`,
            `address add ${router} dev tap${index}`,
          ]),
        ].join("\n"),
      });
      // A router that drops what arrives on the wrong side, as firewalls do.
      await namespace.must("sysctl", ["-q", "-w", "net.ipv4.conf.all.rp_filter=1"]);
      await namespace.must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", at("key")]);
      const layer = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        image.disk,
        at("system.qcow2"),
        `${systemDiskGib}G`,
      ];
      await namespace.must("qemu-img", layer);
      return new Machine(
        namespace,
        image,
        networks,
        address,
        readFileSync(at("key"), "utf8"),
        readFileSync(at("key.pub"), "utf8").trim(),
      );
    } catch (error) {
      await namespace.dispose();
      throw error;
    }
  }

  file(name: string): string {
    return this.namespace.file(name);
  }

  /** Starts it with this cloud-init data, and these disks beside the system's, by their Proxmox names. Does not wait for anything in there. */
  async start(cloudInit: CloudInit, disks: Readonly<Record<string, Disk>> = {}): Promise<void> {
    const seed = this.file("seed");
    rmSync(seed, { recursive: true, force: true });
    mkdirSync(seed);
    for (const [name, text] of Object.entries(noCloudFiles(cloudInit))) writeFileSync(join(seed, name), text);
    const iso = [
      "-as",
      "genisoimage",
      "-quiet",
      "-iso-level",
      "3",
      "-J",
      "-R",
      "-V",
      "cidata",
      "-o",
      `${seed}.iso`,
      seed,
    ];
    await this.namespace.must("xorriso", iso);
    for (const name of ["monitor", "agent"]) rmSync(this.file(name), { force: true });
    const system: Disk = { path: this.file("system.qcow2"), format: "qcow2" };
    const attached = Object.entries({ scsi0: system, ...disks });
    this.process = this.namespace.start(
      "qemu-system-x86_64",
      ...["-name", cloudInit.name, "-machine", "pc", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1536"],
      // What Proxmox calls x86-64-v2-AES.
      ...["-cpu", "qemu64,+aes,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3"],
      ...["-nodefaults", "-no-user-config", "-display", "none"],
      ...["-kernel", this.image.kernel, "-initrd", this.image.initrd, "-append", this.image.arguments],
      ...[
        "-chardev",
        `file,id=serial0,path=${this.file("console")},append=on`,
        "-device",
        "isa-serial,chardev=serial0",
      ],
      ...["-chardev", `socket,id=qga0,path=${this.file("agent")},server=on,wait=off`, "-device", "virtio-serial"],
      ...["-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"],
      ...["-qmp", `unix:${this.file("monitor")},server=on,wait=off`],
      ...controllers.flatMap((name) => ["-device", `virtio-scsi-pci,id=controller-${name}`]),
      ...attached.flatMap(([name, disk]) =>
        ["-blockdev", blockOf(name, disk), "-device", deviceOf(name)].map(asArgument),
      ),
      ...["-blockdev", `driver=raw,node-name=ide2,read-only=on,file.driver=file,file.filename=${seed}.iso`],
      ...["-device", "ide-cd,bus=ide.1,unit=0,drive=ide2"],
      ...this.networks.flatMap(({ mac }, index) => [
        ...["-netdev", `tap,id=net${index},ifname=tap${index},script=no,downscript=no`],
        ...["-device", `virtio-net-pci,netdev=net${index},mac=${mac},addr=0x${(18 + index).toString(16)}`],
      ]),
    );
    this.monitor = await this.until("QEMU's monitor", 30, () => monitor(this.file("monitor")));
  }

  /** Attaches a disk to the running machine, under its Proxmox name. */
  async attach(name: string, disk: Disk): Promise<void> {
    await this.monitor?.call("blockdev-add", blockOf(name, disk));
    await this.monitor?.call("device_add", deviceOf(name));
  }

  async detach(name: string): Promise<void> {
    const gone = this.monitor?.event("DEVICE_DELETED");
    await this.monitor?.call("device_del", { id: name });
    await gone;
    await this.monitor?.call("blockdev-del", { "node-name": name });
  }

  /** Grows a disk of the running machine. */
  async resize(name: string, gib: number): Promise<void> {
    await this.monitor?.call("block_resize", { "node-name": name, size: gib * 1024 ** 3 });
  }

  /** Runs one of the program's operations as `pulumi up` does: its own entry in a process of its own, everything over standard input. */
  async operation(verb: string, input: object): Promise<Run> {
    const access = {
      // Never called: what Proxmox is asked in these operations, the machine's agent is asked directly.
      proxmox: {
        endpoint: "https://127.0.0.1:8006/",
        token: "nobody@pve!nothing=00000000-0000-0000-0000-000000000000",
      },
      ssh: { privateKey: this.key },
    };
    const entry = [join(root, "test", "register.js"), join(root, "test", "machine", "operation.ts")];
    return this.namespace.run(process.execPath, ["--require", ...entry, verb, this.file("agent")], {
      input: JSON.stringify({ version: 1, access, input }),
      seconds: limits.operation,
    });
  }

  /** Runs a script in there as root, through OpenSSH's client, which refuses a host key that changed. Returns what it printed. */
  async script(text: string, options: readonly string[] = []): Promise<string> {
    return this.namespace.must(
      "ssh",
      [...this.sshOptions(), ...options, `debian@${this.address}`, "sudo bash -seuo pipefail"],
      {
        input: text,
        seconds: limits.script,
      },
    );
  }

  /** The same, through another of its addresses and from another of the client's; undefined when no connection comes about. */
  async scriptThrough(address: string, from: string, text: string): Promise<string | undefined> {
    const options = [...this.sshOptions(), "-b", from, "-o", `HostKeyAlias=${this.address}`];
    const { code, stdout } = await this.namespace.run("ssh", [...options, `debian@${address}`, text], { seconds: 30 });
    return code === 0 ? stdout : undefined;
  }

  /** The key that a stranger meets, as `ssh-ed25519 AAAA…`. */
  async hostKey(): Promise<string> {
    const found = await this.namespace.must("ssh-keyscan", ["-t", "ed25519", this.address]);
    return found.trim().split(/\s+/).slice(1).join(" ");
  }

  /** Waits until cloud-init is done with this boot. */
  async booted(): Promise<void> {
    await this.until("an SSH server", limits.boot, () => this.script("true"));
    await this.script("cloud-init status --wait >&2 || [[ $? == 2 ]]; systemctl is-system-running --wait >&2 || true");
  }

  async reboot(): Promise<void> {
    const id = "cat /proc/sys/kernel/random/boot_id";
    const before = await this.script(id);
    // The connection may go before the command's end is told.
    await this.script("systemctl reboot").catch(() => undefined);
    await this.until("another boot", limits.boot, async () => assert.notEqual(await this.script(id), before));
    await this.booted();
  }

  /** As `qm shutdown`: the power button, then waits until it is off. */
  async powerOff(): Promise<void> {
    const { process: qemu } = this;
    if (!qemu || !this.monitor) return;
    const ended = new Promise<void>((resolve) => qemu.once("exit", () => resolve()));
    await this.monitor.call("system_powerdown");
    const late = sleep(limits.powerOff * 1000, true, { ref: false });
    assert.ok(!(await Promise.race([ended, late])), `the machine was not off within ${limits.powerOff} s`);
    this.monitor.close();
    this.process = this.monitor = undefined;
  }

  /** The end of what the machine printed on its console. */
  console(lines = 60): string {
    try {
      return readFileSync(this.file("console"), "utf8").split("\n").slice(-lines).join("\n");
    } catch {
      return "(nothing on the console)";
    }
  }

  async dispose(): Promise<void> {
    this.monitor?.close();
    await this.namespace.dispose();
  }

  /** Tries each second, until it does not throw; gives up with its last error, and at once when QEMU is gone. */
  private async until<T>(what: string, seconds: number, look: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      try {
        return await look();
      } catch (error) {
        const gone = this.process === undefined || this.process.exitCode !== null;
        if (gone || Date.now() > deadline) {
          const why = gone ? "QEMU has ended" : `not within ${seconds} s`;
          throw new Error(`${what}: ${why}; last: ${error instanceof Error ? error.message : String(error)}`);
        }
        await sleep(1000);
      }
    }
  }

  private sshOptions(): string[] {
    const settings = ["BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=accept-new", "LogLevel=ERROR"];
    const known = `UserKnownHostsFile=${this.file("known_hosts")}`;
    return ["-F", "none", "-i", this.file("key"), ...[...settings, known].flatMap((setting) => ["-o", setting])];
  }
}

/** What the guest flushes is not written through: nothing of it has to survive the machine that this runs on. */
function blockOf(name: string, { path, format }: Disk): object {
  const common = { discard: "unmap", cache: { "no-flush": true } };
  return { driver: format, "node-name": name, ...common, file: { driver: "file", filename: path, ...common } };
}

/** `device_id` is what Proxmox names a disk by: the guest makes /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1 of it. */
function deviceOf(name: string): object {
  const place = { bus: `controller-${name}.0`, channel: 0, "scsi-id": 0, lun: Number(name.replace("scsi", "")) };
  return { driver: "scsi-hd", id: name, drive: name, device_id: `drive-${name}`, rotation_rate: 1, ...place };
}

function asArgument(argument: string | object): string {
  return typeof argument === "string" ? argument : JSON.stringify(argument);
}
