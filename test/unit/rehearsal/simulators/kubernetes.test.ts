import assert from "node:assert/strict";
import { V1MicroTime, type V1Lease, type V1PodDisruptionBudget } from "@kubernetes/client-node";
import { Agent, request } from "undici";
import { ApiRefusal, type KubernetesApi, type StoredObject } from "../../../../operations/clients";
import { kubernetesClient } from "../../../../operations/clients/kubernetes";
import { disruptionBudgets, leases, longhornNodes, nodes, pods, secrets, volumes } from "../../../../operations/kinds";
import { buildHome } from "../../../../rehearsal/home/build";
import type { HomeState } from "../../../../rehearsal/home/state";
import { startCluster, type SimulatedCluster } from "../../../../rehearsal/simulators/cluster";
import { kubeconfigFor } from "../../../../rehearsal/simulators/kubernetes";
import type { SimulatedRequest } from "../../../../rehearsal/simulators/server";
import { environment } from "../../../support/environment";
import { certificates } from "../../../support/https";
import { needs } from "../../../support/needs";

const file = environment("home");

describe("rehearsal/simulators/kubernetes, asked by the real client (does not prove that a real API server answers so)", () => {
  let home: HomeState;
  let cluster: SimulatedCluster;
  let client: KubernetesApi;
  let forbids: (request: SimulatedRequest) => boolean;

  before(function () {
    needs(this, "openssl");
  });
  beforeEach(async () => {
    home = buildHome(file);
    forbids = () => false;
    const kubernetes = { token: "of-a-test", forbids: (asked: SimulatedRequest) => forbids(asked) };
    cluster = await startCluster(home, { certificate: certificates(), clusterName: "home", kubernetes });
    client = kubernetesClient(cluster.access.kubernetes.kubeconfig);
  });
  afterEach(() => cluster.stop());

  const secret: StoredObject = { apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace: "kube-system" } };
  const asked = (): string[] =>
    cluster.kubernetes.log.map(
      ({ method, path, query }) => `${method} ${path}${query.size > 0 ? `?${query.toString()}` : ""}`,
    );

  async function refusal(run: Promise<unknown>): Promise<[number, string, string]> {
    const error: unknown = await run.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ApiRefusal, `not refused: ${String(error)}`);
    return [error.status, error.reason, error.message];
  }

  it("says its version, reads and lists, with labels and in one namespace", async () => {
    assert.equal(await client.version(), home.kubernetes.version);
    const node = await client.read(nodes, "rancheros-1");
    assert.equal(node?.status?.addresses?.[0]?.address, "192.168.10.11");
    assert.deepEqual(node?.metadata?.creationTimestamp, new Date(Date.UTC(2026, 0, 1)));
    const sent = cluster.kubernetes.log.at(-1)?.reply;
    assert.match(JSON.stringify(sent), /"creationTimestamp":"2026-01-01T00:00:00Z"/);
    const all = (await client.list(nodes)).map(({ apiVersion, kind, metadata }) => [apiVersion, kind, metadata?.name]);
    assert.deepEqual(
      all,
      file.oldNodes.map(({ name }) => ["v1", "Node", name]),
    );
    const labels = { "kubernetes.io/hostname": "rancheros-1", "kubernetes.io/os": "linux" };
    assert.deepEqual(
      (await client.list(nodes, { labels })).map(({ metadata }) => metadata?.name),
      ["rancheros-1"],
    );
    const spaces = new Set((await client.list(pods, { namespace: "ingress-nginx" })).map((p) => p.metadata?.namespace));
    assert.deepEqual([...spaces], ["ingress-nginx"]);
    assert.ok((await client.list(pods)).length > (await client.list(pods, { namespace: "ingress-nginx" })).length);
  });

  it("sends the items of its own kinds without their kind, as the real one does, and those of others with it", async () => {
    home.kubernetes.objects.push({ ...longhornNodes, metadata: { name: "n", namespace: "longhorn-system" } });
    await client.list(nodes);
    await client.list(longhornNodes);
    const kinds = cluster.kubernetes.log
      .map(({ reply }) => (reply === "reset" ? undefined : (reply?.body as { items?: StoredObject[] }).items?.[0]))
      .filter((item) => item !== undefined)
      .map((item) => item.kind);
    assert.deepEqual(kinds, [undefined, "Node"]);
  });

  it("knows no object and no kind that is not there", async () => {
    assert.equal(await client.read(nodes, "nobody"), undefined);
    assert.equal(await client.read(secrets, "s", "kube-system"), undefined);
    assert.equal(await client.read(longhornNodes, "n", "longhorn-system"), undefined);
    assert.deepEqual(await client.list(longhornNodes), []);
    assert.deepEqual(await client.list({ apiVersion: "v1", kind: "Nothing" }), []);
    assert.deepEqual(await refusal(client.patch(nodes, "nobody", {})), [404, "NotFound", 'Node "nobody" not found']);
    const group = cluster.kubernetes.log.find(({ path }) => path === "/apis/longhorn.io/v1beta2")?.reply;
    assert.deepEqual(group, { status: 404, body: "404 page not found" });
  });

  it("creates, with and without a dry run", async () => {
    await client.create(secret, { dryRun: true });
    assert.equal(await client.read(secrets, "s", "kube-system"), undefined);
    const { metadata } = await client.create(secret);
    assert.deepEqual((await client.read(secrets, "s", "kube-system"))?.metadata, metadata);
    assert.equal(typeof metadata?.uid, "string");
    assert.deepEqual(await refusal(client.create(secret)), [409, "AlreadyExists", 'Secret "s" already exists']);
  });

  it("patches: null removes, nothing else changes, a stale version is refused", async () => {
    const patch = { metadata: { labels: { a: "b", "kubernetes.io/os": null } } };
    const { metadata } = await client.patch(nodes, "rancheros-1", patch);
    assert.deepEqual(
      [metadata?.labels?.a, metadata?.labels?.["kubernetes.io/os"], metadata?.labels?.["kubernetes.io/hostname"]],
      ["b", undefined, "rancheros-1"],
    );
    const stale = { metadata: { resourceVersion: "1" } };
    assert.deepEqual((await refusal(client.patch(nodes, "rancheros-1", stale))).slice(0, 2), [409, "Conflict"]);
  });

  it("lets one of two writers have the Lease, and keeps its microseconds", async () => {
    const metadata = { name: "home-cluster", namespace: "kube-system" };
    const renewTime = new V1MicroTime(Date.UTC(2026, 0, 1, 12, 0, 0, 250));
    const lease = await client.create<V1Lease>({ ...leases, metadata, spec: { holderIdentity: "a", renewTime } });
    assert.deepEqual(new Date(lease.spec?.renewTime ?? 0), new Date(renewTime));
    const mine = await client.replace<V1Lease>({ ...lease, ...leases, spec: { holderIdentity: "b" } });
    const late = client.replace<V1Lease>({ ...lease, ...leases, spec: { holderIdentity: "c" } });
    assert.deepEqual((await refusal(late)).slice(0, 2), [409, "Conflict"]);
    await client.replace({ ...mine, ...leases });
    assert.equal((await client.read(leases, "home-cluster", "kube-system"))?.spec?.holderIdentity, "b");
  });

  it("refuses a MicroTime with three digits", async () => {
    const spec = { renewTime: "2026-01-01T00:00:00.000Z" };
    const lease = { ...leases, metadata: { name: "l", namespace: "kube-system" }, spec };
    assert.deepEqual(await refusal(client.create(lease)), [
      400,
      "BadRequest",
      'Lease in version "v1" cannot be handled as a Lease: parsing time "2026-01-01T00:00:00.000Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse',
    ]);
  });

  it("deletes, only the very object when told so", async () => {
    const uid = (await client.create(secret)).metadata?.uid ?? "";
    const other = client.remove(secrets, "s", "kube-system", { uid: "another" });
    assert.deepEqual((await refusal(other)).slice(0, 2), [409, "Conflict"]);
    await client.remove(secrets, "s", "kube-system", { uid });
    assert.equal(await client.read(secrets, "s", "kube-system"), undefined);
    await client.remove(secrets, "s", "kube-system", { uid });
    const { body } = cluster.kubernetes.log.at(-1) ?? {};
    assert.deepEqual(JSON.parse(body ?? ""), {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy: "Foreground",
      preconditions: { uid },
    });
  });

  it("evicts, honours a disruption budget, and takes an absent pod for evicted", async () => {
    const pod = (await client.list(pods)).find((other) => other.metadata?.ownerReferences?.[0]?.kind === "StatefulSet");
    const { name = "", namespace = "", labels = {} } = pod?.metadata ?? {};
    const budget = await client.create<V1PodDisruptionBudget>({
      ...disruptionBudgets,
      metadata: { name: "b", namespace },
      spec: { selector: { matchLabels: labels } },
      status: { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
    });
    assert.deepEqual(await client.evict(name, namespace), {
      evicted: false,
      reason:
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget b needs more healthy pods",
    });
    await client.remove(disruptionBudgets, "b", namespace, { uid: budget.metadata?.uid ?? "" });
    assert.deepEqual(await client.evict(name, namespace), { evicted: true });
    assert.equal(await client.read(pods, name, namespace), undefined);
    assert.deepEqual(await client.evict(name, namespace), { evicted: true });
  });

  it("refuses another token, and what the token may not do", async () => {
    const stranger = kubernetesClient(kubeconfigFor(cluster.kubernetes.url, "another", certificates().ca));
    assert.deepEqual(await refusal(stranger.version()), [401, "Unauthorized", "Unauthorized"]);
    forbids = ({ method }) => method === "DELETE";
    assert.deepEqual((await refusal(client.remove(volumes, "v"))).slice(0, 2), [403, "Forbidden"]);
  });

  it("lists the pods of one node", async () => {
    const all = await client.list(pods);
    const [node] = all.flatMap(({ spec }) => spec?.nodeName ?? []);
    assert.ok(node);
    const here = all.filter(({ spec }) => spec?.nodeName === node);
    assert.ok(here.length < all.length);
    assert.deepEqual(await client.list(pods, { onNode: node }), here);
  });

  it("knows no other path, method, selector or form of patch", async () => {
    const table: [string, string, number][] = [
      ["GET", "/openapi/v3", 404],
      ["GET", "/api/v1/nodes/rancheros-1/status", 404],
      ["GET", "/api/v1/namespaces/x/nodes", 404],
      ["GET", "/api/v1/pods/x", 404],
      ["GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dx", 400],
      ["GET", "/api/v1/nodes?fieldSelector=spec.nodeName%3Dx", 400],
      ["GET", "/api/v1/pods?fieldSelector=spec.nodeName!%3Dx", 400],
      ["GET", "/api/v1/nodes?labelSelector=a%20in%20(b)", 400],
      ["PATCH", "/api/v1/nodes/rancheros-1", 415],
      ["DELETE", "/api/v1/nodes", 405],
    ];
    const dispatcher = new Agent({ connect: { ca: certificates().ca } });
    const headers = { authorization: "Bearer of-a-test", "content-type": "application/json" };
    for (const [method, path, expected] of table) {
      const answer = await request(cluster.kubernetes.url + path, { method, headers, dispatcher, body: null });
      const text = await answer.body.text();
      assert.deepEqual([answer.statusCode, /"kind":"Status"|404 page/.test(text)], [expected, true], method + path);
    }
    await dispatcher.close();
    assert.deepEqual(
      asked().map((line) => line.split("?")[0]),
      table.map(([method, path]) => `${method} ${path.split("?")[0]}`),
    );
  });
});
