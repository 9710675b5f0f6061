import assert from "node:assert/strict";
import type { V1Node } from "@kubernetes/client-node";
import type { Clients } from "../../../../operations/clients";
import { leaseName, leaseNamespace, withLease } from "../../../../operations/cluster/lease";
import { leases, nodes } from "../../../../operations/kinds";
import { join } from "../../../../operations/nodes/join";
import { membershipInput } from "../../../../operations/nodes/membership-input";
import { refreshMembership } from "../../../../operations/nodes/refresh-membership";
import { uuidOf } from "../../../../rehearsal/home/build";
import { nodeObject } from "../../../../rehearsal/home/guest";
import { homeWithMachine, hostKey, membership, refused, withRegistration } from "../../../support/nodes";

const labels = {
  "home-cluster/node": "debian",
  "node.longhorn.io/create-default-disk": "true",
};

async function member(clients: Clients, change: (node: V1Node) => void = () => undefined): Promise<void> {
  const node = nodeObject("debian-1", "192.168.10.21", ["controlplane", "etcd", "worker"], labels);
  change(node);
  await clients.kubernetes.create(node);
}

describe("operations/nodes/join, on the pretend home (does not prove that Rancher's agent registers)", () => {
  it("registers over the pinned connection, the token among the secrets only, and waits until the node is as declared", async () => {
    const { clients, runs, home, log, clock } = homeWithMachine();
    const start = clock.now();
    assert.deepEqual(await join.run(membership(), clients), { node: "debian-1", address: "192.168.10.21" });
    assert.deepEqual(runs, [
      {
        target: { address: "192.168.10.21", user: "debian", hostKey },
        script: "join-rke1",
        settings: {
          NODE_NAME: "debian-1",
          ADDRESS: "192.168.10.21",
          ROLES: "controlplane,etcd,worker",
          LABELS: "home-cluster/node=debian,node.longhorn.io/create-default-disk=true",
          SERVER: "https://rancher.invalid",
          CA_CHECKSUM: "",
          AGENT_IMAGE: "rancher/rancher-agent:v2.11.16",
        },
        secrets: { TOKEN: home.rancher.token, AGENT_ENVIRONMENT: "" },
      },
    ]);
    // 5 s to run, 75 s until its node, 15 s until Rancher calls it active: both waited for.
    assert.ok(clock.now() - start >= 95_000);
    const node = await clients.kubernetes.read(nodes, "debian-1");
    assert.equal(node?.metadata?.annotations?.["home-cluster/labels"], Object.keys(labels).sort().join(","));
    assert.ok(!log.join("\n").includes(home.rancher.token));
  });

  it("uses the agent's script for rke2 and k3s, without an image, with Rancher's CA and the cluster's own environment", async () => {
    for (const distribution of ["rke2", "k3s"] as const) {
      const { clients, runs, home } = homeWithMachine();
      const registration = {
        server: "https://rancher.example.org",
        token: home.rancher.token,
        caChecksum: "abc",
        agentImage: undefined,
        environment: { HTTPS_PROXY: "http://user:password@proxy", NO_PROXY: "10.0.0.0/8" },
      };
      await join.run(membership({ distribution }), withRegistration(clients, registration));
      assert.equal(runs[0]?.script, "join-agent");
      assert.deepEqual(runs[0]?.settings, {
        NODE_NAME: "debian-1",
        ADDRESS: "192.168.10.21",
        ROLES: "controlplane,etcd,worker",
        LABELS: "home-cluster/node=debian,node.longhorn.io/create-default-disk=true",
        SERVER: "https://rancher.example.org",
        CA_CHECKSUM: "abc",
      });
      assert.deepEqual(runs[0]?.secrets, {
        TOKEN: home.rancher.token,
        AGENT_ENVIRONMENT: "HTTPS_PROXY=http://user:password@proxy\nNO_PROXY=10.0.0.0/8",
      });
    }
  });

  it("is idempotent: a second run registers nothing", async () => {
    const { clients, runs } = homeWithMachine();
    await join.run(membership(), clients);
    assert.deepEqual(await join.run(membership(), clients), { node: "debian-1", address: "192.168.10.21" });
    assert.equal(runs.length, 1);
  });

  it("goes on with a half-joined node: worker not yet labelled, not yet Ready", async () => {
    const { clients, runs, clock, home } = homeWithMachine();
    await member(clients, (node) => {
      delete node.metadata?.labels?.["node-role.kubernetes.io/worker"];
      node.status = { ...node.status, conditions: [{ type: "Ready", status: "False", message: "CNI not ready" }] };
    });
    home.rancher.nodes.push({ id: "c-abc12:m-1", vmId: 201, nodeName: "debian-1", state: "active", roles: [] });
    void clock.sleep(60_000).then(() =>
      clients.kubernetes.patch(nodes, "debian-1", {
        metadata: { labels: { "node-role.kubernetes.io/worker": "true" } },
        status: { conditions: [{ type: "Ready", status: "True" }] },
      }),
    );
    assert.deepEqual(await join.run(membership(), clients), { node: "debian-1", address: "192.168.10.21" });
    assert.deepEqual(runs, []);
  });

  it("lets one member of etcd join at a time: the second registers after the first is active, and the lock is free afterwards", async () => {
    const { clients, home, runs } = homeWithMachine();
    const [first] = home.proxmox.vms.filter((vm) => vm.vmId === 201);
    assert.ok(first);
    home.proxmox.vms.push({ ...first, vmId: 202, name: "debian-2" });
    home.guests[202] = { hostKey, address: "192.168.10.22", agent: true, joined: false, instance: "" };
    const states: string[] = [];
    const watching: Clients = {
      ...clients,
      ssh: {
        run: (...args) => {
          states.push(home.rancher.nodes.map((node) => `${node.nodeName ?? "?"} ${node.state}`).at(-1) ?? "");
          return clients.ssh.run(...args);
        },
      },
    };
    await Promise.all([
      join.run(membership(), watching),
      join.run(membership({ node: "debian-2", address: "192.168.10.22" }), watching),
    ]);
    assert.equal(runs.length, 2);
    assert.deepEqual(states, ["rancheros-3 active", `${runs[0]?.settings.NODE_NAME} active`]);
    const lease = await clients.kubernetes.read(leases, leaseName, leaseNamespace);
    assert.equal(lease?.spec?.holderIdentity, undefined);
  });

  it("lets workers join at the same time, without the lock, and none before whoever changes the control plane is done", async () => {
    const { clients, home, runs, clock } = homeWithMachine();
    const [first] = home.proxmox.vms.filter((vm) => vm.vmId === 201);
    assert.ok(first);
    const inputs = [1, 2, 3, 4].map((n) =>
      membership({ node: `worker-${n}`, address: `192.168.10.3${n}`, roles: ["worker"] }),
    );
    for (const [index, { node, address }] of inputs.entries()) {
      home.proxmox.vms.push({ ...first, vmId: 301 + index, name: node, uuid: uuidOf(301 + index) });
      home.guests[301 + index] = { hostKey, address, agent: true, joined: false, instance: "" };
    }
    const leaving = withLease(clients, "debian-9", () => clock.sleep(300_000));
    await clock.sleep(1_000);
    const start = clock.now();
    await Promise.all(inputs.map((input) => join.run({ ...input, vm: { ...input.vm, uuid: undefined } }, clients)));
    await leaving;
    const took = clock.now() - start;
    assert.equal(runs.length, 4);
    // 5 minutes of the leave, and one join of about 95 s for all four.
    assert.ok(took >= 395_000 && took < 440_000, String(took));
    const lease = await clients.kubernetes.read(leases, leaseName, leaseNamespace);
    assert.equal(lease?.spec?.leaseTransitions, 0, "a worker took the lock");
  });

  it("sits an API out that falls silent while the control plane changes", async () => {
    const { clients, clock } = homeWithMachine();
    const start = clock.now();
    const silent = (from: number, until: number): boolean =>
      clock.now() - start > from * 1000 && clock.now() - start < until * 1000;
    const flaky = {
      ...clients,
      kubernetes: Object.assign(Object.create(clients.kubernetes) as Clients["kubernetes"], {
        read: (...args: Parameters<Clients["kubernetes"]["read"]>) =>
          silent(20, 90) ? Promise.reject(new Error("refused")) : clients.kubernetes.read(...args),
      }),
      rancher: Object.assign(Object.create(clients.rancher) as Clients["rancher"], {
        nodes: () => (silent(90, 150) ? Promise.reject(new Error("refused")) : clients.rancher.nodes()),
      }),
    };
    await join.run(membership({ roles: ["worker"] }), flaky);
    assert.ok(clock.now() - start >= 150_000);
  });

  it("refuses the node of the machine that had its name and address before, and says how that one leaves", async () => {
    for (const state of ["True", "Unknown"]) {
      const { clients, runs } = homeWithMachine();
      await member(clients, (node) => {
        node.status = { ...node.status, conditions: [{ type: "Ready", status: state }] };
        if (node.status.nodeInfo) node.status.nodeInfo.systemUUID = uuidOf(201, 0).toUpperCase();
      });
      const vm = { host: "pve", vmId: 201, mac: "BC:24:11:00:10:21", uuid: uuidOf(201, 1) };
      const { what, next } = await refused(join.run(membership({ vm }), clients));
      assert.equal(what, "debian-1: the cluster still has the machine that had this name before, nothing was touched");
      const request = /echo '(.*)' \| npm run -s operation -- <environment> leave/.exec(next)?.[1] ?? "";
      assert.deepEqual(JSON.parse(request), {
        node: "debian-1",
        roles: ["controlplane", "etcd", "worker"],
        address: "192.168.10.21",
        protect: false,
        vm: { ...vm, uuid: uuidOf(201, 0) },
      });
      assert.deepEqual(runs, []);
    }
  });

  it("takes a node whose kubelet cannot read the machine's UUID for the machine's own", async () => {
    for (const said of ["", "4c4c4544004d3510804db2c04f443732"]) {
      const { clients, home } = homeWithMachine();
      await member(clients, (node) => {
        if (node.status?.nodeInfo) node.status.nodeInfo.systemUUID = said;
      });
      home.rancher.nodes.push({ id: "c-abc12:m-1", vmId: 201, nodeName: "debian-1", state: "active", roles: [] });
      await join.run(membership({ vm: { ...membership().vm, uuid: uuidOf(201, 1) } }), clients);
    }
  });

  it("registers nothing once it lost the lock", async () => {
    const { clients, runs } = homeWithMachine();
    const rancher: Clients["rancher"] = {
      version: () => clients.rancher.version(),
      nodes: () => clients.rancher.nodes(),
      snapshots: () => clients.rancher.snapshots(),
      removeNode: (id) => clients.rancher.removeNode(id),
      registration: async () => {
        await clients.kubernetes.patch(
          leases,
          leaseName,
          { spec: { holderIdentity: "leave debian-2/1" } },
          leaseNamespace,
        );
        return clients.rancher.registration();
      },
    };
    assert.match((await refused(join.run(membership(), { ...clients, rancher }))).what, /the lock was lost/);
    assert.deepEqual(runs, []);
  });

  it("refuses a Kubernetes node of the same name that is another machine", async () => {
    const { clients, runs } = homeWithMachine();
    await member(clients, (node) => (node.status = { addresses: [{ type: "InternalIP", address: "192.168.10.99" }] }));
    // Its roles differ as well; that it is somebody else is what the operator has to know.
    const { what, why } = await refused(join.run(membership({ roles: ["worker"] }), clients));
    assert.equal(what, "debian-1: the cluster has another machine under this name, nothing was touched");
    assert.match(why, /192\.168\.10\.99, .* 192\.168\.10\.21/);
    assert.deepEqual(runs, []);
  });

  it("refuses a member with a role that is not declared", async () => {
    const { clients, runs } = homeWithMachine();
    await member(clients);
    const { what } = await refused(join.run(membership({ roles: ["worker"] }), clients));
    assert.equal(what, "debian-1: roles cannot change while it is a member, nothing was touched");
    assert.deepEqual(runs, []);
  });

  it("refuses while Rancher still removes a node of the name", async () => {
    const { clients, runs, home } = homeWithMachine();
    home.rancher.nodes.push({ id: "c-abc12:m-1", vmId: 201, nodeName: "debian-1", state: "removing", roles: [] });
    const { what } = await refused(join.run(membership(), clients));
    assert.equal(what, "debian-1: Rancher is still removing a node of this name");
    assert.deepEqual(runs, []);
  });

  it("refuses rke1 when Rancher names no agent image, before anything runs", async () => {
    const { clients, runs } = homeWithMachine();
    const registration = { server: "https://r", token: "t", caChecksum: undefined, agentImage: undefined };
    const { what } = await refused(join.run(membership(), withRegistration(clients, registration)));
    assert.equal(what, "debian-1: Rancher gives no command for joining an rke1 cluster");
    assert.deepEqual(runs, []);
  });

  const never: [string, (node: V1Node) => void, RegExp, string][] = [
    [
      "not Ready",
      (node) => (node.status = { ...node.status, conditions: [{ type: "Ready", status: "False", message: "no CNI" }] }),
      /not Ready: no CNI$/,
      "rke1",
    ],
    [
      "without conditions",
      (node) => (node.status = { addresses: node.status?.addresses }),
      /no condition yet$/,
      "rke1",
    ],
    [
      "without an address",
      (node) => (node.status = { conditions: [{ type: "Ready", status: "True" }] }),
      /no InternalIP yet$/,
      "rke2",
    ],
    ["without roles", (node) => (node.metadata = { name: "debian-1" }), /roles are not there$/, "rke2"],
  ];
  for (const [what, change, why, distribution] of never) {
    it(`gives up on a node that stays ${what}, naming the agent's log`, async () => {
      const { clients } = homeWithMachine();
      await member(clients, change);
      const parts = await refused(
        join.run(membership({ distribution: distribution === "rke1" ? "rke1" : "rke2" }), clients),
      );
      assert.equal(parts.what, "debian-1: Ready in the cluster with its roles and address: not within 1800 s");
      assert.match(parts.why, why);
      assert.match(
        parts.next,
        distribution === "rke1" ? /docker logs .* home-cluster-join/ : /journalctl .*system-agent/,
      );
    });
  }

  it("gives up on a node that never registers, and on one that Rancher does not call active", async () => {
    const silent = homeWithMachine((_, guest) => (guest.joined = true));
    assert.match((await refused(join.run(membership(), silent.clients))).why, /no Kubernetes node of this name$/);

    for (const state of [undefined, "registering" as const]) {
      const { clients, home } = homeWithMachine();
      await member(clients);
      if (state) home.rancher.nodes.push({ id: "c-abc12:m-1", vmId: 201, nodeName: "debian-1", state, roles: [] });
      const { what, why } = await refused(join.run(membership(), clients));
      assert.equal(what, "debian-1: active in Rancher: not within 900 s");
      assert.match(why, state ? /Rancher calls it registering$/ : /not in Rancher$/);
    }
  });

  it("stops at a node of another address that turns up under the name while it waits", async () => {
    const { clients, clock } = homeWithMachine((_, guest) => (guest.joined = true));
    void clock
      .sleep(30_000)
      .then(() =>
        member(clients, (node) => (node.status = { addresses: [{ type: "InternalIP", address: "192.168.10.99" }] })),
      );
    assert.match((await refused(join.run(membership(), clients))).what, /another machine under this name/);
  });

  it("reads inputs of a newer checkout, and refuses one without a verified key", () => {
    assert.ok(membershipInput.safeParse({ ...membership(), later: true }).success);
    assert.ok(!membershipInput.safeParse(membership({ hostKey: "ssh-rsa AAAA" })).success);
    assert.ok(!membershipInput.safeParse(membership({ roles: [] })).success);
  });
});

