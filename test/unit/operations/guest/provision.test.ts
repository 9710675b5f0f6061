import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs } from "../../../support/needs";
import { guestScripts } from "../../../support/nodes";

const MiB = 1024 * 1024;

/**
 * A machine in a folder: stubs of every command that would touch this one, which keep what they did in files. Real are bash, coreutils, awk, and on the data
 * disk (a file) wipefs, blkid, mkfs.ext4 and dumpe2fs: what "empty" means is theirs to say.
 */
class Machine {
  readonly root = mkdtempSync(join(tmpdir(), "guest-"));
  readonly disk = join(this.root, "disk");
  private readonly bin = join(this.root, "stubs");

  constructor() {
    for (const folder of ["stubs", "state", "etc", "run/systemd/resolve", "sys/module", "proc"]) {
      mkdirSync(join(this.root, folder), { recursive: true });
    }
    writeFileSync(this.disk, "");
    truncateSync(this.disk, 16 * MiB);
    writeFileSync(this.file("/etc/fstab"), "PARTUUID=1 / ext4 rw,discard 0 1\n");
    writeFileSync(this.file("/run/systemd/resolve/resolv.conf"), "nameserver 192.168.10.1\n");
    writeFileSync(join(this.root, "run/systemd/resolve/stub-resolv.conf"), "nameserver 127.0.0.53\n");
    symlinkSync("../run/systemd/resolve/stub-resolv.conf", this.file("/etc/resolv.conf"));
    this.stub("cloud-init", 'exit "$(cat "$STATE/cloud-init" 2>/dev/null || echo 0)"');
    this.stub(
      "hostnamectl",
      'case $1 in --static) cat "$STATE/hostname" 2>/dev/null ;; set-hostname) echo "$2" >"$STATE/hostname" ;; esac',
    );
    this.stub("dpkg-query", 'grep -qx "${!#}" "$STATE/installed" 2>/dev/null && echo -n installed || exit 1');
    this.stub("apt-cache", '[[ -e "$STATE/updated" && "$2" == docker-cli && -e "$STATE/trixie" ]]');
    this.stub(
      "apt-get",
      `case "$*" in
        *update) touch "$STATE/updated" ;;
        *install*) [[ -e "$STATE/updated" ]] || exit 100; printf '%s\\n' "\${@:7}" >>"$STATE/installed" ;;
      esac; echo "output of apt"`,
    );
    this.stub("modprobe", '[[ ! -e "$STATE/no-$1" ]] && mkdir "$ROOT/sys/module/$1"');
    this.stub(
      "systemctl",
      `case $1 in
        is-enabled|is-active) grep -qx "$3" "$STATE/services" 2>/dev/null ;;
        enable) echo "$3" >>"$STATE/services" ;;
        start) [[ ! -e "$STATE/fails-$2" ]] && echo "$2" >>"$STATE/services" ;;
        disable) sed -i "/^$3$/d" "$STATE/services" ;;
      esac`,
    );
    this.stub("journalctl", "echo no card with that address");
    this.stub("udevadm", "exit 0");
    this.stub("sleep", "exit 0");
    this.stub("lsblk", 'echo disk; cat "$STATE/partitions" 2>/dev/null || true');
    this.stub("blockdev", 'stat --format %s "$2"');
    this.stub("findmnt", 'cat "$STATE/mounted" 2>/dev/null');
    this.stub("mount", 'echo longhorn >"$STATE/mounted"');
    this.stub("chattr", 'echo "$2" >>"$STATE/immutable"');
    this.stub(
      "lsattr",
      'if grep -qx "$2" "$STATE/immutable" 2>/dev/null; then echo "----i---- $2"; else echo "--------- $2"; fi',
    );
    // Without -t and a device it would look at the disks of this machine.
    this.stub("blkid", 'if [[ $1 == -c ]]; then cat "$STATE/labelled" 2>/dev/null; else exec /usr/sbin/blkid "$@"; fi');
    this.stub("resize2fs", 'echo "$1" >>"$STATE/resized"');
  }

  stub(name: string, body: string): void {
    writeFileSync(join(this.bin, name), `#!/bin/bash\necho "${name} $*" >>"$STATE/log"\n${body}\n`);
    chmodSync(join(this.bin, name), 0o755);
  }

  file(path: string): string {
    return join(this.root, path);
  }

  read(path: string): string {
    return readFileSync(this.file(path), "utf8");
  }

  set(name: string, content = ""): void {
    writeFileSync(this.file(`state/${name}`), content);
  }

