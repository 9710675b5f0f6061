import assert from "node:assert/strict";
import type { V1ConfigMap, V1Pod, V1PodDisruptionBudget, V1Service } from "@kubernetes/client-node";
import { ApiRefusal, type StoredObject } from "../../../operations/clients";
import {
  configMaps,
  disruptionBudgets,
  jobs,
  longhornNodes,
  longhornReplicas,
  nodes,
  pods,
  services,
  volumeAttachments,
} from "../../../operations/kinds";
import { buildHome } from "../../../rehearsal/home/build";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { nodeObject } from "../../../rehearsal/home/guest";
import { PretendKubernetes } from "../../../rehearsal/home/kubernetes";
import type { HomeState } from "../../../rehearsal/home/state";
import { environment } from "../../support/environment";

interface Fixture {
  readonly home: HomeState;
  readonly clock: VirtualClock;
  readonly api: PretendKubernetes;
}

/** An API server over an empty store, unless objects are asked for. */
async function fixture(...objects: StoredObject[]): Promise<Fixture> {
  const home = buildHome(environment("home"));
  home.kubernetes.objects = [];
  const clock = new VirtualClock(home.now);
  const api = new PretendKubernetes(home, clock);
  for (const object of objects) await api.create(object);
  await clock.idle();
  return { home, clock, api };
}

function configMap(name: string, data: Record<string, string>, namespace = "default"): V1ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace, labels: { app: name } }, data };
}

function pod(name: string, owner: string | undefined, node = "old-1"): V1Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "games",
      labels: { app: "game" },
      ...(owner && { ownerReferences: [{ apiVersion: "apps/v1", kind: owner, name: "game", uid: `${owner}-uid` }] }),
    },
    spec: { nodeName: node, containers: [] },
    status: { phase: "Running" },
  };
}

function budget(disruptionsAllowed: number, labels: Record<string, string> = { app: "game" }): StoredObject {
  const object: V1PodDisruptionBudget = {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "game", namespace: "games" },
    spec: { selector: { matchLabels: labels } },
    status: { disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  };
  return object;
}

