import assert from "node:assert/strict";
import { checkedVmIds } from "../../../../components/nodes/vm-ids";
import { isSecret, record, reveal } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { secrets, ways } from "../../../support/nodes";

const file = environment("home", (home) => {
  home.oldNodes?.splice(0, 1, { ...home.oldNodes[0], retired: true } as never);
});
const args = { cluster: "home", nodes: file.nodes, oldNodes: file.oldNodes, access: ways() };

describe("components/nodes/vm-ids", () => {
  it("asks for every node, with the token of Proxmox and no other secret, and hands each node its id", async () => {
    const asked: unknown[] = [];
    const ids: number[] = [];
    for (const preview of [false, true]) {
      const recording = await record(
        () => {
          const vmId = checkedVmIds(args, {});
          for (const node of file.nodes) vmId(node).apply((id) => ids.push(id));
        },
        {
          preview,
          call: (token, inputs) => {
            assert.equal(token, "command:local:run");
            assert.equal(inputs.command, "operations/run check-vm-ids");
            asked.push(JSON.parse(String(isSecret(inputs.stdin) ? reveal(inputs.stdin) : inputs.stdin)));
            return { stdout: JSON.stringify({ vmIds: { "debian-1": 1, "debian-2": 2, "debian-3": 3 } }) };
          },
        },
      );
      assert.equal(recording.error, undefined);
    }
    const request = {
      version: 1,
      access: { proxmox: { endpoint: "https://pve.home.example.org:8006/", token: secrets.proxmoxToken } },
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
    // In the preview as well: that is where a refusal is wanted most.
    assert.deepEqual(asked, [request, request]);
    assert.deepEqual(ids, [1, 2, 3, 1, 2, 3]);
  });

  it("gives no id to a node that the answer does not name", async () => {
    const { error } = await record(
      () => {
        const [node] = file.nodes;
        assert.ok(node);
        return { id: checkedVmIds(args, {})(node) };
      },
      { call: () => ({ stdout: '{"vmIds":{}}' }) },
    );
    assert.match(String(error), /check-vm-ids did not answer for debian-1/);
  });
});
