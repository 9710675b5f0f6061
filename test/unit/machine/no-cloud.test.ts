import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parse } from "yaml";
import { instanceOf, noCloudFiles, type CloudInit } from "../../machine/no-cloud";

const given: CloudInit = {
  name: "debian-1",
  domain: "home.example.org",
  nameServers: ["192.168.10.1"],
  user: "debian",
  keys: ["ssh-ed25519 AAAA operator@example.org"],
  cards: [
    { mac: "BC:24:11:00:10:21", address: "192.168.10.21/24", gateway: "192.168.10.1" },
    { mac: "BC:24:11:00:40:21", address: "192.168.40.21/20" },
  ],
};

describe("test/machine/no-cloud (what PVE::QemuServer::Cloudinit makes; read there, not compared with a Proxmox)", () => {
  it("has the user's, the network's and the instance's data, and empty vendor data", () => {
    const files = noCloudFiles(given);
    assert.deepEqual(Object.keys(files).sort(), ["meta-data", "network-config", "user-data", "vendor-data"]);
    assert.equal(files["vendor-data"], "");
    assert.match(files["user-data"] ?? "", /^#cloud-config\n/);
    assert.deepEqual(parse(files["user-data"] ?? ""), {
      hostname: "debian-1",
      manage_etc_hosts: true,
      fqdn: "debian-1.home.example.org",
      user: "debian",
      ssh_authorized_keys: ["ssh-ed25519 AAAA operator@example.org"],
      chpasswd: { expire: false },
      users: ["default"],
      package_upgrade: true,
    });
    assert.deepEqual(parse(files["network-config"] ?? ""), {
      version: 1,
      config: [
        {
          type: "physical",
          name: "eth0",
          mac_address: "bc:24:11:00:10:21",
          subnets: [{ type: "static", address: "192.168.10.21", netmask: "255.255.255.0", gateway: "192.168.10.1" }],
        },
        {
          type: "physical",
          name: "eth1",
          mac_address: "bc:24:11:00:40:21",
          subnets: [{ type: "static", address: "192.168.40.21", netmask: "255.255.240.0" }],
        },
        { type: "nameserver", address: ["192.168.10.1"], search: ["home.example.org"] },
      ],
    });
    const both = `${files["user-data"]}${files["network-config"]}`;
    assert.equal(files["meta-data"], `instance-id: ${createHash("sha1").update(both).digest("hex")}\n`);
  });

  const changes: Record<string, Partial<CloudInit>> = {
    name: { name: "debian-2" },
    user: { user: "other" },
    key: { keys: ["ssh-ed25519 BBBB"] },
    address: { cards: given.cards.map((card) => ({ ...card, address: "192.168.10.22/24" })) },
    "name server": { nameServers: ["192.168.10.53"] },
  };
  for (const [what, change] of Object.entries(changes)) {
    it(`is another instance with another ${what}`, () => {
      assert.notEqual(instanceOf(noCloudFiles({ ...given, ...change })), instanceOf(noCloudFiles(given)));
    });
  }

  it("is the same instance as long as nothing changes", () => {
    assert.equal(instanceOf(noCloudFiles(structuredClone(given))), instanceOf(noCloudFiles(given)));
  });
});
