import assert from "node:assert/strict";
import { longhornNamespace, longhornNodes, longhornReplicas, type LonghornNode } from "../../../../operations/kinds";
import { membershipInput } from "../../../../operations/nodes/membership-input";
import { leave } from "../../../../operations/rancheros/leave";
import type { HomeState } from "../../../../rehearsal/home/state";
import {
  add,
  addLonghornVolume,
  counted,
  find,
  longhornNode,
  migratedHome,
  nodeIn,
  podOn,
  rancherNode,
  refusalOf,
  standing,
  vmOf,
  type MigratedHome,
} from "../../../support/migrated-home";

type LeaveInput = Parameters<typeof leave.run>[0];

/** debian-3 as its membership recorded it; a fourth Debian node has Longhorn disks, so that what debian-3 holds can move. */
async function beforeLeaving(protect = false): Promise<MigratedHome & { readonly input: LeaveInput }> {
  const migrated = await migratedHome("home", (file) => {
    file.nodes.push({
      ...structuredClone(file.nodes[2] ?? assert.fail()),
      name: "debian-4",
      vmId: 204,
      memory: 8,
      roles: ["worker"],
      cards: [
        { network: "servers", address: "192.168.10.24", mac: "BC:24:11:00:10:24" },
        { network: "dmz", address: "192.168.40.24", mac: "BC:24:11:00:40:24" },
      ],
    });
  });
  const input = {
    node: "debian-3",
    roles: ["controlplane" as const, "etcd" as const, "worker" as const],
    address: "192.168.10.23",
    vm: { host: "pve", vmId: 203, mac: "BC:24:11:00:10:23" },
    protect,
  };
  return { ...migrated, input };
}

/** debian-4 in the place of debian-3. */
const fourth = {
  node: "debian-4",
  address: "192.168.10.24",
  vm: { host: "pve", vmId: 204, mac: "BC:24:11:00:10:24" },
};

const remaining = ["debian-1", "debian-2", "debian-4", "rancheros-1", "rancheros-2", "rancheros-3"];

