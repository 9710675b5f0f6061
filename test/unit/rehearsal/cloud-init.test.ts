import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cloudInitData } from "../../../rehearsal/home/cloud-init";

const settings = {
  name: "debian-1",
  searchdomain: "home.example.org lan",
  nameserver: "192.168.10.1 192.168.10.2",
  ciuser: "debian",
  sshkeys: encodeURIComponent("ssh-ed25519 AAAA first\nssh-ed25519 BBBB second\n"),
  net0: "virtio=BC:24:11:00:10:21,bridge=vmbr0",
  net1: "virtio=BC:24:11:00:40:21,bridge=vmbr0,tag=40",
  net2: "virtio=BC:24:11:00:50:21,bridge=vmbr0",
  net3: "virtio=BC:24:11:00:60:21,bridge=vmbr0",
  ipconfig0: "gw=192.168.10.1,ip=192.168.10.21/24",
  ipconfig1: "ip=192.168.40.21/20",
  ipconfig2: "ip=dhcp",
};

describe("rehearsal/home/cloud-init (the text is PVE::QemuServer::Cloudinit's, not tried on a real Proxmox)", () => {
  const { user, network, meta, instance } = cloudInitData(settings, 201);

  it("makes the user's data", () => {
    assert.equal(
      user,
      `#cloud-config
hostname: debian-1
manage_etc_hosts: true
fqdn: debian-1.home.example.org lan
user: debian
ssh_authorized_keys:
  - ssh-ed25519 AAAA first
  - ssh-ed25519 BBBB second
chpasswd:
  expire: False
users:
  - default
package_upgrade: true
`,
    );
  });

  it("makes the network's, of each card that has an address", () => {
    assert.equal(
      network,
      `version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:00:10:21'
      subnets:
      - type: static
        address: '192.168.10.21'
        netmask: '255.255.255.0'
        gateway: '192.168.10.1'
    - type: physical
      name: eth1
      mac_address: 'bc:24:11:00:40:21'
      subnets:
      - type: static
        address: '192.168.40.21'
        netmask: '255.255.240.0'
    - type: physical
      name: eth2
      mac_address: 'bc:24:11:00:50:21'
      subnets:
      - type: dhcp4
    - type: nameserver
      address:
      - '192.168.10.1'
      - '192.168.10.2'
      search:
      - 'home.example.org'
      - 'lan'
`,
    );
  });

  it("names an instance after both, another one for any change", () => {
    assert.equal(
      instance,
      createHash("sha1")
        .update(user + network)
        .digest("hex"),
    );
    assert.equal(meta, `instance-id: ${instance}\n`);
    for (const change of [
      { name: "debian-2" },
      { sshkeys: "ssh-ed25519%20CCCC" },
      { net1: settings.net0 },
      { ipconfig0: null },
    ])
      assert.notEqual(cloudInitData({ ...settings, ...change }, 201).instance, instance, JSON.stringify(change));
    assert.equal(cloudInitData({ ...settings, memory: "4096" }, 201).instance, instance);
  });

  it("knows root, a password, a full name, no upgrade, and a machine that was told nothing", () => {
    const other = cloudInitData({ name: "a.b.c", ciuser: "root", cipassword: "$5$x", ciupgrade: 0 }, 201).user;
    const [head, tail] = ["#cloud-config\nhostname: ", "chpasswd:\n  expire: False\n"];
    assert.equal(
      other,
      `${head}a\nmanage_etc_hosts: true\nfqdn: a.b.c\nuser: root\ndisable_root: False\npassword: $5$x\n${tail}`,
    );
    const nothing = cloudInitData({}, 201);
    const rest = "users:\n  - default\npackage_upgrade: true\n";
    assert.equal(nothing.user, `${head}VM201\nmanage_etc_hosts: true\nfqdn: VM201\n${tail}${rest}`);
    assert.equal(nothing.network, "version: 1\nconfig:\n    - type: nameserver\n");
    assert.match(
      cloudInitData({ net0: "virtio", ipconfig0: "gw=10.0.0.1" }, 201).network,
      /mac_address: ''\n {6}subnets:\n {4}-/,
    );
  });
});
