import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { RancherApi } from "../../../../operations/clients";
import { JsonHttp } from "../../../../operations/clients/http";
import { kubernetesClient } from "../../../../operations/clients/kubernetes";
import { rancherClient } from "../../../../operations/clients/rancher";
import { nodes } from "../../../../operations/kinds";
import { buildHome, uuidOf } from "../../../../rehearsal/home/build";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import type { Member } from "../../../../rehearsal/home/rancher";
import type { HomeState } from "../../../../rehearsal/home/state";
import { startCluster, type SimulatedCluster } from "../../../../rehearsal/simulators/cluster";
import type { RancherOptions } from "../../../../rehearsal/simulators/rancher";
import { environment } from "../../../support/environment";
import { certificates } from "../../../support/https";
import { needs } from "../../../support/needs";
import { refused } from "../../../support/nodes";

const files = { home: environment("home"), lab: environment("lab") };

describe("rehearsal/simulators/rancher, asked by the real client (does not prove that a real Rancher answers so)", () => {
  const running: SimulatedCluster[] = [];

  before(function () {
    needs(this, "openssl");
  });
  afterEach(async () => {
    for (const cluster of running.splice(0)) await cluster.stop();
  });

  interface Started {
    readonly home: HomeState;
    readonly cluster: SimulatedCluster;
    readonly client: RancherApi;
    /** What both know of the nodes: Rancher's id, name and state, and the names in Kubernetes. */
    readonly known: () => Promise<{ rancher: string[]; kubernetes: string[] }>;
  }

  async function start(name: "home" | "lab" = "home", rancher: Partial<RancherOptions> = {}): Promise<Started> {
    const home = buildHome(files[name]);
    const old = home.rancher.nodes.length;
    const cluster = await startCluster(home, { certificate: certificates(), clusterName: name, rancher });
    running.push(cluster);
    // Waiting takes no time, and expiry is counted from the same moment.
    const client = rancherClient(cluster.access.rancher, new VirtualClock(cluster.clock.now()));
    const kubernetes = kubernetesClient(cluster.access.kubernetes.kubeconfig);
    const known = async (): ReturnType<Started["known"]> => ({
      rancher: (await client.nodes()).slice(old).map(({ nodeName, state }) => `${nodeName ?? "?"} ${state}`),
      kubernetes: (await kubernetes.list(nodes)).slice(old).map(({ metadata }) => metadata?.name ?? ""),
    });
    return { home, cluster, client, known };
  }

  /** A machine that runs and has not joined. */
  function machine(home: HomeState, vmId: number, made = 0): Member {
    const [vm] = home.proxmox.vms;
    assert.ok(vm);
    const uuid = uuidOf(vmId, made);
    home.proxmox.vms = [...home.proxmox.vms.filter((other) => other.vmId !== vmId), { ...vm, vmId, uuid }];
    home.guests[vmId] = { hostKey: "", address: `192.168.10.${vmId}`, agent: true, joined: false, instance: "" };
    return {
      nodeName: `debian-${vmId}`,
      address: `192.168.10.${vmId}`,
      roles: ["etcd", "worker"],
      labels: { zone: "a" },
      systemUUID: uuid,
    };
  }

  /** What sends what the client never would. */
  function http({ access, clock }: SimulatedCluster): JsonHttp {
    const { url, token, caCertificate } = access.rancher;
    const server = {
      base: url,
      authorization: `Bearer ${token}`,
      caCertificate,
      name: "Rancher",
      caSetting: "",
      renewal: "",
    };
    return new JsonHttp(server, clock);
  }

  it("says its version, and lists the nodes, page by page", async () => {
    const one = await start("home", { pageSize: 2 });
    assert.equal(await one.client.version(), files.home.cluster.rancher.version);
    assert.deepEqual(
      (await one.client.nodes()).map(({ id, nodeName, state, roles }) => [id, nodeName, state, roles]),
      files.home.oldNodes.map(({ vmId, name, roles }) => [`c-abc12:m-${vmId}`, name, "active", [...roles]]),
    );
    assert.deepEqual(one.cluster.rancher.log.map(({ path, query }) => `${path}?${query.toString()}`).slice(1), [
      "/v3/nodes?clusterId=c-abc12",
      "/v3/nodes?clusterId=c-abc12&marker=2",
    ]);
    const other = await start("lab", { pageSize: 1 });
    assert.deepEqual(
      (await other.client.nodes()).map(({ nodeName, state, roles }) => [nodeName, state, roles]),
      files.lab.oldNodes.filter(({ retired }) => !retired).map(({ name, roles }) => [name, "active", [...roles]]),
    );
  });

  for (const name of ["home", "lab"] as const)
    it(`${name}: lists snapshots of etcd, page by page: the recurring one and others, only those that are complete`, async () => {
      const { home, cluster, client } = await start(name, { pageSize: 2 });
      const takenAt = cluster.clock.now();
      const heldBy = name === "home" ? ("members" as const) : { node: "lab-debian-1" };
      home.rancher.snapshots = [
        { name: "by-hand", takenAt, heldBy },
        ...(["running", "failed", "missing"] as const).map((state) => ({ name: state, takenAt, heldBy, state })),
      ];
      const [recurring, ...others] = await client.snapshots();
      assert.equal(recurring?.heldBy, "store");
      const age = cluster.clock.now() - recurring.takenAt;
      assert.ok(age >= 0 && age <= (name === "home" ? 12 : 5) * 3_600_000, String(age));
      assert.deepEqual(others, [{ name: "by-hand", takenAt, heldBy }]);
      delete home.rancher.snapshotEvery;
      home.rancher.snapshots = [];
      assert.deepEqual(await client.snapshots(), []);
    });

  it("gives a registration that names it and its CA, in each distribution's form", async () => {
    const caChecksum = createHash("sha256").update(certificates().ca).digest("hex");
    for (const [name, agentImage] of [
      ["home", `rancher/rancher-agent:${files.home.cluster.rancher.version}`],
      ["lab", undefined],
    ] as const) {
      const { home, client, cluster } = await start(name);
      const { token } = home.rancher;
      assert.deepEqual(await client.registration(), { server: cluster.rancher.url, token, caChecksum, agentImage });
    }
  });

  for (const name of ["home", "lab"] as const) {
    it(`${name}: two machines join, each with the token that is valid then, and one leaves again`, async () => {
      const { home, cluster, client, known } = await start(name);
      const [first, second] = [machine(home, 211), machine(home, 212)];
      const { token } = await client.registration();
      assert.equal(cluster.members.register(token, first), "joined");
      await cluster.clock.idle();
      assert.deepEqual(await known(), { rancher: ["debian-211 active"], kubernetes: ["debian-211"] });
      assert.equal(cluster.members.register(token, first), "already joined");
      cluster.members.rotateToken();
      assert.equal(cluster.members.register(token, second), "refused");
      assert.equal(cluster.members.register((await client.registration()).token, second), "joined");
      await cluster.clock.idle();
      const both = ["debian-211", "debian-212"];
      assert.deepEqual(await known(), { rancher: both.map((node) => `${node} active`), kubernetes: both });
      const node = await kubernetesClient(cluster.access.kubernetes.kubeconfig).read(nodes, "debian-212");
      assert.deepEqual(
        [node?.metadata?.labels?.zone, node?.status?.nodeInfo?.systemUUID, node?.status?.addresses?.[0]?.address],
        ["a", second.systemUUID, second.address],
      );
      const { id = "" } = (await client.nodes()).find(({ nodeName }) => nodeName === "debian-211") ?? {};
      await client.removeNode(id);
      await cluster.clock.idle();
      assert.deepEqual(await known(), { rancher: ["debian-212 active"], kubernetes: ["debian-212"] });
      await client.removeNode(id);
      assert.equal(home.guests[211]?.joined, false);
    });
  }

  it("goes through registering and removing when it takes its time", async () => {
    const { home, cluster, client, known } = await start("lab");
    cluster.clock.scale = 60;
    cluster.members.register((await client.registration()).token, machine(home, 211));
    assert.deepEqual((await known()).rancher, ["? pending"]);
    await cluster.clock.hurry();
    const { id = "" } = (await client.nodes()).at(-1) ?? {};
    await client.removeNode(id);
    assert.deepEqual((await known()).rancher, ["debian-211 removing"]);
    await cluster.clock.hurry();
    assert.deepEqual((await known()).rancher, []);
    // Removed before it got to Kubernetes.
    cluster.members.register(home.rancher.token, machine(home, 212));
    await cluster.members.removeNode((await client.nodes()).at(-1)?.id ?? "");
    await cluster.clock.hurry();
    assert.deepEqual(await known(), { rancher: [], kubernetes: [] });
    // A home that is put back to what it was takes nothing of what had begun in it.
    cluster.members.register(home.rancher.token, machine(home, 213));
    home.rancher.nodes = home.rancher.nodes.slice(0, -1);
    await cluster.clock.hurry();
    assert.deepEqual(await known(), { rancher: [], kubernetes: [] });
  });

  it("refuses an expired token, and makes another one, which is empty at first", async () => {
    const { home, cluster, client, known } = await start("home", { tokenLifetime: 3_600_000 });
    const { token } = home.rancher;
    cluster.members.expireTokens();
    assert.equal(cluster.members.register(token, machine(home, 211)), "refused");
    cluster.members.createToken(60_000);
    assert.equal(cluster.members.register("", machine(home, 211)), "refused");
    assert.deepEqual(await known(), { rancher: [], kubernetes: [] });
    const fresh = await client.registration();
    assert.notEqual(fresh.token, token);
    const made = cluster.rancher.log.find(({ method }) => method === "POST")?.reply;
    assert.ok(made !== undefined && made !== "reset");
    const { nodeCommand, expiresAt } = made.body as { nodeCommand: string; expiresAt: string };
    assert.deepEqual([made.status, nodeCommand], [201, ""]);
    assert.ok(Date.parse(expiresAt) > cluster.clock.now() + 3_500_000);
    assert.equal(cluster.members.register(fresh.token, machine(home, 211)), "joined");
    cluster.members.expireTokens();
    assert.equal(cluster.members.register(fresh.token, machine(home, 212)), "refused");
    // A rotation is what makes the shown one good again.
    cluster.members.rotateToken(3_600_000);
    assert.equal((await client.registration()).token, home.rancher.token);
  });

  it("gives up on a token that would not live long enough to join with", async () => {
    const { cluster, client } = await start("home", { tokenLifetime: 60_000 });
    cluster.members.expireTokens();
    assert.match((await refused(client.registration())).what, /registration token .*: not within 120 s/);
  });

  it("home: keeps a node whose machine is off in removing; lab lets it go", async () => {
    for (const [name, expected] of [
      ["home", ["debian-211 removing"]],
      ["lab", []],
    ] as const) {
      const { home, cluster, client, known } = await start(name);
      cluster.members.register((await client.registration()).token, machine(home, 211));
      await cluster.clock.idle();
      for (const vm of home.proxmox.vms) if (vm.vmId === 211) vm.status = "stopped";
      await client.removeNode((await client.nodes()).at(-1)?.id ?? "");
      await cluster.clock.idle();
      assert.deepEqual((await known()).rancher, expected);
    }
  });

  it("lets no machine become the node that another one of its name still is, until that one was removed", async () => {
    for (const name of ["home", "lab"] as const) {
      const { home, cluster, client, known } = await start(name);
      const { token } = home.rancher;
      cluster.members.register(token, machine(home, 211));
      await cluster.clock.idle();
      const again = machine(home, 211, 1);
      assert.equal(cluster.members.register(token, again), "joined");
      await cluster.clock.idle();
      assert.deepEqual(
        (await known()).rancher,
        name === "home" ? ["debian-211 registering"] : ["debian-211 active", "? pending"],
      );
      for (const { id, vmId } of [...home.rancher.nodes]) if (vmId === 211) await client.removeNode(id);
      await cluster.clock.idle();
      assert.deepEqual(await known(), { rancher: [], kubernetes: [] });
      assert.equal(cluster.members.register(token, again), "joined");
      await cluster.clock.idle();
      assert.deepEqual(await known(), { rancher: ["debian-211 active"], kubernetes: ["debian-211"] });
    }
  });

  it("removes the membership that a machine had under the same id without that of the one that took its place", async () => {
    const { home, cluster, client, known } = await start("lab");
    const { token } = home.rancher;
    cluster.members.register(token, machine(home, 211));
    await cluster.clock.idle();
    const again = machine(home, 211, 1);
    const old = (await client.nodes()).at(-1)?.id ?? "";
    await cluster.members.removeNode(old);
    cluster.members.register(token, again);
    await cluster.clock.idle();
    assert.deepEqual(await known(), { rancher: ["debian-211 active"], kubernetes: ["debian-211"] });
    assert.notEqual((await client.nodes()).at(-1)?.id, old);
    assert.equal(home.guests[211]?.joined, true);
  });

  it("has a node that joins while its name is being removed swept away, and knows machines of the home only", async () => {
    const { home, cluster, known } = await start("home");
    const member = machine(home, 211);
    cluster.members.register(home.rancher.token, member);
    await cluster.clock.idle();
    for (const vm of home.proxmox.vms) if (vm.vmId === 211) vm.status = "stopped";
    await cluster.members.removeNode(home.rancher.nodes.at(-1)?.id ?? "");
    await kubernetesClient(cluster.access.kubernetes.kubeconfig).remove(nodes, "debian-211");
    assert.equal(cluster.members.register(home.rancher.token, machine(home, 211, 1)), "joined");
    await cluster.clock.idle();
    assert.deepEqual(await known(), { rancher: ["debian-211 removing"], kubernetes: [] });
    assert.throws(
      () => cluster.members.register(home.rancher.token, { ...member, systemUUID: "of nobody" }),
      /no machine of the home has the SMBIOS UUID of nobody/,
    );
  });

  it("offers no removal of an imported cluster's nodes", async () => {
    const { client, cluster, home } = await start("home", { imported: true });
    const { id = "" } = home.rancher.nodes[0] ?? {};
    assert.equal((await refused(client.removeNode(id))).what, `Rancher: node ${id} cannot be removed through it`);
    assert.equal((await http(cluster).send("DELETE", `/v3/nodes/${id}`)).status, 200);
    await cluster.clock.idle();
    assert.deepEqual([home.rancher.nodes[0]?.id, home.rancher.nodes[0]?.state], [id, "active"]);
  });

  it("refuses another key, what a key may not do, another cluster, and paths that it does not know", async () => {
    const { cluster } = await start("home", { forbids: ({ path }) => path === "/v3/nodes" });
    const { rancher } = cluster.access;
    const clock = new VirtualClock(cluster.clock.now());
    const stranger = await refused(rancherClient({ ...rancher, token: "another" }, clock).version());
    assert.deepEqual(
      [stranger.what.slice(0, 33), stranger.why],
      ["Rancher does not accept the token", "it says: must authenticate"],
    );
    const forbidden = await refused(rancherClient(rancher, clock).nodes());
    assert.deepEqual(
      [forbidden.what, forbidden.why],
      ["Rancher: the token may not do this (GET /v3/nodes)", "it says: GET /v3/nodes"],
    );
    const elsewhere = await refused(rancherClient({ ...rancher, clusterId: "c-other" }, clock).registration());
    assert.match(elsewhere.why, /"c-other" not found \(HTTP 404\)/);
    assert.equal((await http(cluster).send("GET", "/v3/projects")).status, 404);
    assert.equal((await http(cluster).send("DELETE", "/v3/nodes/c-abc12:m-nobody")).status, 404);
    assert.equal(cluster.rancher.log.at(-2)?.path, "/v3/projects");
  });
});
