import assert from "node:assert/strict";
import type { V1Node } from "@kubernetes/client-node";
import fc from "fast-check";
import type { EtcdSnapshot, Role } from "../../../../operations/clients";
import { snapshotFindings } from "../../../../operations/cluster/etcd-snapshots";
import { nodeObject } from "../../../../rehearsal/home/guest";

const hour = 3_600_000;
const now = Date.UTC(2026, 7, 1);

/** A member that joined so many hours ago. */
function node(name: string, joined = 1000, roles: readonly Role[] = ["etcd"]): V1Node {
  const object = nodeObject(name, "192.168.10.1", roles, {});
  return { ...object, metadata: { ...object.metadata, creationTimestamp: new Date(now - joined * hour) } };
}

const snapshot = (age: number, heldBy: EtcdSnapshot["heldBy"] = "store"): EtcdSnapshot => ({
  name: `taken-${age}-ago`,
  takenAt: now - age * hour,
  heldBy,
});

function told(
  snapshots: readonly EtcdSnapshot[],
  nodes = [node("old-1"), node("old-2"), node("new-1", 10), node("new-2", 5)],
  roles: readonly Role[] = ["etcd"],
): string[] {
  return snapshotFindings(
    { nodes, rancher: [], etcd: { snapshots, seenAt: now } },
    { node: "old-1", roles },
    { leaving: ["old-1", "old-2"], snapshotHours: 24 },
  ).map(({ what, remedy }) => `${what}: ${remedy}`);
}

describe("the snapshot of etcd before a member leaves (does not prove that it can be restored)", () => {
  it("has to be young enough, to the millisecond, whatever order they come in", () => {
    assert.deepEqual(told([snapshot(300), snapshot(24), snapshot(30)]), []);
    const late = { ...snapshot(24), takenAt: now - 24 * hour - 1 };
    assert.deepEqual(told([snapshot(300), late, snapshot(30)]), [
      "etcd: its newest complete snapshot, taken-24-ago, is 24 h old, and at most 24 h are allowed: take one in Rancher " +
        "(Cluster Management, the cluster's menu, Take Snapshot) and wait until it is complete",
    ]);
  });

  it("one that does not exist is refused with how to get one", () => {
    assert.deepEqual(told([]), [
      "etcd: Rancher knows no complete snapshot of it, so there is no way back from a lost quorum: switch recurring snapshots on in Rancher " +
        "(the cluster's Edit Config, etcd), then take one in Rancher (Cluster Management, the cluster's menu, Take Snapshot) and wait until it is complete",
    ]);
  });

  it("one that only a node has which goes, now or later, counts for nothing", () => {
    const gone =
      "etcd: its snapshots of the last 24 h are on nodes that go and nowhere else (the newest is taken-1-ago): take one in Rancher " +
      "(Cluster Management, the cluster's menu, Take Snapshot) and wait until it is complete: the nodes that stay hold that one; S3 as their target holds each";
    for (const name of ["old-1", "old-2", "no-longer-there"])
      assert.deepEqual(told([snapshot(1, { node: name }), snapshot(100)]), [gone], name);
    assert.deepEqual(told([snapshot(1, { node: "old-1" }), snapshot(2, { node: "new-2" })]), []);
    // On the disks of every member that there was: the first that stays joined ten hours ago.
    assert.deepEqual(told([snapshot(9, "members")]), []);
    assert.deepEqual(
      told([snapshot(11, "members")]).map((line) => line.slice(0, 60)),
      ["etcd: its snapshots of the last 24 h are on nodes that go an"],
    );
    // A worker that stays holds none.
    assert.equal(told([snapshot(1, { node: "web" })], [node("old-1"), node("web", 1000, ["worker"])]).length, 1);
  });

  it("is asked for where a member leaves by any word, and of no other leave", () => {
    assert.equal(told([], [node("old-1")], ["worker"]).length, 1);
    assert.deepEqual(told([], [node("old-1", 1, ["worker"])], ["worker"]), []);
  });

  it("property: what it lets pass is young and outlives the leave", () => {
    const heldBy = fc.oneof(
      fc.constant("store" as const),
      fc.constantFrom("old-1", "old-2", "new-1", "new-2").map((name) => ({ node: name })),
    );
    fc.assert(
      fc.property(fc.array(fc.record({ age: fc.nat(48), heldBy })), (made) => {
        const good = made.some(
          ({ age, heldBy: by }) => age <= 24 && (typeof by === "string" || by.node.startsWith("new")),
        );
        return (told(made.map(({ age, heldBy: by }) => snapshot(age, by))).length === 0) === good;
      }),
    );
  });
});
