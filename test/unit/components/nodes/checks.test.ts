import assert from "node:assert/strict";
import { checkedBeforehand } from "../../../../components/nodes/checks";
import { isSecret, record, reveal } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { secrets, ways } from "../../../support/nodes";

const file = environment("home", (home) => {
  home.oldNodes?.splice(0, 1, { ...home.oldNodes[0], retired: true } as never);
  home.proxmox.hosts.push({ ...home.proxmox.hosts[0], name: "pve-b", address: "192.168.10.3" } as never);
  delete home.nodes[2]?.dataDisk;
  home.longhorn.replicas = 2;
});
const args = {
  cluster: "home",
  nodes: file.nodes,
  hosts: file.proxmox.hosts,
  oldNodes: file.oldNodes,
  access: ways(),
};
const answers: Record<string, object> = {
  "check-vm-ids": { vmIds: { "debian-1": 1, "debian-2": 2, "debian-3": 3 } },
  "check-hosts": { hosts: { pve: { imageDatastore: "answered" } } },
};

describe("components/nodes/checks", () => {
  it("asks for every node and every host that one uses, with the token of Proxmox and no other secret, and hands ids and datastores on", async () => {
    const asked: Record<string, unknown> = {};
    const got: unknown[] = [];
    for (const preview of [false, true]) {
      const recording = await record(
        () => {
          const { vmId, imageDatastore } = checkedBeforehand(args, {});
          for (const node of file.nodes) vmId(node).apply((id) => got.push(id));
          imageDatastore("pve").apply((name) => got.push(name));
        },
        {
          preview,
          call: (token, inputs) => {
            assert.equal(token, "command:local:run");
            const verb = String(inputs.command).replace("operations/run ", "");
            asked[`${verb} ${preview}`] = JSON.parse(
              String(isSecret(inputs.stdin) ? reveal(inputs.stdin) : inputs.stdin),
            );
            return { stdout: JSON.stringify(answers[verb]) };
          },
        },
      );
      assert.equal(recording.error, undefined);
    }
    const access = { proxmox: { endpoint: "https://pve.home.example.org:8006/", token: secrets.proxmoxToken } };
    const ids = {
      version: 1,
      access,
      input: {
        nodes: [
          { name: "debian-1", host: "pve", vmId: 201 },
          { name: "debian-2", host: "pve", vmId: 202 },
          { name: "debian-3", host: "pve", vmId: 203 },
        ],
        tag: "home-cluster-home",
        // rancheros-1 is retired: not seeing it proves nothing.
        oldNodes: ["rancheros-2", "rancheros-3"],
      },
    };
    const hosts = {
      version: 1,
      access,
      input: {
        hosts: [{ name: "pve", imageDatastore: "local", diskDatastore: "local-lvm" }],
        nodes: [
          { name: "debian-1", host: "pve", vmId: 201, disks: 240 },
          { name: "debian-2", host: "pve", vmId: 202, disks: 240 },
          { name: "debian-3", host: "pve", vmId: 203, disks: 40 },
        ],
      },
    };
    // In the preview as well: that is where a refusal is wanted most.
    assert.deepEqual(asked, {
      "check-vm-ids false": ids,
      "check-hosts false": hosts,
      "check-vm-ids true": ids,
      "check-hosts true": hosts,
    });
    assert.deepEqual(got, [1, 2, 3, "answered", 1, 2, 3, "answered"]);
  });

  it("gives nothing to a node or host that the answers do not name", async () => {
    const [node] = file.nodes;
    assert.ok(node);
    for (const [verb, said] of [
      ["check-vm-ids", /check-vm-ids did not answer for debian-1/],
      ["check-hosts", /check-hosts did not answer for pve/],
    ] as const) {
      const { error } = await record(
        () => {
          const { vmId, imageDatastore } = checkedBeforehand(args, {});
          return { value: verb === "check-vm-ids" ? vmId(node) : imageDatastore("pve") };
        },
        {
          call: (_, inputs) => {
            const asked = String(inputs.command).replace("operations/run ", "");
            return { stdout: JSON.stringify(asked === verb ? { vmIds: {}, hosts: {} } : answers[asked]) };
          },
        },
      );
      assert.match(String(error), said);
    }
  });
});