async function refused(run: Promise<unknown>, status: number, reason: string): Promise<void> {
  const error = await run.then(
    () => assert.fail("was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ApiRefusal, String(error));
  assert.deepEqual([error.status, error.reason], [status, reason]);
}

/** A model of what operations rely on, by the documented API; the real API server is the cluster tier's. No finalizers, no admission but MetalLB's. */
describe("PretendKubernetes (a model: does not prove what a real API server answers)", () => {
  describe("reading", () => {
    it("tells the server's version", async () => {
      const { home, api } = await fixture();
      assert.equal(await api.version(), home.kubernetes.version);
    });

    it("finds an object by kind, name and namespace, and none by a wrong one of them", async () => {
      const { api } = await fixture(configMap("a", { x: "1" }));
      assert.equal((await api.read(configMaps, "a", "default"))?.data?.x, "1");
      for (const [kind, name, namespace] of [
        [services, "a", "default"],
        [configMaps, "b", "default"],
        [configMaps, "a", "other"],
        [configMaps, "a", undefined],
        [{ ...configMaps, apiVersion: "v2" }, "a", "default"],
      ] as const) {
        assert.equal(await api.read<StoredObject>(kind, name, namespace), undefined, `${kind.kind} ${name}`);
      }
    });

    it("lists by namespace and by all given labels, and nothing for a kind that is not there", async () => {
      const { api } = await fixture(configMap("a", {}), configMap("b", {}), configMap("a", {}, "other"));
      const names = async (options: Parameters<typeof api.list>[1]): Promise<string[]> =>
        (await api.list(configMaps, options)).map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
      assert.deepEqual(await names({}), ["default/a", "default/b", "other/a"]);
      assert.deepEqual(await names({ namespace: "default" }), ["default/a", "default/b"]);
      assert.deepEqual(await names({ labels: { app: "a" } }), ["default/a", "other/a"]);
      assert.deepEqual(await names({ labels: { app: "a", more: "b" } }), []);
      assert.deepEqual(await api.list(jobs), []);
    });

    it("hands out copies: changing one changes nothing in the cluster", async () => {
      const { api } = await fixture(configMap("a", { x: "1" }));
      for (const copy of [await api.read(configMaps, "a", "default"), (await api.list(configMaps))[0]]) {
        assert.ok(copy?.data);
        copy.data.x = "changed";
      }
      assert.equal((await api.read(configMaps, "a", "default"))?.data?.x, "1");
    });
  });

  describe("create", () => {
    it("gives identity, version and age, and keeps the caller's object as it was", async () => {
      const { api, clock } = await fixture();
      const given = configMap("a", { x: "1" });
      const before = structuredClone(given);
      const created = await api.create(given);
      assert.deepEqual(given, before);
      assert.match(created.metadata?.uid ?? "", /^00000000-0000-4000-8000-\d{12}$/);
      assert.equal(created.metadata?.creationTimestamp?.getTime(), clock.now());
      assert.ok(created.metadata?.resourceVersion);
      assert.deepEqual(await api.read(configMaps, "a", "default"), created);
    });

    it("never gives the same identity twice", async () => {
      const { api } = await fixture();
      const first = await api.create(configMap("a", {}));
      await api.remove(configMaps, "a", "default");
      const second = await api.create(configMap("a", {}));
      assert.notEqual(second.metadata?.uid, first.metadata?.uid);
    });

    it("refuses a name that is taken, in a dry run too", async () => {
      const { api } = await fixture(configMap("a", {}));
      await refused(api.create(configMap("a", {})), 409, "AlreadyExists");
      await refused(api.create(configMap("a", {}), { dryRun: true }), 409, "AlreadyExists");
    });

    it("leaves nothing behind after a dry run", async () => {
      const { home, api } = await fixture();
      assert.ok((await api.create(configMap("a", {}), { dryRun: true })).metadata?.uid);
      assert.deepEqual(home.kubernetes.objects, []);
    });
  });

  describe("replace", () => {
    it("writes what was read and raises the version", async () => {
      const { api } = await fixture(configMap("a", { x: "1", y: "2" }));
      const read = await api.read(configMaps, "a", "default");
      assert.ok(read);
      const written = await api.replace({ ...read, data: { x: "3" } });
      assert.deepEqual(written.data, { x: "3" });
      assert.notEqual(written.metadata?.resourceVersion, read.metadata?.resourceVersion);
      assert.deepEqual(await api.read(configMaps, "a", "default"), written);
    });

    it("refuses what somebody else wrote in between", async () => {
      const { api } = await fixture(configMap("a", { x: "1" }));
      const [mine, theirs] = [await api.read(configMaps, "a", "default"), await api.read(configMaps, "a", "default")];
      assert.ok(mine && theirs);
      await api.replace({ ...theirs, data: { x: "theirs" } });
      await refused(api.replace({ ...mine, data: { x: "mine" } }), 409, "Conflict");
      assert.equal((await api.read(configMaps, "a", "default"))?.data?.x, "theirs");
    });

    it("refuses an object without a version", async () => {
      const { api } = await fixture(configMap("a", {}));
      await refused(api.replace(configMap("a", { x: "1" })), 409, "Conflict");
    });

    it("refuses an object that is not there", async () => {
      const { api } = await fixture();
      await refused(api.replace(configMap("a", {})), 404, "NotFound");
    });

    it("keeps identity and age whatever the writer sends", async () => {
      const { api } = await fixture(configMap("a", {}));
      const read = await api.read(configMaps, "a", "default");
      assert.ok(read?.metadata);
      const { uid, creationTimestamp, ...metadata } = read.metadata;
      const written = await api.replace<V1ConfigMap>({ ...read, metadata });
      assert.deepEqual([written.metadata?.uid, written.metadata?.creationTimestamp], [uid, creationTimestamp]);
    });
  });

  describe("patch (JSON merge patch, RFC 7386)", () => {
    it("merges objects, replaces everything else, removes by null and leaves undefined out, as JSON does", async () => {
      const service: V1Service = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "s", namespace: "default", annotations: { a: "1", b: "2" } },
        spec: { type: "ClusterIP", ports: [{ port: 80 }, { port: 443 }], selector: { app: "x" } },
      };
      const { api } = await fixture(service);
      const patched = await api.patch(
        services,
        "s",
        {
          metadata: { annotations: { a: null, c: "3" } },
          spec: { type: undefined, ports: [{ port: 8080 }], selector: null },
          status: { loadBalancer: { ingress: null } },
        },
        "default",
      );
      assert.deepEqual(patched.metadata?.annotations, { b: "2", c: "3" });
      assert.deepEqual(patched.spec, { type: "ClusterIP", ports: [{ port: 8080 }] });
      assert.deepEqual(patched.status, { loadBalancer: {} });
    });

    it("keeps a date a date", async () => {
      const { api } = await fixture(configMap("a", {}));
      const time = new Date(Date.UTC(2026, 0, 2));
      const patched = await api.patch<StoredObject>(
        configMaps,
        "a",
        { metadata: { deletionTimestamp: time } },
        "default",
      );
      assert.deepEqual(patched.metadata?.deletionTimestamp, time);
    });

    it("raises the version, and refuses one that is out of date when it is given", async () => {
      const { api } = await fixture(configMap("a", { x: "1" }));
      const resourceVersion = (await api.read(configMaps, "a", "default"))?.metadata?.resourceVersion;
      const patch = (x: string): object => ({ metadata: { resourceVersion }, data: { x } });
      const patched = await api.patch(configMaps, "a", patch("2"), "default");
      assert.notEqual(patched.metadata?.resourceVersion, resourceVersion);
      await refused(api.patch(configMaps, "a", patch("3"), "default"), 409, "Conflict");
      assert.equal((await api.read(configMaps, "a", "default"))?.data?.x, "2");
    });

    it("refuses an object that is not there", async () => {
      const { api } = await fixture();
      await refused(api.patch(configMaps, "a", {}, "default"), 404, "NotFound");
    });
  });

  describe("patch (JSON patch, RFC 6902; against the real API server in test/cluster/workloads.test.ts)", () => {
    const ports = [{ port: 80 }, { port: 443 }];
    const service: V1Service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "default", annotations: { "a/b~c": "1" } },
      spec: { type: "ClusterIP", ports },
    };

    it("changes single entries, replaces what an add names, and reads escaped keys", async () => {
      const { api } = await fixture(service);
      const patched = await api.patch(
        services,
        "s",
        [
          { op: "test", path: "/spec/ports/1/port", value: 443 },
          { op: "add", path: "/spec/ports/1/port", value: 8443 },
          { op: "add", path: "/spec/ports/0", value: { port: 1 } },
          { op: "add", path: "/spec/ports/-", value: { port: 2 } },
          { op: "remove", path: "/spec/ports/1" },
          { op: "test", path: "/metadata/annotations/a~1b~0c", value: "1" },
          { op: "remove", path: "/metadata/annotations/a~1b~0c" },
          { op: "remove", path: "/spec/type" },
        ],
        "default",
      );
      assert.deepEqual(patched.spec, { ports: [{ port: 1 }, { port: 8443 }, { port: 2 }] });
      assert.deepEqual(patched.metadata?.annotations, {});
    });

    for (const [why, step] of Object.entries({
      "a test that does not hold": { op: "test", path: "/spec/ports/0/port", value: 81 },
      "a path that is not there": { op: "remove", path: "/spec/none" },
      "a path into nothing": { op: "add", path: "/spec/none/x", value: 1 },
    })) {
      it(`is refused whole for ${why}`, async () => {
        const { api } = await fixture(service);
        const before = await api.read(services, "s", "default");
        const patch = [{ op: "add", path: "/spec/type", value: "NodePort" }, step];
        await refused(api.patch(services, "s", patch, "default"), 422, "Invalid");
        assert.deepEqual(await api.read(services, "s", "default"), before);
      });
    }
  });

  describe("remove", () => {
    it("removes the object and what it owns, and nothing else", async () => {
      const { api } = await fixture(configMap("owner", {}), configMap("other", {}));
      const owner = await api.read(configMaps, "owner", "default");
      const reference = { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: owner?.metadata?.uid ?? "" };
      await api.create({ ...pod("owned", undefined), metadata: { name: "owned", ownerReferences: [reference] } });
      await api.remove(configMaps, "owner", "default");
      assert.deepEqual(
        [await api.list(configMaps), await api.list(pods)].flat().map(({ metadata }) => metadata?.name),
        ["other"],
      );
    });

    it("is content with what is already gone", async () => {
      const { api } = await fixture(configMap("a", {}));
      await api.remove(configMaps, "b", "default");
      assert.equal((await api.list(configMaps)).length, 1);
    });

    it("with a uid removes that very object alone", async () => {
      const { api } = await fixture(configMap("a", {}));
      await refused(api.remove(configMaps, "a", "default", { uid: "another" }), 409, "Conflict");
      const uid = (await api.read(configMaps, "a", "default"))?.metadata?.uid ?? "";
      await api.remove(configMaps, "a", "default", { uid });
      assert.deepEqual(await api.list(configMaps), []);
    });
  });

  it("gives the last lines of what a pod wrote, and nothing for one that wrote nothing", async () => {
    const { home, api } = await fixture();
    home.kubernetes.logs = { "games/p": "one\ntwo\nthree\n" };
    assert.equal(await api.podLog("p", "games", 2), "two\nthree\n");
    assert.equal(await api.podLog("p", "games", 9), "one\ntwo\nthree\n");
    assert.equal(await api.podLog("p", "media", 2), "");
  });

  describe("evict", () => {
    const ready = (name: string): StoredObject => nodeObject(name, "192.168.10.99", ["worker"], {});
    const where = async (api: PretendKubernetes): Promise<(string | undefined)[]> =>
      (await api.list(pods)).map(({ spec, status }) => spec?.nodeName ?? status?.phase);

    it("is content with a pod that is gone", async () => {
      const { api } = await fixture();
      assert.deepEqual(await api.evict("p", "games"), { evicted: true });
    });

    it("moves a controller's pod to another ready node, under another name and identity", async () => {
      const { api } = await fixture(ready("old-1"), ready("new-1"), pod("p", "ReplicaSet"));
      const before = await api.read(pods, "p", "games");
      assert.deepEqual(await api.evict("p", "games"), { evicted: true });
      assert.deepEqual(await where(api), ["new-1"]);
      const [after] = await api.list(pods);
      assert.notEqual(after?.metadata?.name, before?.metadata?.name);
      assert.notEqual(after?.metadata?.uid, before?.metadata?.uid);
    });

    it("leaves it pending when every other node is cordoned or not ready", async () => {
      const { api } = await fixture(ready("old-1"), ready("new-1"), ready("new-2"), pod("p", "StatefulSet"));
      await api.patch(nodes, "new-1", { spec: { unschedulable: true } });
      await api.patch(nodes, "new-2", { status: { conditions: [{ type: "Ready", status: "False" }] } });
      await api.evict("p", "games");
      assert.deepEqual(await where(api), ["Pending"]);
    });

    for (const owner of [undefined, "DaemonSet", "Node"]) {
      it(`does not bring back a pod ${owner ? `of a ${owner}` : "without a controller"}`, async () => {
        const { api } = await fixture(ready("new-1"), pod("p", owner));
        assert.deepEqual(await api.evict("p", "games"), { evicted: true });
        assert.deepEqual(await where(api), []);
      });
    }

    it("is refused by a budget that allows no disruption, which it names, and the pod stays", async () => {
      const { api } = await fixture(ready("new-1"), pod("p", "ReplicaSet"), budget(0));
      const answer = await api.evict("p", "games");
      assert.ok(!answer.evicted);
      assert.match(answer.reason, /disruption budget game needs more healthy pods/);
      assert.deepEqual(await where(api), ["old-1"]);
    });

    it("goes ahead when the budget allows a disruption, or covers other pods, or another namespace", async () => {
      const elsewhere = { ...budget(0), metadata: { name: "game", namespace: "media" } };
      for (const other of [budget(1), budget(0, { app: "web" }), elsewhere]) {
        const { api } = await fixture(ready("new-1"), pod("p", "ReplicaSet"), other);
        assert.deepEqual(await api.evict("p", "games"), { evicted: true });
      }
    });

    it("sees the budget's live state", async () => {
      const { api } = await fixture(ready("new-1"), pod("p", "ReplicaSet"), budget(0));
      await api.patch(disruptionBudgets, "game", { status: { disruptionsAllowed: 1 } }, "games");
      assert.deepEqual(await api.evict("p", "games"), { evicted: true });
    });
  });

  describe("a node that goes", () => {
    const longhornNode: StoredObject = { ...longhornNodes, metadata: { name: "old-1", namespace: "longhorn-system" } };

    it("takes its pods along, and no other's", async () => {
      const { api } = await fixture(
        nodeObject("old-1", "192.168.10.98", ["worker"], {}),
        pod("p", "ReplicaSet"),
        pod("q", "ReplicaSet", "new-1"),
      );
      await api.remove(nodes, "old-1");
      assert.deepEqual(
        (await api.list(pods)).map(({ metadata }) => metadata?.name),
        ["q"],
      );
    });

    it("is left to Longhorn only once it is no node of the cluster any more, as its webhook has it", async () => {
      const { api } = await fixture(nodeObject("old-1", "192.168.10.98", ["worker"], {}), longhornNode);
      await refused(api.remove(longhornNodes, "old-1", "longhorn-system"), 500, "InternalError");
      await api.remove(nodes, "old-1");
      const refuses = (): Promise<void> =>
        refused(api.remove(longhornNodes, "old-1", "longhorn-system"), 500, "InternalError");
      await refuses();
      await api.patch(longhornNodes, "old-1", { spec: { allowScheduling: false } }, "longhorn-system");
      const replica = { ...longhornReplicas, metadata: { name: "r", namespace: "longhorn-system" } };
      await api.create({ ...replica, spec: { nodeID: "old-1" } } as StoredObject);
      await refuses();
      await api.remove(longhornReplicas, "r", "longhorn-system");
      await api.remove(longhornNodes, "old-1", "longhorn-system");
      assert.deepEqual(await api.list(longhornNodes), []);
    });

    it("is emptied when it is marked as out of service: pods elsewhere, volumes detached", async () => {
      const { api, clock } = await fixture(
        nodeObject("old-1", "192.168.10.98", ["worker"], {}),
        nodeObject("new-1", "192.168.10.99", ["worker"], {}),
        pod("p", "ReplicaSet"),
      );
      await api.create({
        ...volumeAttachments,
        metadata: { name: "a" },
        spec: { nodeName: "old-1" },
      } as StoredObject);
      const taints = [{ key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" }];
      await api.patch(nodes, "old-1", { spec: { taints } });
      await clock.idle();
      assert.deepEqual(
        (await api.list(pods)).map(({ spec }) => spec?.nodeName),
        ["new-1"],
      );
      assert.deepEqual(await api.list(volumeAttachments), []);
    });
  });

  describe("a new node", () => {
    it("gets a pod of each DaemonSet that runs on another node, after a while, and of nothing else", async () => {
      const { api, clock } = await fixture(
        nodeObject("old-1", "192.168.10.98", ["worker"], {}),
        pod("agent-old-1", "DaemonSet"),
        pod("p", "ReplicaSet"),
      );
      const names = async (): Promise<(string | undefined)[]> =>
        (await api.list(pods)).map(({ metadata, spec }) => `${metadata?.name} on ${spec?.nodeName}`);
      await api.create(nodeObject("new-1", "192.168.10.99", ["worker"], {}));
      assert.deepEqual(await names(), ["agent-old-1 on old-1", "p on old-1"]);
      await clock.idle();
      assert.deepEqual(await names(), ["agent-old-1 on old-1", "p on old-1", "agent-new-1 on new-1"]);
    });
  });

  describe("MetalLB's kinds", () => {
    const pool: StoredObject = {
      apiVersion: "metallb.io/v1beta1",
      kind: "IPAddressPool",
      metadata: { name: "default" },
    };

    it("do not exist before the release", async () => {
      const { api } = await fixture();
      await refused(api.create(pool), 404, "NotFound");
      await refused(api.create(pool, { dryRun: true }), 404, "NotFound");
    });

    it("are refused for every write until the webhook answers, which is later than the release", async () => {
      const { home, clock, api } = await fixture();
      home.kubernetes.metallbAnswersAt = clock.now() + 30_000;
      await refused(api.create(pool), 500, "InternalError");
      await clock.sleep(30_000);
      const created = await api.create(pool);
      home.kubernetes.metallbAnswersAt = clock.now() + 30_000;
      await refused(api.replace(created), 500, "InternalError");
      const kind = { apiVersion: "metallb.io/v1beta1", kind: "IPAddressPool" };
      await refused(api.patch(kind, "default", {}), 500, "InternalError");
    });
  });
});
