import assert from "node:assert/strict";
import type { V1Node } from "@kubernetes/client-node";
import fc from "fast-check";
import { etcdFindings, quorumOf, silentMembers } from "../../../../operations/cluster/etcd";
import type { Role } from "../../../../operations/clients";
import { nodeObject } from "../../../../rehearsal/home/guest";

function node(name: string, roles: readonly Role[], ready = true): V1Node {
  const object = nodeObject(name, "192.168.10.1", roles, {});
  return ready ? object : { ...object, status: { ...object.status, conditions: [{ type: "Ready", status: "False" }] } };
}

const leaver = (name: string, roles: readonly Role[] = ["etcd"]): { node: string; roles: readonly Role[] } => ({
  node: name,
  roles,
});

const cluster = fc.array(fc.record({ etcd: fc.boolean(), ready: fc.boolean() }), { minLength: 1, maxLength: 9 });

describe("etcd's arithmetic on live nodes (does not prove etcd's own health: the kubelet's readiness stands for it)", () => {
  it("property: what it lets pass survives the loss of one more member", () => {
    fc.assert(
      fc.property(cluster, fc.nat(8), (members, index) => {
        const nodes = members.map(({ etcd, ready }, at) => node(`n${at}`, etcd ? ["etcd"] : ["worker"], ready));
        const name = `n${index % members.length}`;
        const roles: readonly Role[] = members[index % members.length]?.etcd ? ["etcd"] : ["worker"];
        const findings = etcdFindings({ nodes, rancher: [] }, [leaver(name, roles)]);
        const remaining = members.filter((member, at) => member.etcd && `n${at}` !== name);
        const healthy = remaining.filter((member) => member.ready).length;
        if (!roles.includes("etcd")) return findings.length === 0;
        const safe = remaining.length >= 3 && healthy === remaining.length;
        return (findings.length === 0) === safe && (!safe || healthy - 1 >= quorumOf(remaining.length));
      }),
    );
  });

  it("property: taking several out at once is judged by what is left after the last", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (all, going) => {
        const nodes = Array.from({ length: all }, (_, at) => node(`n${at}`, ["etcd"]));
        const leavers = nodes.slice(0, going).map((other) => leaver(other.metadata?.name ?? ""));
        return (etcdFindings({ nodes, rancher: [] }, leavers).length === 0) === all - leavers.length >= 3;
      }),
    );
  });

  it("a quorum is more than half", () => assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(quorumOf), [1, 2, 2, 3, 3, 4, 4]));

  it("a node that leaves and is silent itself does not count against those that stay", () => {
    const nodes = [node("a", ["etcd"], false), ...["b", "c", "d"].map((name) => node(name, ["etcd"]))];
    assert.deepEqual(etcdFindings({ nodes, rancher: [] }, [leaver("a")]), []);
  });

  for (const [where, live, roles, rancher] of [
    ["the file", node("a", ["worker"]), ["etcd"], []],
    ["its label", node("a", ["etcd"]), ["worker"], []],
    ["Rancher", node("a", ["worker"]), ["worker"], [{ id: "m", nodeName: "a", state: "active", roles: ["etcd"] }]],
  ] as const) {
    it(`a member is known by ${where} alone`, () => {
      assert.equal(etcdFindings({ nodes: [live], rancher }, [leaver("a", roles)]).length, 1);
    });
  }

  it("a node that nobody calls a member asks for nothing", () =>
    assert.deepEqual(etcdFindings({ nodes: [node("a", ["worker"])], rancher: [] }, [leaver("a", ["worker"])]), []));

  it("silentMembers names members that are not Ready, and no worker", () => {
    const nodes = [
      node("a", ["etcd"], false),
      node("b", ["worker"], false),
      node("c", ["etcd"]),
      node("d", ["etcd"], false),
    ];
    assert.deepEqual(silentMembers(nodes, "a"), ["d"]);
  });
});
