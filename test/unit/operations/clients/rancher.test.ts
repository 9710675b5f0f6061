import assert from "node:assert/strict";
import type { RancherApi } from "../../../../operations/clients";
import { rancherClient } from "../../../../operations/clients/rancher";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { TestServer, type Reply } from "../../../support/https";
import { needs } from "../../../support/needs";
import { refused } from "../../../support/nodes";

const apiToken = "token-abcde:secret-of-the-api-key";
const now = Date.UTC(2026, 7, 1);
const docker =
  "sudo docker run -d --privileged --restart=unless-stopped --net=host -v /etc/kubernetes:/etc/kubernetes -v /var/run:/var/run  rancher/rancher-agent:v2.11.16 --server https://rancher.home.example.org --token registration";
const script =
  " curl -fL https://rancher.lab.example.org/system-agent-install.sh | sudo  sh -s - --server https://rancher.lab.example.org --label 'cattle.io/os=linux' --token registration";

describe("operations/clients/rancher, against an HTTPS server with a private CA (does not prove that a real Rancher answers so)", () => {
  let server: TestServer;
  let clock: VirtualClock;

  before(async function () {
    needs(this, "openssl");
    server = await TestServer.start();
  });
  after(() => server?.stop());
  beforeEach(() => {
    server.seen.length = 0;
    clock = new VirtualClock(now);
  });

  function client(distribution: "rke1" | "rke2" | "k3s" = "rke1"): RancherApi {
    const home = { clusterId: "c-abc12", clusterName: "home", token: apiToken };
    return rancherClient({ ...home, url: server.url, distribution, caCertificate: server.ca }, clock);
  }
  function answers(table: Record<string, Reply | (() => Reply)>): void {
    server.answer = ({ method, path }) => {
      const reply = table[`${method} ${path}`];
      return typeof reply === "function"
        ? reply()
        : (reply ?? { status: 501, reason: `no answer for ${method} ${path}` });
    };
  }
  const list = (...data: unknown[]): Reply => ({ body: { data } });
  const asked = (): string[] => server.seen.map(({ method, path }) => `${method} ${path}`);
  const tokens = "GET /v3/clusterregistrationtokens?clusterId=c-abc12";
  const usable = { id: "c-abc12:default-token", token: "registration", nodeCommand: docker };

  it("reads the version", async () => {
    answers({ "GET /v3/settings/server-version": { body: { value: "v2.11.16" } } });
    assert.equal(await client().version(), "v2.11.16");
    assert.equal(server.seen[0]?.authorization, `Bearer ${apiToken}`);
  });

  it("takes Rancher's own node command for rke1 apart", async () => {
    answers({ [tokens]: list(usable) });
    assert.deepEqual(await client().registration(), {
      server: "https://rancher.home.example.org",
      token: "registration",
      caChecksum: undefined,
      agentImage: "rancher/rancher-agent:v2.11.16",
    });
  });

  it("keeps the CA's checksum, a private registry's image and the cluster's own environment", async () => {
    const nodeCommand = docker
      .replace(
        " rancher/rancher-agent",
        ' -e "HTTPS_PROXY=http://u:p@proxy" -e "NO_PROXY=10.0.0.0/8,.svc" registry.example.org/rancher/rancher-agent',
      )
      .concat(" --ca-checksum abc123");
    answers({ [tokens]: list({ ...usable, nodeCommand }) });
    assert.deepEqual(await client().registration(), {
      server: "https://rancher.home.example.org",
      token: "registration",
      caChecksum: "abc123",
      agentImage: "registry.example.org/rancher/rancher-agent:v2.11.16",
      environment: { HTTPS_PROXY: "http://u:p@proxy", NO_PROXY: "10.0.0.0/8,.svc" },
    });
  });

  it("takes the command for rke2 and k3s apart, which names no image", async () => {
    for (const [nodeCommand, more] of [
      [script, {}],
      [`HTTPS_PROXY="http://proxy"${script}`, { environment: { HTTPS_PROXY: "http://proxy" } }],
    ] as const) {
      answers({ [tokens]: list({ ...usable, nodeCommand }) });
      assert.deepEqual(await client("rke2").registration(), {
        server: "https://rancher.lab.example.org",
        token: "registration",
        caChecksum: undefined,
        agentImage: undefined,
        ...more,
      });
    }
  });

  const useless: [string, object][] = [
    ["expired", { expiresAt: "2026-07-31T00:00:00Z" }],
    ["about to expire", { expiresAt: new Date(now + 60_000).toISOString() }],
    ["with the placeholder for its token", { token: "{token}" }],
    ["whose command holds the placeholder", { nodeCommand: docker.replace("registration", "{token}") }],
    ["whose command was cleared", { nodeCommand: "" }],
    ["without a value", { token: "" }],
  ];
  for (const [what, change] of useless) {
    it(`makes a new token instead of one ${what}, and waits until Rancher filled it in`, async () => {
      let looks = 0;
      const fresh = { id: "c-abc12:crt-new", token: "fresh", nodeCommand: docker };
      answers({
        [tokens]: () => {
          looks += 1;
          if (looks < 3) return list({ ...usable, ...change }, { id: fresh.id });
          return list({ ...usable, ...change }, fresh);
        },
        "POST /v3/clusterregistrationtokens": { status: 201, body: { id: fresh.id, token: "" } },
      });
      assert.equal((await client().registration()).token, "fresh");
      assert.deepEqual(
        server.seen.filter(({ method }) => method === "POST").map(({ body }) => JSON.parse(body) as unknown),
        [{ type: "clusterRegistrationToken", clusterId: "c-abc12" }],
      );
      assert.equal(clock.now(), now + 2000);
    });
  }

  it("prefers the token that Rancher's page shows, and uses one that expires later", async () => {
    const other = { id: "c-abc12:crt-x", token: "other", nodeCommand: docker };
    answers({ [tokens]: list(other, { ...usable, expiresAt: "2026-08-31T00:00:00Z" }) });
    assert.equal((await client().registration()).token, "registration");
    answers({ [tokens]: list({ ...usable, expiresAt: "2026-07-01T00:00:00Z" }, other) });
    assert.equal((await client().registration()).token, "other");
  });

  it("gives up on a token that is never filled in, and on a command of an unknown form", async () => {
    answers({ [tokens]: list(), "POST /v3/clusterregistrationtokens": { body: { id: "c-abc12:crt-new" } } });
    assert.match(
      (await refused(client().registration())).what,
      /a registration token for cluster c-abc12: not within 120 s/,
    );
    answers({ [tokens]: list({ ...usable, nodeCommand: "kubectl apply -f something" }) });
    assert.match((await refused(client().registration())).what, /not of a form that this program knows/);
  });

  it("lists rke1 nodes, following pages by their path alone", async () => {
    const nodes = "GET /v3/nodes?clusterId=c-abc12";
    answers({
      [nodes]: {
        body: {
          data: [
            { id: "c-abc12:m-1", nodeName: "debian-1", state: "active", etcd: true, controlPlane: true, worker: true },
          ],
          // A link to elsewhere must not take the token along.
          pagination: { next: "https://elsewhere.example.org/v3/nodes?clusterId=c-abc12&marker=2" },
        },
      },
      [`${nodes}&marker=2`]: list({ id: "c-abc12:m-2", nodeName: null, state: "registering", worker: true }),
    });
    assert.deepEqual(await client().nodes(), [
      { id: "c-abc12:m-1", nodeName: "debian-1", state: "active", roles: ["controlplane", "etcd", "worker"] },
      { id: "c-abc12:m-2", nodeName: undefined, state: "registering", roles: ["worker"] },
    ]);
  });

  const machinesPath = "/v1/cluster.x-k8s.io.machines/fleet-default";
  const selected = `GET ${machinesPath}?labelSelector=cluster.x-k8s.io%2Fcluster-name%3Dhome`;
  const machine = (name: string, change: { labels?: object; metadata?: object; status?: object } = {}) => ({
    metadata: { name, labels: { "cluster.x-k8s.io/cluster-name": "home", ...change.labels }, ...change.metadata },
    ...(change.status && { status: change.status }),
  });

  it("lists the machines of rke2 and k3s in Norman's words, and none of another cluster", async () => {
    answers({
      [selected]: {
        body: {
          data: [
            machine("custom-1", {
              labels: { "rke.cattle.io/etcd-role": "true", "rke.cattle.io/control-plane-role": "true" },
              status: { phase: "Running", nodeRef: { name: "lab-debian-1" } },
            }),
            machine("custom-2", { labels: { "rke.cattle.io/worker-role": "true" }, status: { phase: "Deleting" } }),
            machine("custom-3", {
              metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
              status: { phase: "Running" },
            }),
          ],
          continue: "next page",
        },
      },
      [`${selected}&continue=next%20page`]: list(
        machine("custom-4", { status: { phase: "Provisioning" } }),
        machine("custom-5"),
        machine("custom-6", { labels: { "cluster.x-k8s.io/cluster-name": "other" } }),
      ),
    });
    for (const distribution of ["rke2", "k3s"] as const) {
      assert.deepEqual(await client(distribution).nodes(), [
        { id: "fleet-default/custom-1", nodeName: "lab-debian-1", state: "active", roles: ["controlplane", "etcd"] },
        { id: "fleet-default/custom-2", nodeName: undefined, state: "removing", roles: ["worker"] },
        { id: "fleet-default/custom-3", nodeName: undefined, state: "removing", roles: [] },
        { id: "fleet-default/custom-4", nodeName: undefined, state: "provisioning", roles: [] },
        { id: "fleet-default/custom-5", nodeName: undefined, state: "registering", roles: [] },
      ]);
    }
  });

  it("lists the snapshots of rke1 that are complete, and none of another cluster", async () => {
    const backup = (name: string, completed: string | undefined, change: object = {}): object => ({
      ...{ id: `c-abc12:${name}`, name, clusterId: "c-abc12", created: "2026-07-31T12:00:00Z" },
      ...(completed !== undefined && {
        status: {
          conditions: [
            { type: "Created", status: "True" },
            { type: "Completed", status: completed },
          ],
        },
      }),
      ...change,
    });
    const backups = "GET /v3/etcdbackups?clusterId=c-abc12";
    answers({
      [backups]: {
        body: {
          data: [
            backup("local", "True", { backupConfig: { enabled: true, s3BackupConfig: null } }),
            backup("away", "True", { backupConfig: { s3BackupConfig: { bucketName: "etcd" } } }),
            backup("running", "Unknown"),
            backup("failed", "False"),
            backup("queued", undefined),
          ],
          pagination: { next: "https://elsewhere.example.org/v3/etcdbackups?clusterId=c-abc12&marker=2" },
        },
      },
      [`${backups}&marker=2`]: list(
        backup("foreign", "True", { clusterId: "c-other" }),
        backup("undated", "True", { created: "" }),
      ),
    });
    const takenAt = Date.UTC(2026, 6, 31, 12);
    assert.deepEqual(await client().snapshots(), [
      { name: "local", takenAt, heldBy: "members" },
      { name: "away", takenAt, heldBy: "store" },
    ]);
  });

  it("lists the snapshots of rke2 and k3s that are complete and whose file is there, and none of another cluster", async () => {
    const file = {
      name: "etcd-snapshot-1",
      nodeName: "lab-1",
      createdAt: "2026-07-31T12:00:00Z",
      status: "successful",
    };
    const snapshot = (snapshotFile: object, change: object = {}): object => ({
      ...{ metadata: { name: "home-etcd-snapshot-1" }, spec: { clusterName: "home" }, snapshotFile },
      ...{ status: { missing: false }, ...change },
    });
    const path = "GET /v1/rke.cattle.io.etcdsnapshots/fleet-default?labelSelector=rke.cattle.io%2Fcluster-name%3Dhome";
    answers({
      [path]: {
        body: {
          data: [
            snapshot(file),
            snapshot({ ...file, name: undefined, nodeName: "s3", s3: { bucket: "etcd" } }),
            snapshot({ ...file, status: "failed" }),
            snapshot({ ...file, status: undefined }),
            snapshot(file, { status: { missing: true } }),
          ],
          continue: "next",
        },
      },
      [`${path}&continue=next`]: list(
        snapshot(file, { spec: { clusterName: "other" } }),
        snapshot({ ...file, createdAt: undefined }),
      ),
    });
    const takenAt = Date.UTC(2026, 6, 31, 12);
    for (const distribution of ["rke2", "k3s"] as const) {
      assert.deepEqual(await client(distribution).snapshots(), [
        { name: "etcd-snapshot-1", takenAt, heldBy: { node: "lab-1" } },
        { name: "home-etcd-snapshot-1", takenAt, heldBy: "store" },
      ]);
    }
  });

  it("removes an rke1 node where Rancher offers it, and takes an absent one for removed", async () => {
    const path = "/v3/nodes/c-abc12:m-1";
    answers({ [`GET ${path}`]: { body: { links: { remove: "…" } } }, [`DELETE ${path}`]: { status: 200 } });
    await client().removeNode("c-abc12:m-1");
    assert.deepEqual(asked(), [`GET ${path}`, `DELETE ${path}`]);

    answers({ [`GET ${path}`]: { status: 404 } });
    await client().removeNode("c-abc12:m-1");

    answers({ [`GET ${path}`]: { body: { links: {} } } });
    assert.equal(
      (await refused(client().removeNode("c-abc12:m-1"))).what,
      "Rancher: node c-abc12:m-1 cannot be removed through it",
    );
    assert.ok(asked().filter((request) => request.startsWith("DELETE")).length === 1);
  });

  it("removes a machine of rke2, and takes an absent one for removed", async () => {
    const path = `DELETE ${machinesPath}/custom-1`;
    for (const reply of [{ status: 200 }, { status: 404 }]) {
      answers({ [path]: reply });
      await client("rke2").removeNode("fleet-default/custom-1");
    }
    assert.deepEqual(asked(), [path, path]);
  });

  it("says what to do about each refusal, and never prints a token", async () => {
    for (const [status, body, what, why] of [
      [401, { message: "must authenticate" }, /does not accept the token/, "it says: must authenticate"],
      [
        403,
        { code: "Forbidden" },
        /the token may not do this \(GET \/v3\/clusterregistrationtokens\)/,
        "it says: Forbidden",
      ],
      [500, "", /refused GET \/v3\/clusterregistrationtokens/, "it says: out of order (HTTP 500)"],
    ] as const) {
      answers({ [tokens]: { status, reason: "out of order", body } });
      const parts = await refused(client().registration());
      assert.match(parts.what, what);
      assert.equal(parts.why, why);
      assert.ok(!JSON.stringify(parts).includes("secret-of-the-api-key"));
    }
    answers({ [tokens]: { status: 502, reason: " ", body: "" } });
    assert.equal((await refused(client().registration())).why, "it says: nothing (HTTP 502)");
  });

  it("sends nothing to a server whose certificate is not trusted", async () => {
    const access = {
      url: server.url,
      token: apiToken,
      clusterId: "c",
      clusterName: "home",
      distribution: "rke1" as const,
    };
    const { next } = await refused(rancherClient(access, clock).version());
    assert.match(next, /`cluster.rancher.caCertificate`/);
    assert.deepEqual(server.seen, []);
  });
});
