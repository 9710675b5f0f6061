import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, rmSync, truncateSync, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { skip } from "../support/needs";
import { declared, type Declared } from "./declared";
import { foreignDisks } from "./foreign-disks";
import { debianImage } from "./image";
import { beyond, Machine } from "./machine";
import { endWithParent, noNamespaces } from "./namespace";
import { instanceOf, noCloudFiles, type CloudInit } from "./no-cloud";

/** The lines of progress that say what was changed. */
const changes = (stderr: string): string[] => stderr.split("\n").filter((line) => line.includes(": changed "));

const label = "longhorn";
const dataDisk = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1";
const dropIn = "/etc/cloud/cloud.cfg.d/99-home-cluster.cfg";

/** What must be as it was after a second run, and after each boot. */
const whatStays = `
hostnamectl --static
blkid -c /dev/null -s UUID -s LABEL -s TYPE -o export ${dataDisk} | grep -v DEVNAME
findmnt --noheadings --output TARGET,FSTYPE,LABEL,OPTIONS /var/lib/longhorn
cat /etc/fstab /etc/modules-load.d/home-cluster.conf ${dropIn}
mkdir -p /run/below && mount --bind / /run/below && lsattr -d /run/below/var/lib/longhorn && umount /run/below
systemctl show --property=Before --value var-lib-longhorn.mount | tr ' ' '\\n' | grep -E '^(docker|containerd).service' | sort
for module in iscsi_tcp dm_crypt nfs; do ls -d /sys/module/$module; done
for unit in iscsid qemu-guest-agent docker home-cluster-routing.timer; do
  echo "$unit $(systemctl is-enabled $unit) $(systemctl is-active $unit)"
done
readlink /etc/resolv.conf
ip -4 -o address show scope global | awk '{ print $2, $4 }'
ip route show
ip rule show
ip route show table 10101
nft list table ip home_cluster
cat /etc/ssh/ssh_host_ed25519_key.pub
docker version --format '{{.Server.Version}}'
systemctl --failed --no-legend
`;

