import assert from "node:assert/strict";
import type { V1VolumeAttachment } from "@kubernetes/client-node";
import type { Clients } from "../../../../operations/clients";
import { leaseName, leaseNamespace, withLease } from "../../../../operations/cluster/lease";
import {
  leases,
  longhornNamespace,
  longhornNodes,
  longhornReplicas,
  nodes,
  type LonghornReplica,
  type LonghornVolume,
} from "../../../../operations/kinds";
import { join } from "../../../../operations/nodes/join";
import { leave } from "../../../../operations/rancheros/leave";
import { uuidOf } from "../../../../rehearsal/home/build";
import type { HomeState } from "../../../../rehearsal/home/state";
import {
  add,
  addLonghornVolume,
  counted,
  find,
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

const input: LeaveInput = {
  node: "debian-3",
  roles: ["controlplane", "etcd", "worker"],
  address: "192.168.10.23",
  vm: { host: "pve", vmId: 203, mac: "BC:24:11:00:10:23", uuid: uuidOf(203) },
  protect: false,
};

/** How debian-3's machine may be lost: nothing under its id, or another machine made in its place. */
const losses: Record<string, (home: HomeState) => void> = {
  "nothing has its id": (home) => {
    home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 203);
    delete home.guests[203];
  },
  "it was made again by `up --refresh`": (home) => {
    vmOf(home, "debian-3").uuid = uuidOf(203, 1);
    Object.assign(home.guests[203] ?? {}, { hostKey: "ssh-ed25519 NEWER", joined: false });
  },
};

/** The home after the loss; its kubelet has fallen silent unless told otherwise. */
async function afterLoss(lose = losses["it was made again by `up --refresh`"], silent = true): Promise<MigratedHome> {
  const migrated = await migratedHome("home");
  lose?.(migrated.home);
  if (silent) setReady(migrated.home, "debian-3", "Unknown");
  rancherNode(migrated.home, "debian-3").uuid = uuidOf(203);
  return migrated;
}

function setReady(home: HomeState, name: string, status: string): void {
  const node = nodeIn(home, name);
  node.status = { ...node.status, conditions: [{ type: "Ready", status }] };
}

function attach(home: HomeState, node: string): void {
  const attachment: V1VolumeAttachment = {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: `csi-${node}` },
    spec: { attacher: "driver.longhorn.io", nodeName: node, source: { persistentVolumeName: "pvc-1" } },
  };
  add(home, attachment);
}

const remaining = ["debian-1", "debian-2", "rancheros-1", "rancheros-2", "rancheros-3"];

/** What is asked that changes something, in order, without repetitions. */
function written(clients: Clients): { readonly clients: Clients; readonly calls: string[] } {
  const calls: string[] = [];
  const watching = counted(clients, () => undefined);
  const note = (call: string): void => void (calls.at(-1) !== call && calls.push(call));
  const { kubernetes, rancher } = watching;
  return {
    calls,
    clients: {
      ...watching,
      rancher: new Proxy(rancher, {
        get: (target, key) => {
          if (key !== "removeNode") return Reflect.get(target, key) as unknown;
          return (id: string) => (note("Rancher removes the node"), target.removeNode(id));
        },
      }),
      kubernetes: new Proxy(kubernetes, {
        get: (target, key) => {
          if (key === "evict") return () => assert.fail("a pod was evicted through a kubelet that is not there");
          if (key === "remove")
            return (...args: Parameters<typeof target.remove>) => (
              note(`delete ${args[0].kind} of ${args[0].apiVersion}`),
              target.remove(...args)
            );
          if (key === "patch")
            return (...args: Parameters<typeof target.patch>) => (
              note(`patch ${args[0].kind} of ${args[0].apiVersion}`),
              target.patch(...args)
            );
          return Reflect.get(target, key) as unknown;
        },
      }),
    },
  };
}

