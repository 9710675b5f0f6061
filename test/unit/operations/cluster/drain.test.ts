import assert from "node:assert/strict";
import { ApiRefusal, type StoredObject } from "../../../../operations/clients";
import { cordon, uncordon } from "../../../../operations/cluster/cordon";
import { drain } from "../../../../operations/cluster/drain";
import { pods } from "../../../../operations/kinds";
import { add, counted, find, migratedHome, nodeIn, podOn, refusalOf, standing } from "../../../support/migrated-home";

describe("drain on the pretend cluster (does not prove a real eviction: test/cluster)", () => {
  it("evicts what may go, leaves what belongs to the node, and forces nothing", async () => {
    const { home, clients, log } = await migratedHome();
    for (const name of ["a", "b", "c"]) add(home, podOn("rancheros-1", name));
    const before = (await clients.kubernetes.list(pods)).filter(
      (pod) => pod.metadata?.ownerReferences?.[0]?.kind === "DaemonSet",
    );
    await cordon(clients, "rancheros-1");
    const watched = counted(clients, (_, call) => assert.match(call, /^kubernetes\.(list|evict)$/));
    await drain(watched, "rancheros-1");
    const left = (await clients.kubernetes.list(pods)).filter((pod) => pod.spec?.nodeName === "rancheros-1");
    assert.deepEqual(
      left,
      before.filter((pod) => pod.spec?.nodeName === "rancheros-1"),
    );
    assert.ok(left.length > 0, "the home has no DaemonSet pod on it, so this proves nothing");
    assert.deepEqual(
      log.filter((line) => line.endsWith("pods to move")),
      ["rancheros-1: 3 pods to move", "rancheros-1: 0 pods to move"],
    );
  });

  it("waits for a pod that is shutting down, without asking for it again", async () => {
    const { home, clients, clock } = await migratedHome();
    add(
      home,
      podOn("rancheros-1", "slow", (pod) => (pod.metadata = { ...pod.metadata, deletionTimestamp: new Date() })),
    );
    clients.kubernetes.evict = () => assert.fail("it was asked for again");
    const before = clock.now();
    const run = drain(clients, "rancheros-1");
    await clock.sleep(200_000);
    home.kubernetes.objects = home.kubernetes.objects.filter((object) => object.metadata?.name !== "slow");
    await run;
    assert.ok(clock.now() - before >= 200_000);
  });

  it("names every pod that is left at the deadline, and why", async () => {
    const { home, clients } = await migratedHome();
    add(
      home,
      podOn("rancheros-1", "slow", (pod) => (pod.metadata = { ...pod.metadata, deletionTimestamp: new Date() })),
    );
    add(home, podOn("rancheros-1", "busy"));
    clients.kubernetes.evict = async () => ({ evicted: false, reason: "too many requests" });
    const { what, why } = await refusalOf(drain(clients, "rancheros-1"));
    assert.equal(what, "rancheros-1: drain: not within 900 s");
    assert.equal(why, "last seen: apps/slow is shutting down; apps/busy was not evicted: too many requests");
  });

  it("a pod that is evicted and does not go is named as shutting down", async () => {
    const { home, clients } = await migratedHome();
    add(home, podOn("rancheros-1", "stuck"));
    clients.kubernetes.evict = async () => ({ evicted: true });
    assert.equal((await refusalOf(drain(clients, "rancheros-1"))).why, "last seen: the last pods are shutting down");
  });

  it("names every budget that holds a pod, and not those with room or of other pods", async () => {
    const { home, clients } = await migratedHome();
    add(home, podOn("rancheros-1", "web"));
    for (const [name, app, allowed] of [
      ["none", "web", 0],
      ["also-none", "web", 0],
      ["room", "web", 1],
      ["other", "db", 0],
    ] as const) {
      add(home, {
        apiVersion: "policy/v1",
        kind: "PodDisruptionBudget",
        metadata: { name, namespace: "apps" },
        spec: { selector: { matchLabels: { app } } },
        status: { disruptionsAllowed: allowed },
      } as StoredObject);
    }
    const { why } = await refusalOf(drain(clients, "rancheros-1"));
    assert.equal(why, "last seen: apps/web is held by the disruption budget none and also-none");
  });

  it("ends at once at a pod under two budgets, which the API never evicts, and names both; any other error is passed on", async () => {
    const { home, clients } = await migratedHome();
    const answer = new ApiRefusal(500, "Unknown", "This pod has more than one PodDisruptionBudget");
    clients.kubernetes.evict = () => Promise.reject(answer);
    add(home, podOn("rancheros-1", "web"));
    await assert.rejects(drain(clients, "rancheros-1"), answer);
    for (const name of ["one", "two"]) {
      add(home, {
        apiVersion: "policy/v1",
        kind: "PodDisruptionBudget",
        metadata: { name, namespace: "apps" },
        spec: { selector: { matchLabels: { app: "web" } } },
        status: { disruptionsAllowed: 1 },
      } as StoredObject);
    }
    assert.deepEqual(await refusalOf(drain(clients, "rancheros-1")), {
      what: "apps/web cannot be evicted",
      why: "the disruption budgets one and two both select it, and the eviction API refuses a pod with more than one",
      next: "leave it one of them (`kubectl -n apps get poddisruptionbudgets`)",
    });
  });
});

describe("cordon", () => {
  it("records that it was ours, and taking it back leaves no trace", async () => {
    const { home, clients } = await migratedHome();
    const before = structuredClone(nodeIn(home, "rancheros-1"));
    await cordon(clients, "rancheros-1");
    assert.deepEqual(standing(home).cordoned, ["rancheros-1"]);
    await cordon(clients, "rancheros-1");
    await uncordon(clients, "rancheros-1");
    const { metadata, ...rest } = nodeIn(home, "rancheros-1");
    assert.deepEqual(rest, {
      apiVersion: before.apiVersion,
      kind: before.kind,
      spec: before.spec,
      status: before.status,
    });
    assert.deepEqual(metadata?.annotations, {});
  });

  it("does not take back what somebody else did, and minds no node that is gone", async () => {
    const { home, clients } = await migratedHome();
    nodeIn(home, "rancheros-1").spec = { unschedulable: true };
    const before = structuredClone(home);
    await cordon(clients, "rancheros-1");
    await uncordon(clients, "rancheros-1");
    await cordon(clients, "nobody");
    await uncordon(clients, "nobody");
    assert.deepEqual(home, before);
    assert.equal(find(home, "Node", "rancheros-1").metadata?.annotations, undefined);
  });
});