  /** Runs the script as the SSH client does: variables, then the text, on standard input. */
  provision(settings: Record<string, string> = {}): { changed: string[]; error: string; code: number | null } {
    const all = {
      NODE_NAME: "debian-1",
      DISTRIBUTION: "rke1",
      DATA_DISK: this.disk,
      DATA_DISK_GIB: "200",
      CARDS: "",
      ...settings,
    };
    const variables = Object.entries({ ...all, ROOT: this.root }).map(([name, value]) => `${name}='${value}'\n`);
    const { stdout, stderr, status } = spawnSync("bash", ["-s"], {
      input: variables.join("") + readFileSync(join(guestScripts, "provision.sh"), "utf8"),
      env: {
        PATH: `${this.bin}:${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
        STATE: this.file("state"),
        ROOT: this.root,
      },
      encoding: "utf8",
    });
    return { changed: stdout.split("\n").filter(Boolean), error: stderr, code: status };
  }

  log(): string {
    return existsSync(this.file("state/log")) ? this.read("state/log") : "";
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }
}

const dropIn = "/etc/cloud/cloud.cfg.d/99-home-cluster.cfg";

const firstRun = (machine: Machine): string[] => [
  "changed host name debian-1",
  `changed ${dropIn}`,
  `changed file system on ${machine.disk}`,
  "changed /var/lib/longhorn immutable below the mount",
  "changed /etc/fstab",
  "changed /var/lib/longhorn mounted",
  "changed packages open-iscsi nfs-common cryptsetup dmsetup qemu-guest-agent curl ca-certificates sudo nftables docker.io",
  "changed /etc/modules-load.d/home-cluster.conf",
  "changed module iscsi_tcp",
  "changed module dm_crypt",
  "changed module nfs",
  "changed service iscsid",
  "changed service qemu-guest-agent",
  "changed service docker",
  "changed /etc/resolv.conf",
];

const cards = "bc:24:11:00:40:21,192.168.40.0/24,192.168.40.1 bc:24:11:00:50:21,192.168.50.0/24,192.168.50.1";

describe("operations/guest/provision.sh, in a folder with stub commands (does not prove systemd, apt or a kernel)", function () {
  this.timeout(30_000);
  let machine: Machine;

  before(function () {
    needs(this, "mkfs.ext4", "wipefs", "mkswap");
  });
  beforeEach(() => (machine = new Machine()));
  afterEach(() => machine.remove());

  it("brings a fresh machine to all that is declared, the disk before everything that could write below it", () => {
    const { changed, code, error } = machine.provision();
    assert.deepEqual({ changed, code }, { changed: firstRun(machine), code: 0 }, error);
    assert.equal(
      machine.read("/etc/fstab"),
      "PARTUUID=1 / ext4 rw,discard 0 1\n" +
        "LABEL=longhorn /var/lib/longhorn ext4 defaults,nofail,x-systemd.device-timeout=60s" +
        ["containerd", "docker", "rancher-system-agent", "rke2-server", "rke2-agent", "k3s", "k3s-agent"]
          .map((unit) => `,x-systemd.before=${unit}.service`)
          .join("") +
        " 0 2\n",
    );
    assert.equal(machine.read("/etc/modules-load.d/home-cluster.conf"), "iscsi_tcp\ndm_crypt\nnfs\n");
    assert.equal(readlinkSync(machine.file("/etc/resolv.conf")), "../run/systemd/resolve/resolv.conf");
    assert.equal(machine.read("state/immutable"), `${machine.file("/var/lib/longhorn")}\n`);
    const found = execFileSync("/usr/sbin/blkid", ["-p", "-o", "export", machine.disk], { encoding: "utf8" });
    assert.match(found, /^LABEL=longhorn$/m);
    assert.match(found, /^TYPE=ext4$/m);
  });

  it("changes nothing the second time, not a byte and not a service", () => {
    machine.provision({ CARDS: cards });
    const disk = execFileSync("sha256sum", [machine.disk], { encoding: "utf8" });
    const { mtimeMs } = statSync(machine.file("/etc/fstab"));
    writeFileSync(machine.file("state/log"), "");
    const { changed, code } = machine.provision({ CARDS: cards });
    assert.deepEqual({ changed, code }, { changed: [], code: 0 });
    assert.equal(execFileSync("sha256sum", [machine.disk], { encoding: "utf8" }), disk);
    assert.equal(statSync(machine.file("/etc/fstab")).mtimeMs, mtimeMs);
    assert.doesNotMatch(
      machine.log(),
      /^(apt-get|modprobe|mount|chattr|mkfs|resize2fs|systemctl (enable|start|try|daemon))/m,
    );
  });

  it("tells cloud-init to keep the host keys when Proxmox makes a new instance of the machine", () => {
    assert.equal(machine.provision().code, 0);
    assert.match(machine.read(dropIn), /^ssh_deletekeys: false$/m);
    writeFileSync(machine.file(dropIn), "ssh_deletekeys: true\n");
    assert.deepEqual(machine.provision().changed, [`changed ${dropIn}`]);
    assert.match(machine.read(dropIn), /^ssh_deletekeys: false$/m);
  });

  it("does neither docker nor resolv.conf for rke2, and nothing about a disk that is not declared", () => {
    const { changed, code } = machine.provision({ DISTRIBUTION: "rke2", DATA_DISK: "", DATA_DISK_GIB: "" });
    assert.equal(code, 0);
    assert.deepEqual(
      changed,
      firstRun(machine)
        .filter((line) => !/longhorn|fstab|file system|docker$|resolv/.test(line))
        .toSpliced(
          2,
          1,
          "changed packages open-iscsi nfs-common cryptsetup dmsetup qemu-guest-agent curl ca-certificates sudo nftables",
        ),
    );
    assert.equal(execFileSync("/usr/sbin/wipefs", ["--noheadings", machine.disk], { encoding: "utf8" }), "");
  });

  it("installs Debian 13's docker command, which is a package of its own there", () => {
    machine.set("trixie");
    assert.match(machine.provision().changed.join("\n"), /docker\.io docker-cli$/m);
    assert.deepEqual(machine.provision().changed, []);
  });

  const foreign: [string, (disk: string) => void, RegExp][] = [
    [
      "an ext4 file system under another label",
      (disk) => void run("mkfs.ext4", "-q", "-L", "photos", disk),
      /it holds: ext4 photos$/m,
    ],
    ["a swap area", (disk) => void run("mkswap", disk), /it holds: swap$/m],
    ["a partition table", (disk) => writeFileSync(disk, withPartition(readFileSync(disk))), /it holds: dos$/m],
  ];
  for (const [what, prepare, message] of foreign) {
    it(`refuses a data disk with ${what}, says what it found and does not touch it`, () => {
      prepare(machine.disk);
      const before = execFileSync("sha256sum", [machine.disk], { encoding: "utf8" });
      const { code, error, changed } = machine.provision();
      assert.equal(code, 1);
      assert.match(error, message);
      assert.deepEqual(changed, ["changed host name debian-1", `changed ${dropIn}`]);
      assert.equal(execFileSync("sha256sum", [machine.disk], { encoding: "utf8" }), before);
    });
  }

  it("refuses partitions that the kernel knows, a disk that the second prober is not sure of, and one that is not there", () => {
    machine.set("partitions", "disk1\ndisk2\n");
    assert.match(machine.provision().error, /has partitions: disk1 disk2$/m);
    rmSync(machine.file("state/partitions"));
    machine.stub("blkid", "[[ $1 == -c ]] || exit 8");
    assert.match(machine.provision().error, /may not be empty: blkid --probe ends with 8$/m);
    assert.match(machine.provision({ DATA_DISK: "/dev/none" }).error, /of 200 GiB is not there: no \/dev\/none$/m);
    assert.equal(execFileSync("/usr/sbin/wipefs", ["--noheadings", machine.disk], { encoding: "utf8" }), "");
  });

  it("refuses a second disk with the label, since it mounts by label", () => {
    machine.set("labelled", `${machine.disk}\n/dev/null\n`);
    assert.match(machine.provision().error, /a second disk, \/dev\/null, carries the label longhorn/);
  });

  it("refuses to hide files that somebody wrote below the mount, and a mount of something else", () => {
    mkdirSync(machine.file("/var/lib/longhorn/replicas"), { recursive: true });
    assert.match(machine.provision().error, /holds files on the root file system/);
    machine.set("mounted", "other\n");
    assert.match(machine.provision().error, /already mounted from a file system labelled 'other'/);
  });

  it("mounts our own file system again without formatting it, and puts the fstab line right", () => {
    machine.provision();
    rmSync(machine.file("state/mounted"));
    writeFileSync(
      machine.file("/etc/fstab"),
      "PARTUUID=1 / ext4 rw 0 1\n/dev/sdb /var/lib/longhorn ext4 defaults 0 0\n",
    );
    assert.deepEqual(machine.provision().changed, ["changed /etc/fstab", "changed /var/lib/longhorn mounted"]);
    assert.doesNotMatch(machine.read("/etc/fstab"), /sdb/);
    assert.match(machine.read("/etc/fstab"), /^PARTUUID=1 .*\nLABEL=longhorn .*\n$/);
  });

  it("grows the file system after the disk grew", () => {
    machine.provision();
    truncateSync(machine.disk, 600 * MiB);
    assert.deepEqual(machine.provision().changed, ["changed file system grown to 200 GiB"]);
    assert.equal(machine.read("state/resized"), `${machine.disk}\n`);
  });

  it("goes on after warnings of cloud-init, and stops at its errors", () => {
    machine.set("cloud-init", "2");
    assert.equal(machine.provision().code, 0);
    machine.set("cloud-init", "1");
    assert.match(machine.provision().error, /cloud-init did not end well \(exit 1\)/);
  });

  it("refuses a kernel without a module, and a loopback name server as the only one", () => {
    machine.set("no-dm_crypt");
    assert.match(machine.provision().error, /the kernel has no module dm_crypt/);
    rmSync(machine.file("state/no-dm_crypt"));
    writeFileSync(machine.file("/run/systemd/resolve/resolv.conf"), "nameserver 127.0.0.53\n");
    assert.match(machine.provision().error, /no name server but the loopback one/);
  });

  it("leaves a resolv.conf without a loopback name server as it is", () => {
    rmSync(machine.file("/etc/resolv.conf"));
    writeFileSync(machine.file("/etc/resolv.conf"), "nameserver 192.168.10.1\n");
    assert.ok(!machine.provision().changed.includes("changed /etc/resolv.conf"));
  });

  it("installs the routing of further cards as a unit and a timer, and starts it", () => {
    const { changed, code } = machine.provision({ CARDS: cards });
    assert.equal(code, 0);
    assert.deepEqual(changed.slice(firstRun(machine).length), [
      "changed /etc/systemd/networkd.conf.d/home-cluster.conf",
      "changed /usr/local/sbin/home-cluster-routing",
      "changed /etc/home-cluster/routing",
      "changed /etc/systemd/system/home-cluster-routing.service",
      "changed /etc/systemd/system/home-cluster-routing.timer",
      "changed routing of 2 more cards",
    ]);
    assert.equal(
      machine.read("/etc/home-cluster/routing"),
      "bc:24:11:00:40:21 192.168.40.0/24 192.168.40.1\nbc:24:11:00:50:21 192.168.50.0/24 192.168.50.1\n",
    );
    assert.match(machine.log(), /^systemctl try-restart systemd-networkd$/m);
    assert.match(machine.log(), /^systemctl enable --now home-cluster-routing.timer$/m);
    assert.match(machine.log(), /^systemctl start home-cluster-routing.service$/m);
  });

  it("takes only what differs: one card less, then none", () => {
    machine.provision({ CARDS: cards });
    assert.deepEqual(machine.provision({ CARDS: cards.split(" ")[0] ?? "" }).changed, [
      "changed /etc/home-cluster/routing",
      "changed routing of 1 more cards",
    ]);
    writeFileSync(machine.file("/usr/local/sbin/home-cluster-routing"), '#!/bin/bash\ncp "$1" "$STATE/last-table"\n');
    assert.deepEqual(machine.provision().changed, ["changed routing removed"]);
    assert.equal(machine.read("state/last-table"), "");
    assert.ok(!existsSync(machine.file("/etc/home-cluster/routing")));
    assert.deepEqual(machine.provision().changed, []);
  });

  it("starts routing again that somebody stopped, and says why it does not start", () => {
    machine.provision({ CARDS: cards });
    machine.set("services", machine.read("state/services").replace("home-cluster-routing.timer\n", ""));
    assert.deepEqual(machine.provision({ CARDS: cards }).changed, ["changed routing of 2 more cards"]);
    machine.set("fails-home-cluster-routing.service");
    machine.set("services", machine.read("state/services").replace(/home-cluster-routing.timer\n/g, ""));
    const { code, error } = machine.provision({ CARDS: cards });
    assert.equal(code, 1);
    assert.match(error, /refused: routing: no card with that address/);
  });
});

/** A disk with an MBR of one Linux partition. */
function withPartition(disk: Buffer): Buffer {
  disk.writeUInt8(0x83, 446 + 4);
  disk.writeUInt32LE(2048, 446 + 8);
  disk.writeUInt32LE(4096, 446 + 12);
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { env: { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` }, stdio: "ignore" });
}