describe("a Debian node leaving on the pretend home (does not prove what real systems do: see the README)", () => {
  it("leaves Rancher, Kubernetes and Longhorn; its machine and every other one stay as they are", async () => {
    const { home, clients, input, clock } = await beforeLeaving();
    const machines = structuredClone(home.proxmox);
    add(home, podOn("debian-3", "web"));
    assert.deepEqual(await leave.run(input, clients), { node: "debian-3", left: true });
    await clock.idle();
    assert.deepEqual(home.proxmox, machines);
    assert.deepEqual(standing(home).rancher, remaining);
    assert.deepEqual(standing(home).nodes, remaining);
    assert.deepEqual(standing(home).cordoned, []);
    assert.equal(await clients.kubernetes.read(longhornNodes, "debian-3", longhornNamespace), undefined);
  });

  it("what Longhorn holds on it moves before Rancher is told", async () => {
    const { home, clients, input } = await beforeLeaving();
    addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"]);
    addLonghornVolume(home, "pvc-2", ["debian-3"]);
    const held: number[] = [];
    const removeNode = clients.rancher.removeNode.bind(clients.rancher);
    clients.rancher.removeNode = async (id) => {
      const replicas = await clients.kubernetes.list(longhornReplicas, { namespace: longhornNamespace });
      held.push(replicas.filter((replica) => replica.spec?.nodeID === "debian-3").length);
      await removeNode(id);
    };
    await leave.run(input, clients);
    assert.deepEqual(held, [0]);
    const replicas = await clients.kubernetes.list(longhornReplicas, { namespace: longhornNamespace });
    assert.equal(replicas.length, 4, "a replica was lost");
  });

  it("waits until Longhorn itself has noticed that the node is gone", async () => {
    const { clients, input, clock, home } = await beforeLeaving();
    const remove = clients.kubernetes.remove.bind(clients.kubernetes);
    let denied = 0;
    clients.kubernetes.remove = async (kind, ...rest) => {
      if (kind === longhornNodes && (denied += 1) <= 20) throw new Error("denied by the webhook: node ready condition");
      return remove(kind, ...rest);
    };
    const before = clock.now();
    await leave.run(input, clients);
    assert.ok(clock.now() - before >= 100_000);
    assert.ok(!home.kubernetes.objects.some((object) => object.metadata?.name === "debian-3"));
  });

  it("a finalizer of Longhorn's that lets go of the node some time after its removal was asked", async () => {
    const { clients, input, clock, home } = await beforeLeaving();
    const remove = clients.kubernetes.remove.bind(clients.kubernetes);
    clients.kubernetes.remove = async (kind, ...rest) => {
      if (kind !== longhornNodes) return remove(kind, ...rest);
      void clock.sleep(2_000).then(() => remove(kind, ...rest));
    };
    const before = clock.now();
    await leave.run(input, clients);
    assert.ok(clock.now() - before < 120_000, `${clock.now() - before} ms`);
    assert.ok(!home.kubernetes.objects.some((object) => object.metadata?.name === "debian-3"));
  });

  it("Longhorn that never lets go of the node ends in a refusal that can only go on", async () => {
    const { clients, input, home } = await beforeLeaving();
    clients.kubernetes.remove = async (kind) => {
      if (kind === longhornNodes) return;
      throw new Error("not expected");
    };
    clients.rancher.removeNode = async (id) => {
      home.rancher.nodes = home.rancher.nodes.filter((node) => node.id !== id);
      home.kubernetes.objects = home.kubernetes.objects.filter((object) => object !== nodeIn(home, "debian-3"));
    };
    const parts = await refusalOf(leave.run(input, clients));
    assert.match(parts.what, /: debian-3: gone from Longhorn: not within 600 s$/);
    assert.equal(parts.why, "last seen: it is being removed");
    assert.match(parts.next, /there is no going back/);
  });

  it("Longhorn's instance manager is not evicted: what it holds could not be copied from it any more", async () => {
    const { home, clients, input } = await beforeLeaving();
    add(
      home,
      podOn("debian-3", "instance-manager", (pod) => {
        pod.metadata = {
          ...pod.metadata,
          ownerReferences: [{ apiVersion: "longhorn.io/v1beta2", kind: "InstanceManager", name: "im", uid: "im" }],
        };
      }),
    );
    const evicted: string[] = [];
    const evict = clients.kubernetes.evict.bind(clients.kubernetes);
    clients.kubernetes.evict = (pod, namespace) => {
      evicted.push(pod);
      return evict(pod, namespace);
    };
    await leave.run(input, clients);
    assert.deepEqual(evicted, []);
  });

  it("a protected node is refused before anything is asked of anybody", async () => {
    const { home, clients, input } = await beforeLeaving(true);
    const before = structuredClone(home);
    const silent = counted(clients, (_, name) => assert.fail(`${name} was called`));
    const parts = await refusalOf(leave.run(input, silent));
    assert.equal(parts.what, "debian-3: is protected, nothing was touched");
    assert.match(
      parts.next,
      /^set `protect: false` on debian-3 in the environment file, `pulumi up`, then take the entry out/,
    );
    assert.deepEqual(home, before);
  });

  it("a node that is gone is success, and nothing is written", async () => {
    const { home, clients, input, log, clock } = await beforeLeaving();
    await leave.run(input, clients);
    await clock.idle();
    const before = structuredClone(home);
    await leave.run(input, clients);
    assert.deepEqual(home, before);
    assert.equal(log.at(-1), "debian-3: has left already");
  });

  it("two that leave at once go one after the other", async () => {
    const { home, clients, input } = await beforeLeaving();
    const second = { ...input, ...fourth };
    await Promise.all([leave.run(input, clients), leave.run(second, clients)]);
    assert.deepEqual(
      standing(home).nodes,
      remaining.filter((name) => name !== "debian-4"),
    );
  });

  it("one that starts in the middle of another's leave waits instead of refusing what is half done", async () => {
    const { home, clients, input, clock } = await beforeLeaving();
    const one = leave.run({ ...input, ...fourth }, clients);
    while (!home.rancher.nodes.some((node) => node.state === "removing")) await clock.sleep(1000);
    await leave.run(input, clients);
    await one;
    assert.ok(!standing(home).nodes.includes("debian-3"));
  });

  it("a node that is gone, and that Longhorn still lists, is taken out of Longhorn", async () => {
    const { home, clients, input } = await beforeLeaving();
    await leave.run(input, clients);
    add(home, longhornNode("debian-3"));
    await leave.run(input, clients);
    assert.equal(await clients.kubernetes.read(longhornNodes, "debian-3", longhornNamespace), undefined);
  });

  it("takes what a membership records, and ignores the rest", () => {
    const recorded = membershipInput.parse({
      node: "debian-3",
      roles: ["etcd"],
      labels: {},
      address: "192.168.10.23",
      distribution: "rke1",
      hostKey: "ssh-ed25519 AAAA",
      vm: { host: "pve", vmId: 203, mac: "BC:24:11:00:10:23" },
      protect: false,
    });
    const { labels, distribution, hostKey, ...needed } = recorded;
    assert.deepEqual([labels, distribution, hostKey], [{}, "rke1", "ssh-ed25519 AAAA"]);
    assert.deepEqual(leave.schema.parse(recorded), needed);
    assert.deepEqual(leave.needs, ["proxmox", "rancher", "kubernetes"]);
  });
});