describe("the node of a machine that is lost, on the pretend home (that a real Rancher lets go of it was read, not tried)", () => {
  for (const [how, lose] of Object.entries(losses)) {
    it(`${how}: its pods and volumes are freed, Rancher and Kubernetes let it go, Longhorn forgets it, nothing is drained or evicted`, async () => {
      const { home, clients, clock, log } = await afterLoss(lose);
      addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"], {
        robustness: "degraded",
        failed: ["debian-3"],
      });
      add(home, podOn("debian-3", "web"));
      attach(home, "debian-3");
      const machines = structuredClone(home.proxmox);
      const watched = written(clients);
      const start = clock.now();
      assert.deepEqual(await leave.run(input, watched.clients), { node: "debian-3", left: true });
      await clock.idle();
      assert.deepEqual(watched.calls, [
        "patch Node of v1",
        "Rancher removes the node",
        "delete Replica of longhorn.io/v1beta2",
        "patch Node of longhorn.io/v1beta2",
        "delete Node of longhorn.io/v1beta2",
      ]);
      assert.deepEqual(home.proxmox, machines);
      assert.deepEqual([standing(home).rancher, standing(home).nodes], [remaining, remaining]);
      assert.equal(await clients.kubernetes.read(longhornNodes, "debian-3", longhornNamespace), undefined);
      const replicas = await clients.kubernetes.list(longhornReplicas, { namespace: longhornNamespace });
      assert.deepEqual(replicas.map((replica) => replica.spec?.nodeID).sort(), ["debian-1", "debian-2"]);
      const left = home.kubernetes.objects.filter(
        (object) =>
          object.kind === "VolumeAttachment" ||
          (object.kind === "Pod" && JSON.stringify(object).includes('"nodeName":"debian-3"')),
      );
      assert.deepEqual(left, []);
      assert.ok(log.includes("debian-3: its machine is gone for good, marked as out of service"));
      // Well below the hours that an eviction would wait, and the half hour of a removal through a kubelet.
      assert.ok(clock.now() - start < 300_000);
    });
  }

  it("then the machine in its place joins, and a leave of the old record takes nothing out any more", async () => {
    const { home, clients, clock } = await afterLoss();
    await leave.run(input, clients);
    const vm = { host: "pve", vmId: 203, mac: "BC:24:11:00:10:23", uuid: uuidOf(203, 1) };
    await join.run(
      {
        node: "debian-3",
        roles: ["controlplane", "etcd", "worker"],
        labels: {},
        address: "192.168.10.23",
        distribution: "rke1",
        hostKey: "ssh-ed25519 NEWER",
        vm,
        protect: true,
      },
      clients,
    );
    await clock.idle();
    assert.ok(standing(home).nodes.includes("debian-3"));
    const before = structuredClone(home);
    const { what, why, next } = await refusalOf(leave.run(input, clients));
    await clock.idle();
    assert.equal(what, "debian-3: the node in the cluster is newer than the one recorded, nothing was touched");
    assert.equal(why, `it is that of the machine ${uuidOf(203, 1)}, and ${uuidOf(203)} was recorded`);
    assert.match(
      next,
      /^forget the record, `pulumi state delete '<URN of debian-3-membership-member>'`.* run `pulumi up`/,
    );
    assert.deepEqual(home, before);
  });

  it("waits until Kubernetes has noticed", async () => {
    const { home, clients, clock, log } = await afterLoss(undefined, false);
    void clock.sleep(45_000).then(() => setReady(home, "debian-3", "Unknown"));
    await leave.run(input, clients);
    assert.equal(log[0], "debian-3: its machine is gone, waiting until Kubernetes has noticed");
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("takes a Node away that Rancher leaves behind, and that very one only", async () => {
    const { home, clients } = await afterLoss();
    const removed: unknown[] = [];
    clients.rancher.removeNode = async (id) => {
      home.rancher.nodes = home.rancher.nodes.filter((node) => node.id !== id);
    };
    const remove = clients.kubernetes.remove.bind(clients.kubernetes);
    clients.kubernetes.remove = async (kind, name, namespace, options) => {
      if (kind === nodes) removed.push([name, options]);
      return remove(kind, name, namespace, options);
    };
    const { uid } = nodeIn(home, "debian-3").metadata ?? {};
    await leave.run(input, clients);
    assert.deepEqual(removed, [["debian-3", { uid }]]);
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("goes on when pods and volumes do not come free in time, and says so", async () => {
    const { home, clients, log } = await afterLoss();
    add(home, podOn("debian-3", "web"));
    attach(home, "debian-3");
    const patch = clients.kubernetes.patch.bind(clients.kubernetes);
    // A Kubernetes before 1.26 deletes the pods only with the Node.
    clients.kubernetes.patch = async (kind, name, change, namespace) =>
      patch(kind, name, kind === nodes && "spec" in change ? { metadata: {} } : change, namespace);
    await leave.run(input, clients);
    assert.ok(
      log.includes("debian-3: still on it: 1 pods and 1 attached volumes; they go with the Node"),
      log.join("\n"),
    );
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("writes its taint beside those that Kubernetes writes at the same moment", async () => {
    const { home, clients } = await afterLoss();
    const patch = clients.kubernetes.patch.bind(clients.kubernetes);
    const taints: unknown[] = [];
    let first = true;
    clients.kubernetes.patch = async (kind, name, change, namespace) => {
      if (kind === nodes && first) {
        first = false;
        await patch(nodes, name, {
          spec: { taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoExecute" }] },
        });
      }
      const done = await patch(kind, name, change, namespace);
      if (kind === nodes) taints.push(nodeIn(home, name).spec?.taints?.map(({ key }) => key));
      return done;
    };
    await leave.run(input, clients);
    assert.deepEqual(taints[0], ["node.kubernetes.io/unreachable", "node.kubernetes.io/out-of-service"]);
  });

  it("an older record, which knows no UUID, tells a machine that is gone but not one made in its place", async () => {
    const { uuid, ...vm } = input.vm;
    assert.ok(uuid);
    const gone = await afterLoss(losses["nothing has its id"]);
    await leave.run({ ...input, vm }, gone.clients);
    assert.deepEqual(standing(gone.home).nodes, remaining);
    const again = await afterLoss();
    const { why } = await refusalOf(leave.run({ ...input, vm }, again.clients));
    assert.match(
      why,
      /- debian-3: is not Ready; .*: start its machine; if it is lost for good, delete its machine in Proxmox too/,
    );
  });

  it("a machine that is off but there is not lost: it is to be started, or deleted first", async () => {
    const { home, clients } = await afterLoss(() => undefined);
    vmOf(home, "debian-3").status = "stopped";
    const { why } = await refusalOf(leave.run(input, clients));
    assert.match(why, /- debian-3: is not Ready; /);
  });

  it("goes on from wherever it was killed", async function () {
    this.timeout(60_000);
    for (let n = 1; ; n += 1) {
      const { home, clients, clock } = await afterLoss();
      addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"], { failed: ["debian-3"] });
      add(home, podOn("debian-3", "web"));
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
      assert.deepEqual([standing(home).rancher, standing(home).nodes], [remaining, remaining], `killed at call ${n}`);
      assert.equal(await clients.kubernetes.read(longhornNodes, "debian-3", longhornNamespace), undefined);
      const lease = await clients.kubernetes.read(leases, leaseName, leaseNamespace);
      assert.deepEqual(lease?.metadata?.annotations ?? {}, {});
    }
  });
});

const etcdLabel = "node-role.kubernetes.io/etcd";

const refusals: { readonly name: string; readonly change: (home: HomeState) => void; readonly finding: string }[] = [
  {
    name: "a volume whose only good replica was on it",
    change: (home) => {
      addLonghornVolume(home, "pvc-1", ["debian-3"], { robustness: "faulted", failed: ["debian-3"] });
      find<LonghornVolume>(home, "Volume", "pvc-1", longhornNamespace).status = {
        kubernetesStatus: { namespace: "cloud", pvcName: "nextcloud-data-longhorn" },
      };
    },
    finding:
      "debian-3: its machine is gone, and with it the only good replica of Longhorn volume pvc-1 (claim cloud/nextcloud-data-longhorn): restore the volume from a backup",
  },
  {
    name: "a volume whose other replicas failed or never were whole",
    change: (home) => {
      addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2", "debian-3"], { failed: ["debian-1"] });
      const other = find<LonghornReplica>(home, "Replica", "pvc-1-r-debian-2", longhornNamespace);
      other.spec = { ...other.spec, healthyAt: "" };
    },
    finding: "debian-3: its machine is gone, and with it the only good replica of Longhorn volume pvc-1: ",
  },
  {
    name: "a member of etcd that is silent too",
    change: (home) => setReady(home, "rancheros-2", "Unknown"),
    finding: "etcd: beside debian-3, which is lost, rancheros-2 is not Ready: mend rancheros-2 first",
  },
  {
    name: "too few members of etcd for a quorum",
    change: (home) => {
      for (const name of ["debian-1", "rancheros-1", "rancheros-2", "rancheros-3"])
        delete nodeIn(home, name).metadata?.labels?.[etcdLabel];
    },
    finding: "etcd: beside debian-3 1 member is left, and a quorum of the 2 that there were is 2: restore the cluster",
  },
  {
    name: "a node that answers although its machine is gone",
    change: (home) => setReady(home, "debian-3", "True"),
    finding: "debian-3: Proxmox does not have its machine any more, and its node is Ready: it runs somewhere else: ",
  },
  {
    name: "a machine of its name under another id",
    change: (home) => home.proxmox.vms.push({ ...vmOf(home, "debian-3"), vmId: 303, host: "pve-b" }),
    finding: "debian-3: its machine is not under 203 any more, and 303 on pve-b has its name: ",
  },
  {
    name: "a node that Rancher does not know",
    change: (home) => (home.rancher.nodes = home.rancher.nodes.filter((node) => node.nodeName !== "debian-3")),
    finding: "debian-3: is in the cluster, but Rancher does not know it, ",
  },
  {
    name: "another node that Rancher is still removing",
    change: (home) => (rancherNode(home, "rancheros-2").state = "removing"),
    finding: "debian-3: Rancher is still removing rancheros-2: ",
  },
];

describe("what stands against taking a lost machine's node out is refused before anything is touched", () => {
  for (const { name, change, finding } of refusals) {
    it(name, async () => {
      const { home, clients, clock } = await afterLoss();
      change(home);
      const before = structuredClone(home);
      const { what, why } = await refusalOf(leave.run(input, clients));
      await clock.idle();
      assert.deepEqual(home, before);
      assert.equal(what, "debian-3: stays in the cluster, nothing was touched");
      assert.ok(why.includes(`1 thing stands against it:\n        - ${finding}`), why);
    });
  }

  it("two members that remain of three are a quorum, and no reason to keep the lost one", async () => {
    const { home, clients } = await afterLoss();
    for (const name of ["debian-1", "rancheros-1", "rancheros-2"])
      delete nodeIn(home, name).metadata?.labels?.[etcdLabel];
    await leave.run(input, clients);
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("a plain worker asks nothing of etcd", async () => {
    const { home, clients } = await afterLoss();
    delete nodeIn(home, "debian-3").metadata?.labels?.[etcdLabel];
    setReady(home, "rancheros-2", "Unknown");
    await assert.rejects(
      leave.run({ ...input, roles: ["worker"] }, clients),
      /rancheros-2/,
      "awaited after the removal",
    );
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("Rancher that refuses: nothing is put back, since the machine does not come back, and the rerun goes on", async () => {
    const { home, clients } = await afterLoss();
    const removeNode = clients.rancher.removeNode.bind(clients.rancher);
    clients.rancher.removeNode = () => Promise.reject(new Error("500"));
    const broken = await refusalOf(leave.run(input, clients));
    assert.match(broken.what, /^debian-3: its machine is lost, and its node is still in the cluster: /);
    assert.match(broken.next, /to go on: the same `pulumi` command again/);
    clients.rancher.removeNode = removeNode;
    await leave.run(input, clients);
    assert.deepEqual(standing(home).nodes, remaining);
  });

  it("a node that joined while this one waited for the lock stays", async () => {
    const { home, clients, clock } = await afterLoss();
    const joining = withLease(clients, "join debian-3", () => clock.sleep(120_000));
    await clock.sleep(1_000);
    const leaving = refusalOf(leave.run(input, clients));
    await clock.sleep(60_000);
    setReady(home, "debian-3", "True");
    const { nodeInfo } = nodeIn(home, "debian-3").status ?? {};
    if (nodeInfo) nodeInfo.systemUUID = uuidOf(203, 1);
    const { what } = await leaving;
    await joining;
    assert.equal(what, "debian-3: the node in the cluster is newer than the one recorded, nothing was touched");
    assert.ok(standing(home).nodes.includes("debian-3"));
  });

  it("a lock lost before anything was done leaves the Node without a mark", async () => {
    const { home, clients } = await afterLoss();
    const listVms = clients.proxmox.listVms.bind(clients.proxmox);
    clients.proxmox.listVms = async () => {
      const lease = await clients.kubernetes.read(leases, leaseName, leaseNamespace);
      if (lease) {
        const thief = { spec: { holderIdentity: "thief/1" } };
        await clients.kubernetes.patch(leases, leaseName, thief, leaseNamespace);
      }
      return listVms();
    };
    const { what, why } = await refusalOf(leave.run(input, clients));
    assert.match(what, /the lock was lost/);
    assert.match(why, /now held by thief$/);
    assert.equal(nodeIn(home, "debian-3").spec?.taints, undefined);
  });

  it("Rancher that never ends it: the message names where the way on is written", async () => {
    const { home, clients } = await afterLoss();
    clients.rancher.removeNode = async () => void (rancherNode(home, "debian-3").state = "removing");
    const { what, next } = await refusalOf(leave.run(input, clients));
    assert.match(what, /removal by Rancher: not within 1800 s$/);
    assert.match(next, /docs\/decisions\/machine-identity\.md/);
  });
});
