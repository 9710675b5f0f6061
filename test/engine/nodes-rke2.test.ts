import assert from "node:assert/strict";
import { Lab } from "./lab/lab";

describe("nodes on the real engine: rke2 on two hosts (what Rancher's agent does with its settings is not shown)", () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.start({ name: "lab" });
  });
  after(() => lab.stop());

  it("joins every node as its distribution does, with a token made anew because the others had expired, and changes nothing the second time", async () => {
    lab.cluster.members.expireTokens();
    const expired = lab.cluster.members.tokens().map(({ token }) => token);
    const stack = await lab.stack("nodes");
    const outcome = await stack.up({ parallel: 40 });
    assert.ok(outcome.ok, outcome.text);
    const joins = lab.guests.ran.filter(({ script }) => script !== "provision");
    assert.deepEqual(joins.map(({ vmId, script }) => `${vmId} ${script}`).sort(), [
      "311 join-agent",
      "312 join-agent",
      "313 join-agent",
    ]);
    assert.deepEqual(
      joins.filter(({ variables }) => expired.includes(variables.TOKEN ?? "")),
      [],
    );
    assert.deepEqual(
      lab.home.rancher.nodes
        .filter(({ vmId }) => vmId > 310)
        .map(({ nodeName, state, roles }) => `${nodeName} ${state} ${roles.join(",")}`)
        .sort(),
      [
        "lab-debian-1 active controlplane,etcd,worker",
        "lab-debian-2 active controlplane,etcd,worker",
        "lab-debian-3 active controlplane,etcd",
      ],
    );
    assert.deepEqual(lab.home.proxmox.images.map(({ host }) => host).sort(), ["pve-a", "pve-b"]);
    lab.cluster.members.rotateToken();
    const again = await stack.up();
    assert.ok(again.ok, again.text);
    assert.deepEqual(again.done, []);
    for (const token of [...expired, ...lab.cluster.members.tokens().map((one) => one.token)])
      assert.equal(`${outcome.text}${again.text}`.includes(token), false, "no token is printed");
  });
});