const refusals: { name: string; change: (home: HomeState) => void; finding: string }[] = [
  {
    name: "no snapshot of etcd but the one on its own disk",
    change: (home) => {
      delete home.rancher.snapshotEvery;
      home.rancher.snapshots = [{ name: "local", takenAt: home.now, heldBy: { node: "debian-3" } }];
    },
    finding: "etcd: its snapshots of the last 24 h are on nodes that go and nowhere else (the newest is local): ",
  },
  {
    name: "fewer etcd members than a quorum needs",
    change: (home) => {
      for (const name of ["rancheros-1", "rancheros-2", "rancheros-3", "debian-4"])
        delete nodeIn(home, name).metadata?.labels?.["node-role.kubernetes.io/etcd"];
    },
    finding: "etcd: without debian-3 2 members are left, and fewer than 3 do not survive the loss of one: ",
  },
  {
    name: "one etcd member left",
    change: (home) => {
      for (const name of ["rancheros-1", "rancheros-2", "rancheros-3", "debian-4", "debian-1"])
        delete nodeIn(home, name).metadata?.labels?.["node-role.kubernetes.io/etcd"];
    },
    finding: "etcd: without debian-3 1 member is left, and fewer than 3 do not survive the loss of one: ",
  },
  {
    name: "a Longhorn volume whose last replica could go nowhere",
    change: (home) => {
      for (const name of ["debian-1", "debian-2", "debian-4"])
        find<LonghornNode>(home, "Node", name, longhornNamespace).spec = { allowScheduling: false };
      addLonghornVolume(home, "pvc-1", ["debian-3"]);
    },
    finding:
      "debian-3: Longhorn volume pvc-1 wants 1 replicas, and 0 other nodes can take one; its last one is here: add a storage node first",
  },
  {
    name: "a Longhorn volume that wants more replicas than nodes stay",
    change: (home) => addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"], { wanted: 4 }),
    finding: "debian-3: Longhorn volume pvc-1 wants 4 replicas, and 3 other nodes can take one: ",
  },
  {
    name: "a degraded Longhorn volume whose last good replica is here",
    change: (home) =>
      addLonghornVolume(home, "pvc-1", ["debian-1", "debian-3"], { robustness: "degraded", failed: ["debian-1"] }),
    finding:
      "debian-3: Longhorn volume pvc-1 is degraded and its last good replica is here: wait until Longhorn has rebuilt it",
  },
  {
    name: "a degraded Longhorn volume",
    change: (home) => addLonghornVolume(home, "pvc-1", ["debian-1", "debian-3"], { wanted: 3, robustness: "degraded" }),
    finding: "debian-3: Longhorn volume pvc-1 is degraded: ",
  },
  {
    name: "a backing image that could go nowhere",
    change: (home) => {
      for (const name of ["debian-1", "debian-2", "debian-4"])
        find<LonghornNode>(home, "Node", name, longhornNamespace).spec = { allowScheduling: false };
      find<LonghornNode>(home, "Node", "debian-3", longhornNamespace).status = {
        diskStatus: { disk: { scheduledBackingImage: { "image-1": 1 } } },
      };
    },
    finding: "debian-3: Longhorn keeps backing image image-1 on it, and no other node can take it: ",
  },
  {
    name: "a pod that can run nowhere else",
    change: (home) =>
      add(
        home,
        podOn(
          "debian-3",
          "web",
          (pod) => (pod.spec = { ...pod.spec, containers: [], nodeSelector: { "kubernetes.io/hostname": "debian-3" } }),
        ),
      ),
    finding: "debian-3: pod apps/web cannot run on any node that stays ",
  },
  {
    name: "another machine under the node's id",
    change: (home) => (vmOf(home, "debian-3").macs = ["02:00:00:00:00:03"]),
    finding:
      "debian-3: machine 203 on pve is another one (its first MAC is 02:00:00:00:00:03, recorded is BC:24:11:00:10:23): ",
  },
  {
    name: "a machine that Proxmox protects",
    change: (home) => (vmOf(home, "debian-3").protection = true),
    finding: "debian-3: machine 203 on pve is protected in Proxmox, so that deleting it would only power it off: ",
  },
  {
    name: "a machine that moved to another host",
    change: (home) => (vmOf(home, "debian-3").host = "pve-b"),
    finding: "debian-3: machine 203 is not on host pve, its id belongs to debian-3 on host pve-b: ",
  },
  {
    name: "another node that Rancher is still removing",
    change: (home) => (rancherNode(home, "rancheros-2").state = "removing"),
    finding: "debian-3: Rancher is still removing rancheros-2: ",
  },
];