describe("operations/nodes/refresh-membership, on the pretend home", () => {
  it("changes nothing when everything is as declared", async () => {
    const { clients, home, runs } = homeWithMachine();
    await join.run(membership(), clients);
    const before = structuredClone(home);
    assert.deepEqual(await refreshMembership.run(membership(), clients), {
      node: "debian-1",
      address: "192.168.10.21",
    });
    assert.deepEqual(home, before);
    assert.equal(runs.length, 1);
  });

  it("never joins anew, whatever changed", async () => {
    const { clients, runs } = homeWithMachine();
    await join.run(membership(), clients);
    const changes = [{ protect: false }, { hostKey: "ssh-ed25519 AAAAother" }, { labels: {} }];
    for (const change of changes) await refreshMembership.run(membership(change), clients);
    assert.equal(runs.length, 1);
  });

  it("adds, changes and removes labels of ours, and leaves those of others", async () => {
    const { clients, log } = homeWithMachine();
    await join.run(membership({ labels: { ...labels, zone: "a" } }), clients);
    await clients.kubernetes.patch(nodes, "debian-1", { metadata: { labels: { theirs: "kept" } } });
    log.length = 0;
    await refreshMembership.run(
      membership({ labels: { "home-cluster/node": "debian", zone: "b", more: "x" } }),
      clients,
    );
    const found = (await clients.kubernetes.read(nodes, "debian-1"))?.metadata;
    assert.deepEqual([found?.labels?.zone, found?.labels?.more, found?.labels?.theirs], ["b", "x", "kept"]);
    assert.ok(!("node.longhorn.io/create-default-disk" in (found?.labels ?? {})));
    assert.equal(found?.annotations?.["home-cluster/labels"], "home-cluster/node,more,zone");
    assert.deepEqual(log, [
      "debian-1: label more=x",
      "debian-1: label zone=b",
      "debian-1: label node.longhorn.io/create-default-disk removed",
    ]);
  });

  it("adds, changes and removes annotations of ours, with the labels or alone, and leaves those of others", async () => {
    const tags = "node.longhorn.io/default-node-tags";
    const { clients, log } = homeWithMachine();
    await join.run(membership({ annotations: { [tags]: '["ssd"]' } }), clients);
    await clients.kubernetes.patch(nodes, "debian-1", { metadata: { annotations: { theirs: "kept" } } });
    const found = async (): Promise<unknown> => {
      const { annotations = {} } = (await clients.kubernetes.read(nodes, "debian-1"))?.metadata ?? {};
      return [annotations[tags], annotations["home-cluster/annotations"], annotations.theirs];
    };
    assert.deepEqual(await found(), ['["ssd"]', tags, "kept"]);
    log.length = 0;
    await refreshMembership.run(membership({ annotations: { [tags]: '["fast"]' } }), clients);
    assert.deepEqual(await found(), ['["fast"]', tags, "kept"]);
    await refreshMembership.run(membership(), clients);
    assert.deepEqual(await found(), [undefined, "", "kept"]);
    await refreshMembership.run(membership(), clients);
    assert.deepEqual(log, [`debian-1: annotation ${tags}=["fast"]`, `debian-1: annotation ${tags} removed`]);
  });

  it("writes no record of annotations on a node that never had any of ours", async () => {
    const { clients } = homeWithMachine();
    await join.run(membership(), clients);
    const { annotations } = (await clients.kubernetes.read(nodes, "debian-1"))?.metadata ?? {};
    assert.ok(!("home-cluster/annotations" in (annotations ?? {})));
    assert.ok("home-cluster/labels" in (annotations ?? {}));
  });

  it("refuses changed roles, fewer as well as more", async () => {
    for (const roles of [["worker"], ["controlplane", "etcd"]] as const) {
      const { clients } = homeWithMachine();
      await join.run(membership(), clients);
      const { what, why } = await refused(refreshMembership.run(membership({ roles: [...roles] }), clients));
      assert.equal(what, "debian-1: roles cannot change while it is a member, nothing was touched");
      assert.equal(
        why,
        `it is controlplane, etcd, worker in the cluster and ${[...roles].sort().join(", ")} in the environment file`,
      );
    }
  });

  it("knows rke2's spelling of the control plane", async () => {
    const { clients } = homeWithMachine();
    await member(clients, (node) => {
      delete node.metadata?.labels?.["node-role.kubernetes.io/controlplane"];
      Object.assign(node.metadata?.labels ?? {}, { "node-role.kubernetes.io/control-plane": "true" });
    });
    await refreshMembership.run(membership({ distribution: "rke2" }), clients);
  });

  it("refuses a node without any role, another machine, and a node that is gone", async () => {
    const bare = homeWithMachine();
    await member(bare.clients, (node) => (node.metadata = { name: "debian-1" }));
    assert.match((await refused(refreshMembership.run(membership(), bare.clients))).why, /^it is without a role/);

    const moved = homeWithMachine();
    await member(moved.clients);
    assert.match(
      (await refused(refreshMembership.run(membership({ address: "192.168.10.22" }), moved.clients))).what,
      /another machine under this name/,
    );

    const gone = await refused(refreshMembership.run(membership(), homeWithMachine().clients));
    assert.equal(gone.what, "debian-1: is not in the cluster any more");
    assert.match(gone.next, /pulumi state delete/);
  });
});
