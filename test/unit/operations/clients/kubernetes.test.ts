import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { V1Lease, V1Service } from "@kubernetes/client-node";
import { ApiRefusal, type Kind, type KubernetesApi } from "../../../../operations/clients";
import { kubernetesClient } from "../../../../operations/clients/kubernetes";
import { claims, configMaps, leases, longhornVolumes, nodes, pods, services } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { needs } from "../../../support/needs";

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

interface Reply {
  readonly status?: number;
  readonly body?: unknown;
}

const token = "token-that-must-not-show";

/** What discovery answers; everything else is up to each test. */
const discovery: Record<string, unknown> = {
  "/version": { gitVersion: "v1.30.14" },
  "/api/v1": {
    kind: "APIResourceList",
    resources: [
      { name: "configmaps", kind: "ConfigMap", namespaced: true },
      { name: "nodes", kind: "Node", namespaced: false },
      { name: "nodes/status", kind: "Node", namespaced: false },
      { name: "pods", kind: "Pod", namespaced: true },
      { name: "services", kind: "Service", namespaced: true },
    ],
  },
  "/apis/coordination.k8s.io/v1": { resources: [{ name: "leases", kind: "Lease", namespaced: true }] },
};

function statusBody(code: number, reason: string, message: string): object {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message };
}