describe("what stands against a leave is refused before anything is touched", () => {
  for (const { name, change, finding } of refusals) {
    it(name, async () => {
      const { home, clients, input, clock } = await beforeLeaving();
      change(home);
      const before = structuredClone(home);
      const { what, why, next } = await refusalOf(leave.run(input, clients));
      await clock.idle();
      assert.deepEqual(home, before);
      assert.equal(what, "debian-3: stays in the cluster, nothing was touched");
      assert.ok(why.includes(`- ${finding}`), why);
      assert.equal(next, "mend what is named, then run the same `pulumi` command again");
    });
  }

  it("what changed while it waited for the lock", async () => {
    const { home, clients, input, clock } = await beforeLeaving();
    const other = { ...input, ...fourth, roles: ["worker" as const] };
    const one = leave.run(other, clients);
    await clock.sleep(10_000);
    const two = refusalOf(leave.run(input, clients));
    await clock.sleep(10_000);
    addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"]);
    const { what, why } = await two;
    await one;
    assert.equal(what, "debian-3: stays in the cluster, nothing was touched");
    assert.match(why, /pvc-1 wants 3 replicas, and 2 other nodes can take one/);
    assert.ok(standing(home).nodes.includes("debian-3"));
  });

  it("credentials that are no longer taken", async () => {
    const { home, clients, input } = await beforeLeaving();
    clients.rancher.version = () => Promise.reject(new Error("401"));
    const before = structuredClone(home);
    const parts = await refusalOf(leave.run(input, clients));
    assert.equal(parts.what, "debian-3: nothing was touched, because Rancher does not answer as it should");
    assert.deepEqual(home, before);
  });

  it("an API that fails in the middle of the look", async () => {
    const { home, clients, input } = await beforeLeaving();
    clients.rancher.nodes = () => Promise.reject(new Error("reset"));
    const before = structuredClone(home);
    const parts = await refusalOf(leave.run(input, clients));
    assert.equal(parts.what, "debian-3: stopped while looking at the live systems, this run changed nothing");
    assert.deepEqual(home, before);
  });
});

