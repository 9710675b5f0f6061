import assert from "node:assert/strict";
import { connect } from "../../../operations/connect";
import type { System } from "../../../operations/operation";

const kubeconfig = JSON.stringify({
  apiVersion: "v1",
  kind: "Config",
  "current-context": "home",
  clusters: [{ name: "home", cluster: { server: "https://127.0.0.1:6443" } }],
  users: [{ name: "operator", user: { token: "t" } }],
  contexts: [{ name: "home", context: { cluster: "home", user: "operator" } }],
});
const access = {
  proxmox: { endpoint: "https://pve.home.example.org:8006/", token: "t" },
  rancher: {
    url: "https://rancher.home.example.org",
    token: "t",
    clusterId: "c-abc12",
    clusterName: "home",
    distribution: "rke1" as const,
  },
  kubernetes: { kubeconfig },
  ssh: { privateKey: "k" },
};
const systems: readonly System[] = ["proxmox", "rancher", "kubernetes", "ssh"];

describe("operations/connect (does not prove that any system answers)", () => {
  for (const system of systems) {
    it(`gives ${system} to an operation that declares it, the same one each time, and refuses the others by name`, async () => {
      const clients = await connect(access, [system]);
      assert.equal(clients[system], clients[system]);
      assert.equal(typeof clients[system], "object");
      for (const other of systems.filter((name) => name !== system)) {
        assert.throws(() => clients[other], new RegExp(`the operation uses ${other} without declaring`));
      }
    });

    it(`refuses ${system} when the request carries no way into it`, async () => {
      const clients = await connect({ ...access, [system]: undefined }, systems);
      assert.throws(() => clients[system], new RegExp(`the operation uses ${system} without declaring`));
    });
  }

  it("writes progress to standard error and leaves standard output to the result", async () => {
    const write = process.stderr.write.bind(process.stderr);
    const lines: string[] = [];
    process.stderr.write = (text: string | Uint8Array) => lines.push(String(text)) > 0;
    try {
      (await connect(access, [])).log("debian-1: changed something");
    } finally {
      process.stderr.write = write;
    }
    assert.deepEqual(lines, ["debian-1: changed something\n"]);
  });

  it("says where the systems are that the operation declares, and no others", async () => {
    const { network } = await connect(access, ["kubernetes", "rancher"]);
    assert.equal(network.urlOf("kubernetes"), "https://127.0.0.1:6443");
    assert.equal(network.urlOf("rancher"), "https://rancher.home.example.org");
    assert.throws(() => network.urlOf("proxmox"), /the operation uses proxmox without declaring/);
    assert.equal((await connect(access, ["proxmox"])).network.urlOf("proxmox"), "https://pve.home.example.org:8006/");
  });

  it("takes names and addresses as the machine does, and a name that nobody has for none", async () => {
    const { network } = await connect(access, []);
    assert.deepEqual(await network.addressesOf("127.0.0.2"), ["127.0.0.2"]);
    assert.deepEqual(await network.addressesOf("[::1]"), ["::1"]);
    assert.equal(
      (await network.addressesOf("localhost")).some((one) => ["127.0.0.1", "::1"].includes(one)),
      true,
    );
    // Too long to be asked for: nothing of a test leaves the machine.
    assert.deepEqual(await network.addressesOf("x".repeat(300)), []);
  });

  it("keeps the machine's time", async () => {
    const { clock } = await connect(access, []);
    const before = Date.now();
    await clock.sleep(1);
    assert.ok(clock.now() >= before);
  });
});