describe("operations/clients/kubernetes, against an HTTP server that records requests (does not prove TLS, nor that a real API server accepts them)", () => {
  let server: Server;
  let seen: Seen[];
  let reply: (request: Seen) => Reply | undefined;
  let api: KubernetesApi;

  const kubeconfig = (more: { server?: string; user?: object } = {}): string =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "here",
      contexts: [{ name: "here", context: { cluster: "c", user: "u", namespace: "ambient" } }],
      clusters: [{ name: "c", cluster: { server: more.server ?? address(), "insecure-skip-tls-verify": true } }],
      users: [{ name: "u", user: more.user ?? { token } }],
    });
  const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  /** What was asked beside discovery. */
  const asked = (): Seen[] => seen.filter(({ method, path }) => method !== "GET" || !(path in discovery));

  before(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const url = new URL(request.url ?? "", "http://server");
        const text = Buffer.concat(chunks).toString();
        const one: Seen = {
          method: request.method ?? "",
          path: url.pathname,
          query: Object.fromEntries(url.searchParams),
          headers: request.headers,
          body: text === "" ? undefined : JSON.parse(text),
        };
        seen.push(one);
        const own = reply(one);
        const known = one.method === "GET" ? discovery[one.path] : undefined;
        const { status = 200, body } = own ?? (known ? { body: known } : { status: 404, body: "404 page not found\n" });
        response.writeHead(status, { "content-type": "application/json", "x-echo": token });
        response.end(typeof body === "string" ? body : JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(() => server.close());
  beforeEach(() => {
    seen = [];
    reply = () => undefined;
    api = kubernetesClient(kubeconfig());
  });

  it("authenticates with the kubeconfig's token and nothing of the environment", async () => {
    const kept = process.env.KUBECONFIG;
    process.env.KUBECONFIG = "/nonexistent/kubeconfig";
    try {
      assert.equal(await kubernetesClient(kubeconfig()).version(), "v1.30.14");
    } finally {
      if (kept === undefined) delete process.env.KUBECONFIG;
      else process.env.KUBECONFIG = kept;
    }
    assert.equal(seen[0]?.headers.authorization, `Bearer ${token}`);
  });

  it("reads one object by its path, with points in time as Dates and unknown fields kept", async () => {
    reply = ({ path }) =>
      path === "/api/v1/namespaces/ingress-nginx/services/ingress-nginx"
        ? {
            body: {
              apiVersion: "v1",
              kind: "Service",
              metadata: {
                name: "ingress-nginx",
                namespace: "ingress-nginx",
                creationTimestamp: "2026-01-01T00:00:00Z",
                annotations: { restartTime: "2026-01-01T00:00:00Z" },
              },
              spec: { type: "NodePort", fieldOfTomorrow: { a: 1 } },
            },
          }
        : undefined;
    const service = await api.read(services, "ingress-nginx", "ingress-nginx");
    assert.deepEqual(service, {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "ingress-nginx",
        namespace: "ingress-nginx",
        creationTimestamp: new Date(Date.UTC(2026, 0, 1)),
        annotations: { restartTime: "2026-01-01T00:00:00Z" },
      },
      spec: { type: "NodePort", fieldOfTomorrow: { a: 1 } },
    });
  });

  it("reads a cluster-wide object without a namespace, the kind's own resource and not its subresource", async () => {
    reply = ({ path }) =>
      path === "/api/v1/nodes/debian-1" ? { body: { kind: "Node", metadata: { name: "debian-1" } } } : undefined;
    assert.equal((await api.read(nodes, "debian-1"))?.metadata?.name, "debian-1");
  });

  it("refuses to guess the namespace of a namespaced kind", async () => {
    await assert.rejects(api.read(configMaps, "ledger"), /ConfigMap ledger: no namespace given/);
    assert.deepEqual(asked(), []);
  });

  it("returns undefined for an object that Kubernetes says is not there", async () => {
    reply = ({ path }) =>
      path.endsWith("/missing") ? { status: 404, body: statusBody(404, "NotFound", "configmaps") } : undefined;
    assert.equal(await api.read(configMaps, "missing", "games"), undefined);
    await api.remove(configMaps, "missing", "games");
  });

  it("returns undefined, and an empty list, for a kind that the cluster does not have", async () => {
    assert.equal(await api.read(longhornVolumes, "pvc-1", "longhorn-system"), undefined);
    assert.deepEqual(await api.list(longhornVolumes), []);
    await api.remove(longhornVolumes, "pvc-1", "longhorn-system");
    // A version that exists without that kind in it.
    assert.equal(await api.read(claims, "data", "games"), undefined);
  });

  it("does not take a 404 of something in front of the API server for an absent kind or object", async () => {
    const proxy: Reply = { status: 404, body: { type: "error", status: "404", message: "cluster not found" } };
    reply = () => proxy;
    for (const attempt of [
      () => api.list(longhornVolumes),
      () => api.read(nodes, "debian-1"),
      () => api.remove(nodes, "debian-1"),
    ]) {
      await assert.rejects(attempt(), (error: unknown) => {
        assert.ok(error instanceof ApiRefusal);
        assert.equal(error.status, 404);
        assert.equal(error.reason, "NotKubernetes");
        assert.match(error.message, /cluster not found/);
        return true;
      });
    }
    reply = ({ path }) => (path === "/api/v1/nodes/debian-1" ? proxy : undefined);
    await assert.rejects(api.read(nodes, "debian-1"), { reason: "NotKubernetes" });
  });

  it("lists with a label selector, in one namespace or in all, or of one node, and fills in what the server leaves out of items", async () => {
    reply = ({ path }) =>
      path.endsWith("/pods")
        ? { body: { kind: "PodList", apiVersion: "v1", items: [{ metadata: { name: "a" } }] } }
        : undefined;
    assert.deepEqual(
      await api.list(pods, { namespace: "ingress-nginx", labels: { app: "ingress-nginx", tier: "x" } }),
      [{ apiVersion: "v1", kind: "Pod", metadata: { name: "a" } }],
    );
    await api.list(pods);
    await api.list(pods, { onNode: "debian-1" });
    assert.deepEqual(
      asked().map(({ path, query }) => ({ path, query })),
      [
        {
          path: "/api/v1/namespaces/ingress-nginx/pods",
          query: { labelSelector: "app=ingress-nginx,tier=x" },
        },
        { path: "/api/v1/pods", query: {} },
        { path: "/api/v1/pods", query: { fieldSelector: "spec.nodeName=debian-1" } },
      ],
    );
  });

  it("an empty list may come without items", async () => {
    reply = ({ path }) => (path === "/api/v1/pods" ? { body: { kind: "PodList" } } : undefined);
    assert.deepEqual(await api.list(pods), []);
  });

  it("creates, and with dryRun asks the server to keep nothing", async () => {
    reply = ({ method, body }) => (method === "POST" ? { status: 201, body } : undefined);
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "games" } };
    assert.deepEqual(await api.create(object), object);
    await api.create(object, { dryRun: true });
    assert.deepEqual(
      asked().map(({ path, query, body }) => ({ path, query, body })),
      [
        { path: "/api/v1/namespaces/games/configmaps", query: { fieldManager: "home-cluster" }, body: object },
        {
          path: "/api/v1/namespaces/games/configmaps",
          query: { fieldManager: "home-cluster", dryRun: "All" },
          body: object,
        },
      ],
    );
  });

  it("refuses to create, replace or patch what the cluster has no kind for, as the API's NotFound", async () => {
    const pool = { apiVersion: "metallb.io/v1beta1", kind: "IPAddressPool" };
    const object = { ...pool, metadata: { name: "default", namespace: "metallb-system", resourceVersion: "1" } };
    for (const attempt of [
      () => api.create(object, { dryRun: true }),
      () => api.replace(object),
      () => api.patch(pool, "default", {}, "metallb-system"),
    ]) {
      await assert.rejects(attempt(), {
        name: "ApiRefusal",
        status: 404,
        reason: "NotFound",
        message: 'no matches for kind "IPAddressPool" in version "metallb.io/v1beta1"',
      });
    }
  });

  it("says what the API's Status says: status, reason and message", async () => {
    reply = ({ method }) =>
      method === "POST"
        ? { status: 409, body: statusBody(409, "AlreadyExists", 'configmaps "a" already exists') }
        : undefined;
    await assert.rejects(
      api.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "games" } }),
      { name: "ApiRefusal", status: 409, reason: "AlreadyExists", message: 'configmaps "a" already exists' },
    );
    reply = ({ method }) => (method === "POST" ? { status: 500, body: { kind: "Status" } } : undefined);
    await assert.rejects(
      api.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "games" } }),
      { status: 500, reason: "Unknown", message: "Unknown" },
    );
  });

  it("replaces with the resourceVersion it was given, and only with one", async () => {
    reply = ({ method }) =>
      method === "PUT" ? { status: 409, body: statusBody(409, "Conflict", "the object has been modified") } : undefined;
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "a", namespace: "games", resourceVersion: "7" },
    };
    await assert.rejects(api.replace(object), { name: "ApiRefusal", reason: "Conflict" });
    const [request] = asked();
    assert.equal(request?.path, "/api/v1/namespaces/games/configmaps/a");
    assert.deepEqual(request?.body, object);
    await assert.rejects(
      api.replace({ ...object, metadata: { name: "a", namespace: "games" } }),
      /replace without resourceVersion/,
    );
    await assert.rejects(api.replace({ apiVersion: "v1", kind: "Node" }), /Node \/: replace without resourceVersion/);
    assert.equal(asked().length, 1);
  });

  it("writes a field back that this program does not know, and a Lease's times with six decimals", async () => {
    reply = ({ method, path, body }) => {
      if (method === "PUT") return { body };
      if (path === "/api/v1/namespaces/a/services/s") {
        const spec = { type: "ClusterIP", fieldOfTomorrow: true };
        return {
          body: {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name: "s", namespace: "a", resourceVersion: "3" },
            spec,
          },
        };
      }
      return undefined;
    };
    const service: V1Service | undefined = await api.read(services, "s", "a");
    assert.ok(service);
    await api.replace({ ...service, spec: { ...service.spec, type: "LoadBalancer" } });
    const lease: V1Lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "leaving", namespace: "a", resourceVersion: "4" },
      spec: { holderIdentity: "x", renewTime: new Date(Date.UTC(2026, 0, 1, 0, 0, 0, 250)) },
    };
    const back = await api.replace(lease);
    const [first, second] = asked().filter(({ method }) => method === "PUT");
    assert.deepEqual(first?.body, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "a", resourceVersion: "3" },
      spec: { type: "LoadBalancer", fieldOfTomorrow: true },
    });
    assert.deepEqual((second?.body as V1Lease).spec, { holderIdentity: "x", renewTime: "2026-01-01T00:00:00.250000Z" });
    assert.deepEqual(back.spec?.renewTime, lease.spec?.renewTime);
    assert.equal(second?.path, `/apis/${leases.apiVersion}/namespaces/a/leases/leaving`);
  });

  it("patches by JSON merge patch, with null sent as it is", async () => {
    reply = ({ method }) =>
      method === "PATCH" ? { body: { kind: "Node", metadata: { name: "debian-1" } } } : undefined;
    await api.patch(nodes, "debian-1", { spec: { unschedulable: null } });
    const [request] = asked();
    assert.equal(request?.path, "/api/v1/nodes/debian-1");
    assert.equal(request?.headers["content-type"], "application/merge-patch+json");
    assert.deepEqual(request?.query, { fieldManager: "home-cluster" });
    assert.deepEqual(request?.body, { spec: { unschedulable: null } });
  });

  it("patches by JSON patch when it is given a list of steps", async () => {
    reply = ({ method }) =>
      method === "PATCH" ? { body: { kind: "Node", metadata: { name: "debian-1" } } } : undefined;
    const steps = [{ op: "test", path: "/metadata/uid", value: "a" }];
    await api.patch(nodes, "debian-1", steps);
    const [request] = asked();
    assert.equal(request?.headers["content-type"], "application/json-patch+json");
    assert.deepEqual(request?.body, steps);
  });

  it("throws NotFound when the object to patch is not there", async () => {
    reply = ({ method }) =>
      method === "PATCH" ? { status: 404, body: statusBody(404, "NotFound", 'nodes "x" not found') } : undefined;
    await assert.rejects(api.patch(nodes, "x", {}), { name: "ApiRefusal", status: 404, reason: "NotFound" });
  });

  it("deletes in the foreground, with a uid only that very object", async () => {
    reply = ({ method }) => (method === "DELETE" ? { body: { kind: "Status", status: "Success" } } : undefined);
    await api.remove(nodes, "rancheros-1");
    await api.remove(nodes, "rancheros-1", undefined, { uid: "u-1" });
    const options = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Foreground" };
    assert.deepEqual(
      asked().map(({ path, body }) => ({ path, body })),
      [
        { path: "/api/v1/nodes/rancheros-1", body: options },
        { path: "/api/v1/nodes/rancheros-1", body: { ...options, preconditions: { uid: "u-1" } } },
      ],
    );
    reply = ({ method }) =>
      method === "DELETE" ? { status: 409, body: statusBody(409, "Conflict", "the UID does not match") } : undefined;
    await assert.rejects(api.remove(nodes, "rancheros-1", undefined, { uid: "u-2" }), { reason: "Conflict" });
  });

  it("evicts through the eviction API: done, already gone, not now, refused", async () => {
    const answers: Reply[] = [
      { status: 201, body: { kind: "Status", status: "Success" } },
      { status: 404, body: statusBody(404, "NotFound", 'pods "p" not found') },
      { status: 429, body: statusBody(429, "TooManyRequests", "The disruption budget longhorn needs 1 healthy pods") },
      { status: 500, body: statusBody(500, "InternalError", "This pod has more than one PodDisruptionBudget") },
    ];
    reply = ({ method }) => (method === "POST" ? answers.shift() : undefined);
    assert.deepEqual(await api.evict("p", "games"), { evicted: true });
    assert.deepEqual(await api.evict("p", "games"), { evicted: true });
    assert.deepEqual(await api.evict("p", "games"), {
      evicted: false,
      reason: "The disruption budget longhorn needs 1 healthy pods",
    });
    await assert.rejects(api.evict("p", "games"), { status: 500, reason: "InternalError" });
    assert.deepEqual(
      asked().map(({ path, body }) => ({ path, body })),
      Array.from({ length: 4 }, () => ({
        path: "/api/v1/namespaces/games/pods/p/eviction",
        body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "p", namespace: "games" } },
      })),
    );
  });

  it("reads the last lines of a pod's log as they are; none while it waits to start or is gone; anything else is thrown", async () => {
    const answers: Reply[] = [
      { body: '{"no":"object"}\nprogress: 1\n' },
      {
        status: 400,
        body: statusBody(400, "BadRequest", 'container "c" in pod "p" is waiting to start: ContainerCreating'),
      },
      { status: 404, body: statusBody(404, "NotFound", 'pods "p" not found') },
      { status: 500, body: statusBody(500, "InternalError", "the kubelet does not answer") },
    ];
    reply = ({ path }) => (path.endsWith("/log") ? answers.shift() : undefined);
    assert.equal(await api.podLog("p", "games", 7), '{"no":"object"}\nprogress: 1\n');
    assert.equal(await api.podLog("p", "games", 7), "");
    assert.equal(await api.podLog("p", "games", 7), "");
    await assert.rejects(api.podLog("p", "games", 7), { status: 500, reason: "InternalError" });
    assert.deepEqual(
      asked().map(({ method, path, query }) => ({ method, path, query })),
      Array.from({ length: 4 }, () => ({
        method: "GET",
        path: "/api/v1/namespaces/games/pods/p/log",
        query: { tailLines: "7" },
      })),
    );
  });

  it("names an API server that does not answer by host and cause, as an ApiRefusal with status 0", async () => {
    const refused = kubernetesClient(kubeconfig({ server: "http://somebody:hidden@127.0.0.1:1" }));
    await assert.rejects(refused.version(), (error: unknown) => {
      assert.ok(error instanceof ApiRefusal);
      assert.equal(error.status, 0);
      assert.equal(error.reason, "Unreachable");
      assert.equal(error.message, "127.0.0.1:1: the Kubernetes API did not answer (ECONNREFUSED)");
      return true;
    });
  });

  it("refuses an answer that is no JSON, or no Kubernetes version, without quoting it", async () => {
    reply = () => ({ body: `<html>${token}</html>` });
    await assert.rejects(api.version(), { reason: "NotKubernetes", message: /the answer is not JSON$/ });
    reply = () => ({ body: { major: 1 } });
    await assert.rejects(api.version(), { reason: "NotKubernetes", message: /holds no gitVersion$/ });
    reply = () => ({ status: 502, body: `<html>${token}</html>` });
    await assert.rejects(api.version(), { status: 502, message: /HTTP 502, not from a Kubernetes API$/ });
  });

  it("shows no credential in any error, whatever the server or the kubeconfig holds", async () => {
    const shown = (error: unknown): string =>
      `${String(error)} ${JSON.stringify(error)} ${error instanceof Error ? `${error.stack} ${JSON.stringify(error.cause)}` : ""}`;
    const errors: string[] = [];
    for (const status of [400, 401, 403, 500, 503]) {
      reply = () => ({ status, body: status === 401 ? `not json ${token}` : statusBody(status, "R", "said") });
      await api.read(nodes, "x").catch((error: unknown) => errors.push(shown(error)));
    }
    for (const text of [`: : ${token}`, `token: "${token}`, kubeconfig({ user: { token, exec: { command: "x" } } })]) {
      try {
        kubernetesClient(text);
      } catch (error) {
        errors.push(shown(error));
      }
    }
    assert.equal(errors.length, 8);
    assert.deepEqual(
      errors.filter((text) => text.includes(token)),
      [],
    );
  });

  describe("a kubeconfig that does not stand alone is refused", () => {
    const base = JSON.parse(
      JSON.stringify({
        "current-context": "here",
        contexts: [{ name: "here", context: { cluster: "c", user: "u" } }],
        clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:6443" } }],
        users: [{ name: "u", user: { token: "t" } }],
      }),
    ) as Record<string, unknown>;
    const cases: readonly [string, Record<string, unknown>, RegExp][] = [
      ["no current context", { "current-context": "other" }, /names no cluster and user/],
      ["no user", { users: [] }, /names no cluster and user/],
      ["no clusters", { clusters: undefined }, /names no cluster and user/],
      ["a server that is no URL", { clusters: [{ name: "c", cluster: { server: "nowhere" } }] }, /server is no URL/],
      [
        "a CA file",
        { clusters: [{ name: "c", cluster: { server: "https://h", "certificate-authority": "/ca" } }] },
        /points to files/,
      ],
      ["a certificate file", { users: [{ name: "u", user: { "client-certificate": "/c" } }] }, /points to files/],
      ["a key file", { users: [{ name: "u", user: { "client-key": "/k" } }] }, /points to files/],
      ["an exec plugin", { users: [{ name: "u", user: { exec: { command: "aws" } } }] }, /runs a command/],
      ["an auth provider", { users: [{ name: "u", user: { "auth-provider": { name: "gcp" } } }] }, /runs a command/],
    ];
    for (const [title, change, why] of cases) {
      it(title, () => {
        assert.throws(
          () => kubernetesClient(JSON.stringify({ ...base, ...change })),
          (error: unknown) => {
            assert.ok(error instanceof Refusal);
            assert.match(error.parts.why, why);
            assert.match(error.parts.next, /pulumi config set --secret kubeconfig/);
            return true;
          },
        );
      });
    }
    it("no YAML of a kubeconfig at all", () => {
      assert.throws(() => kubernetesClient(""), /not the YAML of a kubeconfig/);
    });
    it("and the same with none of these faults is taken", () => {
      assert.doesNotThrow(() => kubernetesClient(JSON.stringify(base)));
    });
  });

  it("does not confuse a custom kind with a core one of the same version and kind", async () => {
    const knative: Kind = { apiVersion: "serving.example.org/v1", kind: "Service" };
    reply = ({ path }) => {
      if (path === "/apis/serving.example.org/v1") {
        return { body: { resources: [{ name: "services", kind: "Service", namespaced: true }] } };
      }
      if (path === "/apis/serving.example.org/v1/namespaces/a/services/s") {
        return { body: { kind: "Service", spec: { template: { own: true } } } };
      }
      return undefined;
    };
    assert.deepEqual(await api.read(knative, "s", "a"), { kind: "Service", spec: { template: { own: true } } });
  });
});