describe("a leave that fails after it began", () => {
  it("replicas that do not move: Longhorn's settings and the cordon are taken back, and both ways on are said", async () => {
    const { home, clients, input } = await beforeLeaving();
    addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"]);
    const list = clients.kubernetes.list.bind(clients.kubernetes);
    // The space on the others runs out between the look and the move.
    const patch = clients.kubernetes.patch.bind(clients.kubernetes);
    clients.kubernetes.patch = async (kind, name, change, namespace) => {
      if (kind === longhornNodes)
        find<LonghornNode>(home, "Node", "debian-4", longhornNamespace).spec = { allowScheduling: false };
      return patch(kind, name, change, namespace);
    };
    const parts = await refusalOf(leave.run(input, clients));
    assert.match(
      parts.what,
      /^debian-3: did not leave, nothing is lost, it takes pods as before: debian-3: Longhorn's replicas and backing images moving elsewhere: not within 14400 s$/,
    );
    assert.equal(parts.why, "last seen: still there: pvc-1-r-debian-3");
    assert.match(
      parts.next,
      /to go on: the same `pulumi` command again; to go back: put the entry of debian-3 back into the environment file, then `pulumi up`$/,
    );
    const node = (await list(longhornNodes, { namespace: longhornNamespace })).find(
      (other) => other.metadata?.name === "debian-3",
    );
    assert.equal(node?.spec?.allowScheduling, true);
    assert.equal(node?.spec?.evictionRequested, false);
    assert.deepEqual(node?.metadata?.annotations, {});
    assert.deepEqual(standing(home).cordoned, []);
    assert.equal(rancherNode(home, "debian-3").state, "active");
  });

  it("an eviction that somebody had requested before stays requested", async () => {
    const { home, clients, input } = await beforeLeaving();
    addLonghornVolume(home, "pvc-1", ["debian-3"]);
    const node = find<LonghornNode>(home, "Node", "debian-3", longhornNamespace);
    // Requested before the pretend Longhorn listened, so it never ends.
    node.spec = { ...node.spec, allowScheduling: false, evictionRequested: true };
    const parts = await refusalOf(leave.run(input, clients));
    assert.equal(parts.why, "last seen: still there: pvc-1-r-debian-3");
    const after = find<LonghornNode>(home, "Node", "debian-3", longhornNamespace);
    assert.deepEqual([after.spec?.allowScheduling, after.spec?.evictionRequested], [false, true]);
    assert.equal(after.metadata?.annotations, undefined);
  });

  it("goes on from wherever it was killed, without losing a replica or touching its machine", async function () {
    this.timeout(60_000);
    for (let n = 1; ; n += 1) {
      const { home, clients, clock, input } = await beforeLeaving();
      addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"]);
      add(home, podOn("debian-3", "web"));
      const machine = structuredClone(vmOf(home, "debian-3"));
      let hit = "";
      const dying = counted(clients, (call, name) => {
        if (call < n) return;
        hit ||= name;
        throw new Error("killed");
      });
      await leave.run(input, dying).catch(() => undefined);
      await clock.idle();
      if (hit === "") break;
      await leave
        .run(input, clients)
        .catch((error: unknown) => assert.fail(`killed at call ${n}, ${hit}: ${String(error)}`));
      assert.deepEqual(standing(home).nodes, remaining);
      assert.deepEqual(standing(home).cordoned, []);
      const replicas = await clients.kubernetes.list(longhornReplicas, { namespace: longhornNamespace });
      assert.deepEqual(
        replicas.map((replica) => replica.spec?.nodeID).sort(),
        ["debian-1", "debian-2", "debian-4"],
        `killed at call ${n}, ${hit}`,
      );
      assert.deepEqual(vmOf(home, "debian-3"), machine);
    }
  });
});