describe("provisioning a real Debian machine (QEMU; does not prove Proxmox, nor what the hardware of a real one does)", function () {
  this.bail(true);
  let given: Declared;
  let machine: Machine;
  let cloudInit: CloudInit;
  let stays: string;
  let key: string;

  const provision = (): ReturnType<Machine["operation"]> => machine.operation("provision", given.provision);

  /** Provisions, and returns what that changed; fails when it is refused. */
  async function provisioned(): Promise<string[]> {
    const { code, stdout, stderr } = await provision();
    assert.equal(code, 0, stderr);
    key = (JSON.parse(stdout) as { hostKey: string }).hostKey;
    return changes(stderr);
  }

  before(async function () {
    this.timeout(1_800_000);
    const missing = noNamespaces();
    if (missing !== undefined) skip(this, missing);
    endWithParent();
    given = await declared();
    const { networks, provision: input, systemDisk } = given;
    machine = await Machine.make(await debianImage(), { networks, address: input.address, systemDiskGib: systemDisk });
    cloudInit = { ...given.cloudInit, keys: [machine.publicKey] };
  });

  after(async () => machine?.dispose());

  afterEach(function () {
    if (this.currentTest?.state === "failed") process.stderr.write(`the machine's console:\n${machine.console()}\n`);
  });

  it("boots with the cloud-init data that Proxmox generates for it, and has the name, addresses, DNS and disk that were declared", async () => {
    await machine.start(cloudInit);
    await machine.booted();
    const [name, full, instance, address, dns, domain, size] = (
      await machine.script(`
        hostnamectl --static
        hostname --fqdn
        cat /var/lib/cloud/data/instance-id
        ip -4 -o address show scope global | awk '{ printf "%s %s ", $2, $4 }'; ip route show default | awk '{ print $3 }'
        resolvectl dns eth0 | cut -d ' ' -f 4-
        resolvectl domain eth0 | cut -d ' ' -f 4-
        df --output=size --block-size=1G / | tail -n 1`)
    ).split("\n");
    assert.deepEqual([name, full], ["debian-1", "debian-1.home.example.org"]);
    assert.equal(instance, instanceOf(noCloudFiles(cloudInit)));
    assert.equal(address, "eth0 192.168.10.21/24 eth1 192.168.40.21/24 192.168.10.1");
    assert.deepEqual([dns, domain], ["192.168.10.1", "home.example.org"]);
    assert.ok(Number(size) >= given.systemDisk - 2, `the root file system has ${size} GiB`);
    // What the routing of provisioning is for: the answer leaves by the first card, and the router drops it.
    assert.equal(await machine.scriptThrough("192.168.40.21", beyond, "hostname"), undefined);
  });

  for (const { what, make, says } of foreignDisks) {
    it(`refuses a data disk that holds ${what}, says so to the operator, and leaves every byte of it as it was`, async () => {
      const path = machine.file("foreign");
      writeFileSync(path, "");
      truncateSync(path, 64 * 1024 * 1024);
      make(path);
      const before = await checksum(path);
      await machine.attach("scsi1", { path, format: "raw" });
      const { code, stderr } = await provision();
      await machine.detach("scsi1");
      assert.deepEqual([code, changes(stderr)], [1, []], stderr);
      assert.match(stderr, says);
      assert.equal(await checksum(path), before);
      rmSync(path);
    });
  }

  it("installs, formats, mounts, loads and starts what is declared, over SSH, from nothing but the image's own archive", async () => {
    const path = machine.file("data");
    writeFileSync(path, "");
    truncateSync(path, given.dataDisk * 1024 ** 3);
    await machine.attach("scsi1", { path, format: "raw" });
    assert.deepEqual(
      (await provisioned()).map((line) => line.replace(/^debian-1: changed /, "").replace(/^(packages) .*/, "$1")),
      [
        `file system on ${dataDisk}`,
        "/var/lib/longhorn immutable below the mount",
        "/etc/fstab",
        "/var/lib/longhorn mounted",
        "packages",
        "/etc/modules-load.d/home-cluster.conf",
        "module iscsi_tcp",
        "module dm_crypt",
        "module nfs",
        "service iscsid",
        "service qemu-guest-agent",
        "/etc/resolv.conf",
        "/etc/systemd/networkd.conf.d/home-cluster.conf",
        "/usr/local/sbin/home-cluster-routing",
        "/etc/home-cluster/routing",
        "/etc/systemd/system/home-cluster-routing.service",
        "/etc/systemd/system/home-cluster-routing.timer",
        "routing of 1 more cards",
      ],
    );
    stays = await machine.script(whatStays);
    assert.match(stays, /^----i\S* \/run\/below\/var\/lib\/longhorn$/m);
    assert.match(stays, /^containerd\.service\ndocker\.service$/m);
    assert.match(stays, new RegExp(`^LABEL=${label}\\nUUID=\\S+\\nTYPE=ext4$`, "m"));
    assert.match(stays, /^\/var\/lib\/longhorn +ext4 +longhorn +rw/m);
    for (const unit of [
      "iscsid enabled",
      "docker enabled",
      "home-cluster-routing.timer enabled",
      "qemu-guest-agent static",
    ]) {
      assert.match(stays, new RegExp(`^${unit} active$`, "m"));
    }
    for (const module of ["iscsi_tcp", "dm_crypt", "nfs"])
      assert.match(stays, new RegExp(`^/sys/module/${module}$`, "m"));
    assert.match(stays, /^192\.168\.40\.0\/24 dev eth1 scope link *\n/m);
    assert.match(await machine.script("cat /etc/resolv.conf"), /^nameserver 192\.168\.10\.1$/m);
    assert.equal((await machine.script("docker info --format '{{.Driver}}'")).trim(), "overlay2");
  });

  it("met the host key that the guest agent returns", async () => {
    assert.equal(key, await machine.hostKey());
  });

  it("changes nothing when it provisions again: no line, no file, no service", async () => {
    const services = "systemctl show --property=InvocationID iscsid docker qemu-guest-agent systemd-networkd ssh";
    const before = await machine.script(`touch /run/before; ${services}`);
    assert.deepEqual(await provisioned(), []);
    assert.equal(await machine.script(services), before);
    assert.equal(await machine.script("find /etc /usr /boot /var/lib/dpkg /var/lib/longhorn -newer /run/before"), "");
    assert.equal(await machine.script(whatStays), stays);
  });

  it("answers a client beyond the second network through the second card", async () => {
    assert.equal(await machine.scriptThrough("192.168.40.21", beyond, "hostname"), "debian-1\n");
  });

  it("grows the file system, mounted as it is, after the disk grew", async () => {
    await machine.resize("scsi1", given.dataDisk + 50);
    given = { ...given, provision: { ...given.provision, dataDisk: given.dataDisk + 50 } };
    assert.deepEqual(await provisioned(), [`debian-1: changed file system grown to ${given.dataDisk + 50} GiB`]);
  });

  it("keeps everything over a reboot", async () => {
    await machine.reboot();
    assert.equal(await machine.script(whatStays), stays);
    assert.deepEqual(await provisioned(), []);
    assert.equal(await machine.scriptThrough("192.168.40.21", beyond, "hostname"), "debian-1\n");
  });

  it("keeps the host key when Proxmox makes a new instance of it, and takes the new name server and key", async () => {
    await machine.powerOff();
    const other = { ...cloudInit, nameServers: ["192.168.10.53"], keys: [...cloudInit.keys, otherKey] };
    await machine.start(other, { scsi1: { path: machine.file("data"), format: "raw" } });
    await machine.booted();
    assert.equal((await machine.script("cat /var/lib/cloud/data/instance-id")).trim(), instanceOf(noCloudFiles(other)));
    assert.equal(await machine.hostKey(), key);
    assert.match(await machine.script("cat /etc/resolv.conf"), /^nameserver 192\.168\.10\.53$/m);
    assert.match(await machine.script("cat /home/debian/.ssh/authorized_keys"), /another@example\.org$/m);
    assert.equal(await machine.script(whatStays), stays);
  });

  it("would have lost the host key by Debian's own settings, and is provisioned all the same, with the new one", async () => {
    const file = "/etc/ssh/ssh_host_ed25519_key.pub";
    const newInstance = "cloud-init single --name ssh --frequency always >&2";
    assert.ok((await machine.script(`${newInstance}; cat ${file}`)).startsWith(key));
    await machine.script(`rm ${dropIn}; ${newInstance}; systemctl restart ssh`);
    const after = await machine.hostKey();
    assert.notEqual(after, key);
    assert.deepEqual(await provisioned(), [`debian-1: changed ${dropIn}`]);
    assert.equal(key, after);
  });
});

/** A second operator's, made up: nobody has the private half. */
const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKmnxjiWCo2dBUeZ9syV7CVu0vdOHoblOY4ytkUBr7cv another@example.org";

async function checksum(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