describe("operations/clients/kubernetes over TLS (needs openssl to make a certificate)", () => {
  it("trusts the kubeconfig's own CA and no other, whatever NODE_TLS_REJECT_UNAUTHORIZED says", async function () {
    needs(this, "openssl");
    const folder = mkdtempSync(join(tmpdir(), "home-cluster-tls-"));
    const kept = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    try {
      const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
      const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
      const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
      execFileSync("openssl", [...make, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
      const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
        response.end(JSON.stringify({ gitVersion: "v1.30.14" })),
      );
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const client = (cluster: object): KubernetesApi =>
        kubernetesClient(
          JSON.stringify({
            "current-context": "here",
            contexts: [{ name: "here", context: { cluster: "c", user: "u" } }],
            clusters: [
              {
                name: "c",
                cluster: { server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, ...cluster },
              },
            ],
            users: [{ name: "u", user: { token } }],
          }),
        );
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
      const ca = readFileSync(cert).toString("base64");
      assert.equal(await client({ "certificate-authority-data": ca }).version(), "v1.30.14");
      await assert.rejects(client({}).version(), { reason: "Unreachable", message: /DEPTH_ZERO_SELF_SIGNED_CERT/ });
      server.close();
    } finally {
      if (kept === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = kept;
      rmSync(folder, { recursive: true });
    }
  });
});
