import assert from "node:assert/strict";
import type {
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
} from "@kubernetes/client-node";
import { ApiRefusal, type Clients } from "../../../../operations/clients";
import { failureAnnotation, leaseName } from "../../../../operations/cluster/lease";
import { leases } from "../../../../operations/kinds";
import { retireOldNode } from "../../../../operations/rancheros/retire-old-node";
import type { RetirementInput } from "../../../../operations/rancheros/retirement-input";
import { Refusal } from "../../../../operations/refusal";
import type { HomeState } from "../../../../rehearsal/home/state";
import {
  add,
  counted,
  find,
  longhornNode,
  migratedHome,
  nodeIn,
  podOn,
  rancherNode,
  refusalOf,
  setPhase,
  standing,
  vmOf,
  type MigratedHome,
} from "../../../support/migrated-home";

const old = ["rancheros-1", "rancheros-2", "rancheros-3"];
const debian = ["debian-1", "debian-2", "debian-3"];

function inputOf({ inputs }: MigratedHome, node = "rancheros-1"): RetirementInput {
  const found = inputs.find((input) => input.node === node);
  assert.ok(found);
  return found;
}

function failureIn(home: HomeState): string | undefined {
  return home.kubernetes.objects.find((object) => object.kind === "Lease")?.metadata?.annotations?.[failureAnnotation];
}

function stranger(home: HomeState): object {
  return structuredClone(vmOf(home, "nas"));
}

describe("retiring an old node on the pretend home (does not prove what real systems do: see the README)", () => {
  it("with `machines: keep` its machine is off, does not start with its host and stays, protected or not; again is nothing more to do", async () => {
    const migrated = await migratedHome();
    const { home, clients } = migrated;
    const vm = vmOf(home, "rancheros-1");
    vm.protection = true;
    const input = { ...inputOf(migrated), machines: "keep" as const };
    for (let time = 0; time < 2; time += 1) {
      await retireOldNode.run(input, clients);
      assert.deepEqual([vm.status, vm.onboot, home.proxmox.vms.includes(vm)], ["stopped", false, true]);
      assert.deepEqual(standing(home).nodes, [...debian, "rancheros-2", "rancheros-3"]);
    }
  });

  it("with `machines: keep` a machine that became somebody else's meanwhile is left running", async () => {
    const migrated = await migratedHome();
    const { home, clients } = migrated;
    const vm = vmOf(home, "rancheros-1");
    const remove = clients.rancher.removeNode.bind(clients.rancher);
    clients.rancher.removeNode = async (id) => {
      await remove(id);
      vm.name = "somebody-elses";
    };
    const parts = await refusalOf(retireOldNode.run({ ...inputOf(migrated), machines: "keep" }, clients));
    assert.match(parts.why, /its name is somebody-elses/);
    assert.deepEqual([vm.status, vm.onboot], ["running", undefined]);
  });

  it("takes one node out of everything, in order, and touches nothing else", async () => {
    const migrated = await migratedHome();
    const { home, clients, log } = migrated;
    add(home, podOn("rancheros-1", "web"));
    const before = structuredClone(home);
    const calls: string[] = [];
    const watched = counted(clients, (_, name) => {
      if (/patch|remove|evict|shutdown|stop|delete/.test(name)) calls.push(name);
    });
    assert.deepEqual(await retireOldNode.run(inputOf(migrated), watched), { node: "rancheros-1", retired: true });
    assert.deepEqual(standing(home), {
      machines: [...debian, "nas", "rancheros-2", "rancheros-3"],
      rancher: [...debian, "rancheros-2", "rancheros-3"],
      nodes: [...debian, "rancheros-2", "rancheros-3"],
      cordoned: [],
    });
    // Cordon; evict; mark; Rancher; machine off; machine gone.
    assert.deepEqual(calls, [
      "kubernetes.patch",
      "kubernetes.evict",
      "kubernetes.patch",
      "rancher.removeNode",
      "proxmox.shutdownVm",
      "proxmox.deleteVm",
    ]);
    const others = (state: HomeState): object[] => state.proxmox.vms.filter((vm) => vm.name !== "rancheros-1");
    assert.deepEqual(others(home), others(before));
    const moved = home.kubernetes.objects.filter((object) => object.metadata?.name?.startsWith("web"));
    assert.deepEqual(
      moved.map((object) => (object as V1Pod).status?.phase),
      ["Running"],
    );
    assert.ok(log.includes("rancheros-1: out of Rancher, etcd and Kubernetes"));
    assert.equal(log.at(-1), "rancheros-1: machine 101 is gone");
  });

  it("retires all three, one after the other", async () => {
    const migrated = await migratedHome();
    const nas = stranger(migrated.home);
    for (const input of migrated.inputs) await retireOldNode.run(input, migrated.clients);
    assert.deepEqual(standing(migrated.home), {
      machines: [...debian, "nas"],
      rancher: debian,
      nodes: debian,
      cordoned: [],
    });
    assert.deepEqual(stranger(migrated.home), nas);
  });

  it("retires all three started at once, one at a time by the Lease", async () => {
    const migrated = await migratedHome();
    const nas = stranger(migrated.home);
    await Promise.all(migrated.inputs.map((input) => retireOldNode.run(input, migrated.clients)));
    assert.deepEqual(standing(migrated.home), {
      machines: [...debian, "nas"],
      rancher: debian,
      nodes: debian,
      cordoned: [],
    });
    assert.deepEqual(stranger(migrated.home), nas);
    const steps = migrated.log.filter((line) => /holds the lock|is gone$/.test(line)).map((line) => line.split(":")[0]);
    assert.equal(steps.length, 6);
    for (const index of [0, 2, 4])
      assert.equal(steps[index], steps[index + 1], "another one began before this one ended");
  });

  it("retires the old nodes of the lab, of another operating system and distribution, the retired one left alone", async () => {
    const migrated = await migratedHome("lab");
    assert.deepEqual(
      migrated.inputs.map((input) => input.node),
      ["lab-k3os-1", "lab-k3os-2"],
    );
    await Promise.all(migrated.inputs.map((input) => retireOldNode.run(input, migrated.clients)));
    const lab = ["lab-debian-1", "lab-debian-2", "lab-debian-3"];
    assert.deepEqual(standing(migrated.home), { machines: [...lab, "nas"], rancher: lab, nodes: lab, cordoned: [] });
  });

  it("a node and a machine that are gone already are success, and nothing is written", async () => {
    const migrated = await migratedHome();
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    await migrated.clock.idle();
    const before = structuredClone(migrated.home);
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.deepEqual(migrated.home, before);
    assert.equal(migrated.log.at(-1), "rancheros-1: gone already");
  });

  it("a machine that ignores ACPI is stopped, after its identity was read again", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.shutdownVm = async () => {
      await migrated.clock.sleep(300_000);
      return false;
    };
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.ok(migrated.log.includes("rancheros-1: it does not react, so it is stopped"));
    assert.ok(!standing(migrated.home).machines.includes("rancheros-1"));
  });
});

/** Breaks one thing in the migrated home. */
interface Case {
  readonly name: string;
  readonly change: (home: HomeState, migrated: MigratedHome) => void;
  /** What its finding says, `what: remedy`, from the beginning. */
  readonly finding: string;
}

const volume: V1PersistentVolume = {
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name: "pv-local" },
  spec: { local: { path: "/mnt" }, storageClassName: "local" },
};
const claim = (name: string, storageClassName: string, volumeName: string): V1PersistentVolumeClaim => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "apps" },
  spec: { storageClassName, volumeName },
});
const mounts = (claimName: string) => (pod: V1Pod) => {
  pod.spec = { containers: [], ...pod.spec, volumes: [{ name: "data", persistentVolumeClaim: { claimName } }] };
};
const silent = (home: HomeState, name: string): void => {
  nodeIn(home, name).status = { ...nodeIn(home, name).status, conditions: [{ type: "Ready", status: "Unknown" }] };
};
const noEtcd = (home: HomeState, name: string): void => {
  delete nodeIn(home, name).metadata?.labels?.["node-role.kubernetes.io/etcd"];
};

const cases: readonly Case[] = [
  {
    name: "no snapshot of etcd",
    change: (home) => delete home.rancher.snapshotEvery,
    finding: "etcd: Rancher knows no complete snapshot of it, so there is no way back from a lost quorum: switch",
  },
  {
    name: "a snapshot of etcd that is older than the file allows",
    change: (home) => {
      delete home.rancher.snapshotEvery;
      home.rancher.snapshots = [{ name: "by-hand", takenAt: home.now - 31 * 3_600_000, heldBy: "store" }];
    },
    finding: "etcd: its newest complete snapshot, by-hand, is 31 h old, and at most 24 h are allowed: take one",
  },
  {
    name: "a snapshot of etcd that failed, and one that only a node has which is to go later",
    change: (home) => {
      delete home.rancher.snapshotEvery;
      home.rancher.snapshots = [
        { name: "failed", takenAt: home.now, heldBy: "store", state: "failed" },
        { name: "local", takenAt: home.now, heldBy: { node: "rancheros-3" } },
      ];
    },
    finding: "etcd: its snapshots of the last 24 h are on nodes that go and nowhere else (the newest is local): take",
  },
  {
    name: "a machine that moved to another host",
    change: (home) => (vmOf(home, "rancheros-1").host = "pve-2"),
    finding:
      "rancheros-1: machine 101 is not on host pve, its id belongs to rancheros-1 on host pve-2: if that is the machine meant, correct `host`",
  },
  {
    name: "an id that somebody else's machine on another host has taken",
    change: (home) => Object.assign(vmOf(home, "rancheros-1"), { host: "pve-2", name: "database" }),
    finding: "rancheros-1: machine 101 is not on host pve, its id belongs to database on host pve-2: ",
  },
  {
    name: "a machine that the token cannot see, which is not the same as gone",
    change: (home, { clients }) => {
      home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 101);
      clients.proxmox.vmIdFree = async () => false;
    },
    finding:
      "rancheros-1: machine 101 is not on host pve, and its id is taken by something that this token cannot see: give the token VM.Audit",
  },
  {
    name: "a volume whose ledger says warm",
    change: (home) => setPhase(home, "games", "valheim-server-data", "warm"),
    finding:
      "volume games/valheim-server-data is not switched: its ledger says warm: bring it to the new storage first",
  },
  {
    name: "a volume whose ledger says verified",
    change: (home) => setPhase(home, "cloud", "nextcloud-data", "verified"),
    finding: "volume cloud/nextcloud-data is not switched: its ledger says verified: ",
  },
  {
    name: "a volume without a ledger",
    change: (home) => setPhase(home, "media", "jellyfin-config", undefined),
    finding: "volume media/jellyfin-config is not switched: it has no ledger: ",
  },
  {
    name: "a running pod that mounts a claim of the old class, rolled back behind the ledger",
    change: (home) =>
      add(home, {
        ...podOn("debian-1", "back", mounts("grafana-data")),
        metadata: { ...podOn("debian-1", "back").metadata, namespace: "monitoring" },
      }),
    finding: "pod monitoring/back mounts claim grafana-data of the old storage class nfs-client: ",
  },
  {
    name: "a running pod that mounts a claim of the old class that the file does not have",
    change: (home) => {
      add(home, claim("forgotten", "nfs-client", "pv-forgotten"));
      add(home, podOn("debian-2", "wiki", mounts("forgotten")));
    },
    finding:
      "pod apps/wiki mounts claim forgotten of the old storage class nfs-client: move the claim to the new storage",
  },
  {
    name: "a running pod whose claim names no class, and whose volume has the old one",
    change: (home) => {
      const unnamed = claim("unnamed", "", "pv-unnamed");
      delete unnamed.spec?.storageClassName;
      add(home, unnamed);
      const old: V1PersistentVolume = {
        ...volume,
        metadata: { name: "pv-unnamed" },
        spec: { storageClassName: "nfs-client" },
      };
      add(home, old);
      add(home, podOn("debian-2", "wiki", mounts("unnamed")));
    },
    finding: "pod apps/wiki mounts claim unnamed of the old storage class nfs-client: ",
  },
  {
    name: "an etcd member that stays and is not Ready",
    change: (home) => silent(home, "debian-2"),
    finding:
      "etcd: without rancheros-1 4 of 5 members are Ready (not: debian-2), a quorum is 3, so the next loss would cost the quorum: " +
      "mend debian-2 first (`kubectl describe node debian-2`)",
  },
  {
    name: "so many silent etcd members that the quorum would be lost",
    change: (home) => ["debian-1", "debian-2", "rancheros-2"].forEach((name) => silent(home, name)),
    finding:
      "etcd: without rancheros-1 2 of 5 members are Ready (not: rancheros-2, debian-1, debian-2), a quorum is 3, so the cluster would lose its quorum: ",
  },
  {
    name: "too few etcd members to lose another one",
    change: (home) => ["debian-1", "rancheros-2", "rancheros-3"].forEach((name) => noEtcd(home, name)),
    finding:
      "etcd: without rancheros-1 2 members are left, and fewer than 3 do not survive the loss of one: add nodes with the role etcd first",
  },
  {
    name: "a pod whose node selector names this node only",
    change: (home) =>
      add(
        home,
        podOn(
          "rancheros-1",
          "web",
          (pod) =>
            (pod.spec = { ...pod.spec, containers: [], nodeSelector: { "kubernetes.io/hostname": "rancheros-1" } }),
        ),
      ),
    finding:
      "rancheros-1: pod apps/web cannot run on any node that stays (nodeSelector kubernetes.io/hostname=rancheros-1): change its node selector",
  },
  {
    name: "a pod that could only move to the next old node",
    change: (home) => {
      for (const name of old)
        nodeIn(home, name).metadata = {
          ...nodeIn(home, name).metadata,
          labels: { ...nodeIn(home, name).metadata?.labels, era: "old" },
        };
      add(
        home,
        podOn(
          "rancheros-1",
          "web",
          (pod) => (pod.spec = { ...pod.spec, containers: [], nodeSelector: { era: "old" } }),
        ),
      );
    },
    finding: "rancheros-1: pod apps/web cannot run on any node that stays (nodeSelector era=old): ",
  },
  {
    name: "a pod with a required affinity that no staying node meets",
    change: (home) =>
      add(
        home,
        podOn("rancheros-1", "web", (pod) => {
          const required = {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] }],
          };
          pod.spec = {
            ...pod.spec,
            containers: [],
            affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } },
          };
        }),
      ),
    finding: "rancheros-1: pod apps/web cannot run on any node that stays (required node affinity): ",
  },
  {
    name: "taints on every staying node",
    change: (home) => {
      for (const name of debian) nodeIn(home, name).spec = { taints: [{ key: "storage", effect: "NoSchedule" }] };
      add(home, podOn("rancheros-1", "web"));
    },
    finding: "rancheros-1: pod apps/web cannot run on any node that stays (taints that it does not tolerate): ",
  },
  {
    name: "no staying node that takes pods",
    change: (home) => {
      for (const name of debian) nodeIn(home, name).spec = { unschedulable: true };
      add(home, podOn("rancheros-1", "web"));
    },
    finding: "rancheros-1: 1 pods run on it, and no other node that stays is Ready and takes pods: ",
  },
  {
    name: "a pod that keeps data in a folder of the host",
    change: (home) =>
      add(
        home,
        podOn(
          "rancheros-1",
          "db",
          (pod) =>
            (pod.spec = { ...pod.spec, containers: [], volumes: [{ name: "data", hostPath: { path: "/opt/db" } }] }),
        ),
      ),
    finding: "rancheros-1: pod apps/db keeps data in the folder /opt/db of this host: ",
  },
  {
    name: "a pod whose volume is local to this node",
    change: (home) => {
      add(home, volume);
      add(home, claim("local-data", "local", "pv-local"));
      add(home, podOn("rancheros-1", "db", mounts("local-data")));
    },
    finding: "rancheros-1: pod apps/db mounts claim local-data, whose volume pv-local no node that stays can reach: ",
  },
  {
    name: "a pod that nobody would bring back",
    change: (home) =>
      add(
        home,
        podOn("rancheros-1", "shell", (pod) => delete pod.metadata?.ownerReferences),
      ),
    finding: "rancheros-1: pod apps/shell has no controller that would bring it back: ",
  },
  {
    name: "a Longhorn replica on the node",
    change: (home) => add(home, longhornNode("rancheros-1", ["pvc-1-r-a"])),
    finding:
      "rancheros-1: Longhorn keeps data on it (pvc-1-r-a): let it move: `kubectl -n longhorn-system patch nodes.longhorn.io rancheros-1 ",
  },
  {
    name: "a Longhorn backing image on the node",
    change: (home) => {
      const node = longhornNode("rancheros-1");
      node.status = { diskStatus: { disk: { scheduledBackingImage: { "image-1": 1 } } } };
      add(home, node);
    },
    finding: "rancheros-1: Longhorn keeps data on it (backing image image-1): ",
  },
  {
    name: "a node that Rancher is still registering",
    change: (home) => (rancherNode(home, "rancheros-1").state = "registering"),
    finding: "rancheros-1: Rancher calls c-abc12:m-101 registering: wait until it is active",
  },
  {
    name: "a node that Rancher does not know",
    change: (home) => (home.rancher.nodes = home.rancher.nodes.filter((node) => node.nodeName !== "rancheros-1")),
    finding:
      "rancheros-1: is in the cluster, but Rancher does not know it, so its etcd membership would not be taken back: ",
  },
  {
    name: "a node that Rancher has twice",
    change: (home) => home.rancher.nodes.push({ ...rancherNode(home, "rancheros-1"), id: "c-abc12:m-stale" }),
    finding: "rancheros-1: Rancher has 2 nodes of this name (c-abc12:m-101, c-abc12:m-stale): ",
  },
  {
    name: "another removal that Rancher has not ended",
    change: (home) => (rancherNode(home, "rancheros-3").state = "removing"),
    finding: "rancheros-1: Rancher is still removing rancheros-3: go on with that node first",
  },
  {
    name: "a node that is not Ready",
    change: (home) => silent(home, "rancheros-1"),
    finding:
      "rancheros-1: is not Ready; Rancher cleans a node through its kubelet, and without it the removal never ends: ",
  },
  {
    name: "a Kubernetes node of this name at another address",
    change: (home) =>
      (nodeIn(home, "rancheros-1").status = {
        ...nodeIn(home, "rancheros-1").status,
        addresses: [{ type: "InternalIP", address: "192.168.10.99" }],
      }),
    finding:
      "rancheros-1: the cluster's node of this name has the address 192.168.10.99, and 192.168.10.11 was recorded: another machine: ",
  },
  {
    name: "a machine of another name under the id",
    change: (home) => (vmOf(home, "rancheros-1").name = "database"),
    finding: "rancheros-1: machine 101 on pve is another one (its name is database, recorded is rancheros-1): ",
  },
  {
    name: "a machine of the same name with another MAC under the id",
    change: (home) => (vmOf(home, "rancheros-1").macs = ["BC:24:11:FF:FF:FF"]),
    finding:
      "rancheros-1: machine 101 on pve is another one (its first MAC is BC:24:11:FF:FF:FF, recorded is BC:24:11:00:10:11): ",
  },
  {
    name: "a machine without a network card",
    change: (home) => (vmOf(home, "rancheros-1").macs = []),
    finding:
      "rancheros-1: machine 101 on pve is another one (its first MAC is missing, recorded is BC:24:11:00:10:11): ",
  },
  {
    name: "a machine that Proxmox protects",
    change: (home) => (vmOf(home, "rancheros-1").protection = true),
    finding:
      "rancheros-1: machine 101 is protected in Proxmox: take the protection off (Options → Protection, or `qm set 101 --protection 0` on pve)",
  },
  {
    name: "a machine that was switched off first",
    change: (home) => (vmOf(home, "rancheros-1").status = "stopped"),
    finding:
      "rancheros-1: its machine 101 is off, and Rancher can only remove a node that runs: start it (`qm start 101` on pve)",
  },
  {
    name: "a machine that is gone while its node is in the cluster",
    change: (home) => (home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 101)),
    finding:
      "rancheros-1: its machine 101 is gone, but the node is in the cluster; Rancher cannot clean a node without its machine: ",
  },
];

describe("what stands against a retirement is refused before anything is touched", () => {
  for (const { name, change, finding } of cases) {
    it(name, async () => {
      const migrated = await migratedHome();
      change(migrated.home, migrated);
      const before = structuredClone(migrated.home);
      const { what, why, next } = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
      await migrated.clock.idle();
      assert.deepEqual(migrated.home, before, "something was touched");
      assert.equal(what, "rancheros-1: not retired, nothing was touched");
      const lines = why.split("\n").map((line) => line.trim());
      assert.equal(
        lines[0],
        lines.length === 2 ? "1 thing stands against it:" : `${lines.length - 1} things stand against it:`,
      );
      assert.ok(
        lines.some((line) => line.startsWith(`- ${finding}`)),
        why,
      );
      assert.equal(next, "mend what is named, then `pulumi destroy -s home-rancheros`");
    });
  }

  it("names everything in one report", async () => {
    const migrated = await migratedHome();
    setPhase(migrated.home, "games", "valheim-server-data", "warm");
    vmOf(migrated.home, "rancheros-1").protection = true;
    silent(migrated.home, "debian-3");
    const { why } = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(
      why.split("\n").map((line) => line.trim().slice(0, 40)),
      [
        "3 things stand against it:",
        "- rancheros-1: machine 101 is protected ",
        "- volume games/valheim-server-data is no",
        "- etcd: without rancheros-1 4 of 5 membe",
      ],
    );
  });

  it("asks for no snapshot beyond what the file allows", async () => {
    const migrated = await migratedHome("home", (file) => (file.retirement = { snapshotHours: 48 }));
    delete migrated.home.rancher.snapshotEvery;
    migrated.home.rancher.snapshots = [
      { name: "by-hand", takenAt: migrated.home.now - 31 * 3_600_000, heldBy: "store" },
    ];
    await retireOldNode.run(inputOf(migrated), migrated.clients);
  });

  it("a broken ledger", async () => {
    const migrated = await migratedHome();
    setPhase(migrated.home, "games", "valheim-server-data", "nonsense");
    const before = structuredClone(migrated.home);
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(migrated.home, before);
    assert.match(parts.what, /^ledger home-cluster\/volume-games-valheim-server-data/);
  });

  const unreachable: [string, (clients: Clients) => void, RegExp][] = [
    [
      "Kubernetes",
      ({ kubernetes }) =>
        (kubernetes.version = () => Promise.reject(new ApiRefusal(401, "Unauthorized", "Unauthorized"))),
      /^the Kubernetes API: Unauthorized: Unauthorized$/,
    ],
    [
      "Rancher",
      ({ rancher }) => (rancher.version = () => Promise.reject(new Error("connect ECONNREFUSED\nBearer token"))),
      /^it failed: Error: connect ECONNREFUSED$/,
    ],
    [
      "Proxmox",
      ({ proxmox }) =>
        (proxmox.listVms = () =>
          Promise.reject(new Refusal({ what: "Proxmox", why: "401", next: "set proxmoxToken" }))),
      /^Proxmox: 401$/,
    ],
  ];
  for (const [system, silence, why] of unreachable) {
    it(`${system} that does not take the recorded credentials, with the command that records new ones`, async () => {
      const migrated = await migratedHome();
      silence(migrated.clients);
      const before = structuredClone(migrated.home);
      const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
      assert.deepEqual(migrated.home, before);
      assert.equal(parts.what, `rancheros-1: nothing was touched, because ${system} does not answer as it should`);
      assert.match(parts.why, why);
      assert.match(
        parts.next,
        /after a rotated token or kubeconfig, `pulumi up -s home-rancheros` records the new one; then run the same command again$/,
      );
    });
  }

  it("what changed while it waited for the lock, which leaves no failure behind for others", async () => {
    const migrated = await migratedHome();
    const [first, second] = [inputOf(migrated, "rancheros-1"), inputOf(migrated, "rancheros-2")];
    const one = retireOldNode.run(first, migrated.clients);
    await migrated.clock.sleep(10_000);
    const two = refusalOf(retireOldNode.run(second, migrated.clients));
    await migrated.clock.sleep(10_000);
    setPhase(migrated.home, "games", "valheim-server-data", "warm");
    const parts = await two;
    await one;
    assert.equal(parts.what, "rancheros-2: not retired, nothing was touched");
    assert.match(parts.why, /valheim-server-data is not switched/);
    assert.equal(failureIn(migrated.home), undefined);
    assert.deepEqual(standing(migrated.home).cordoned, []);
    assert.ok(standing(migrated.home).machines.includes("rancheros-2"));
  });

  it("one that starts in the middle of another's leave waits instead of refusing what is half done", async () => {
    const migrated = await migratedHome();
    const one = retireOldNode.run(inputOf(migrated, "rancheros-1"), migrated.clients);
    while (!migrated.home.rancher.nodes.some((node) => node.state === "removing")) await migrated.clock.sleep(1000);
    await retireOldNode.run(inputOf(migrated, "rancheros-2"), migrated.clients);
    await one;
    assert.deepEqual(standing(migrated.home).machines, [...debian, "nas", "rancheros-3"]);
  });
});

const budget = (home: HomeState, allowed: number): V1PodDisruptionBudget => {
  const object: V1PodDisruptionBudget = {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "web-budget", namespace: "apps" },
    spec: { selector: { matchLabels: { app: "web" } } },
    status: { currentHealthy: 1, desiredHealthy: 1, disruptionsAllowed: allowed, expectedPods: 1 },
  };
  add(home, object);
  return find<V1PodDisruptionBudget>(home, "PodDisruptionBudget", "web-budget", "apps");
};

describe("a retirement that fails after it began", () => {
  it("a budget that never gives way: uncordoned, named, recorded, and both ways on are said", async () => {
    const migrated = await migratedHome();
    add(migrated.home, podOn("rancheros-1", "web"));
    budget(migrated.home, 0);
    const before = standing(migrated.home);
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.equal(
      parts.what,
      "rancheros-1: did not leave, nothing is lost, it takes pods as before: rancheros-1: drain: not within 900 s",
    );
    assert.equal(parts.why, "last seen: apps/web is held by the disruption budget web-budget");
    assert.match(
      parts.next,
      /; to go on: `pulumi destroy -s home-rancheros`; to go back: `pulumi up -s home-rancheros`$/,
    );
    assert.deepEqual(standing(migrated.home), before);
    assert.match(failureIn(migrated.home) ?? "", /^failed: rancheros-1: .*web-budget/);
    assert.deepEqual(Object.keys(nodeIn(migrated.home, "rancheros-1").metadata?.annotations ?? {}), []);
  });

  it("a budget that gives way in time is waited for", async () => {
    const migrated = await migratedHome();
    add(migrated.home, podOn("rancheros-1", "web"));
    const held = budget(migrated.home, 0);
    const run = retireOldNode.run(inputOf(migrated), migrated.clients);
    await migrated.clock.sleep(300_000);
    held.status = { currentHealthy: 2, desiredHealthy: 1, disruptionsAllowed: 1, expectedPods: 1 };
    await run;
    assert.ok(!standing(migrated.home).machines.includes("rancheros-1"));
  });

  it("what somebody else had cordoned stays cordoned", async () => {
    const migrated = await migratedHome();
    nodeIn(migrated.home, "rancheros-1").spec = { unschedulable: true };
    add(migrated.home, podOn("rancheros-1", "web"));
    budget(migrated.home, 0);
    await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(standing(migrated.home).cordoned, ["rancheros-1"]);
  });

  it("ends the two that already wait, naming it, and they touch nothing; the same command for all then converges", async () => {
    const migrated = await migratedHome();
    add(migrated.home, podOn("rancheros-1", "web"));
    const held = budget(migrated.home, 0);
    const first = refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    await migrated.clock.sleep(1000);
    const others = ["rancheros-2", "rancheros-3"].map((node) =>
      refusalOf(retireOldNode.run(inputOf(migrated, node), migrated.clients)),
    );
    const before = standing(migrated.home);
    await first;
    for (const [index, other] of (await Promise.all(others)).entries()) {
      assert.equal(other.what, `${["rancheros-2", "rancheros-3"][index]}: did not start to leave, nothing was touched`);
      assert.match(other.why, /^the leave of rancheros-1 has not ended well: failed: rancheros-1: /);
    }
    assert.deepEqual(standing(migrated.home), { ...before, cordoned: [] });

    held.status = { currentHealthy: 2, desiredHealthy: 1, disruptionsAllowed: 1, expectedPods: 1 };
    await Promise.all([...migrated.inputs].reverse().map((input) => retireOldNode.run(input, migrated.clients)));
    assert.deepEqual(standing(migrated.home).machines, [...debian, "nas"]);
    assert.equal(failureIn(migrated.home), undefined);
  });

  it("Rancher that refuses the removal: nothing is lost, so it is taken back", async () => {
    const migrated = await migratedHome();
    migrated.clients.rancher.removeNode = () =>
      Promise.reject(new Refusal({ what: "Rancher: may not", why: "403", next: "ask the owner" }));
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.equal(parts.what, "rancheros-1: did not leave, nothing is lost, it takes pods as before: Rancher: may not");
    assert.match(parts.next, /^ask the owner; to go on: /);
    assert.deepEqual(standing(migrated.home).cordoned, []);
    assert.deepEqual(Object.keys(nodeIn(migrated.home, "rancheros-1").metadata?.annotations ?? {}), []);
  });

  it("Rancher that took the removal and lost the answer: there is no going back, and the rerun goes on", async () => {
    const migrated = await migratedHome();
    const { rancher } = migrated.clients;
    const removeNode = rancher.removeNode.bind(rancher);
    rancher.removeNode = async (id) => {
      rancher.removeNode = () => assert.fail("asked twice");
      await removeNode(id);
      throw new Error("socket hang up");
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.equal(parts.what, "rancheros-1: is being removed and did not leave: it failed");
    assert.match(
      parts.next,
      /^to go on: `pulumi destroy -s home-rancheros`; there is no going back: Rancher was told to remove it$/,
    );
    assert.deepEqual(standing(migrated.home).cordoned, ["rancheros-1"]);
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.ok(!standing(migrated.home).machines.includes("rancheros-1"));
  });

  it("a machine switched off while Rancher removes it: the wait ends and says that it must run; started again, the rerun goes on", async () => {
    const migrated = await migratedHome();
    const { home, clients } = migrated;
    const removeNode = clients.rancher.removeNode.bind(clients.rancher);
    clients.rancher.removeNode = async (id) => {
      vmOf(home, "rancheros-1").status = "stopped";
      await removeNode(id);
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(
      parts.what,
      /^rancheros-1: is being removed and did not leave: rancheros-1: removal by Rancher: not within 1800 s$/,
    );
    assert.equal(parts.why, "last seen: Rancher calls c-abc12:m-101 removing");
    assert.match(parts.next, /its machine must stay on/);
    assert.ok(standing(home).machines.includes("rancheros-1"));
    vmOf(home, "rancheros-1").status = "running";
    rancherNode(home, "rancheros-1").state = "active";
    clients.rancher.removeNode = removeNode;
    await retireOldNode.run(inputOf(migrated), clients);
    assert.ok(!standing(home).machines.includes("rancheros-1"));
  });

  it("a Kubernetes node that stays although Rancher removed it keeps the machine alive", async () => {
    const migrated = await migratedHome();
    migrated.clients.rancher.removeNode = async (id) => {
      migrated.home.rancher.nodes = migrated.home.rancher.nodes.filter((node) => node.id !== id);
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.what, /: rancheros-1: Kubernetes node gone: not within 900 s$/);
    assert.equal(vmOf(migrated.home, "rancheros-1").status, "running");
  });

  it("an etcd member that falls silent over the removal keeps the machine alive until it is back", async () => {
    const migrated = await migratedHome();
    const removeNode = migrated.clients.rancher.removeNode.bind(migrated.clients.rancher);
    migrated.clients.rancher.removeNode = async (id) => {
      silent(migrated.home, "debian-2");
      await removeNode(id);
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.what, /: rancheros-1: the other etcd members Ready after its removal: not within 900 s$/);
    assert.equal(parts.why, "last seen: not Ready: debian-2");
    assert.equal(vmOf(migrated.home, "rancheros-1").status, "running");
  });

  const swaps: [string, (home: HomeState) => void, RegExp][] = [
    [
      "another name",
      (home) => (vmOf(home, "rancheros-1").name = "new-owner"),
      /its name is new-owner, recorded is rancheros-1$/,
    ],
    [
      "another MAC",
      (home) => (vmOf(home, "rancheros-1").macs = ["BC:24:11:AA:AA:AA"]),
      /its first MAC is BC:24:11:AA:AA:AA/,
    ],
    [
      "an address that a new node has",
      (home) =>
        (nodeIn(home, "debian-3").status = {
          ...nodeIn(home, "debian-3").status,
          addresses: [{ type: "InternalIP", address: "192.168.10.11" }],
        }),
      /^the cluster's node debian-3 has its name or its address 192\.168\.10\.11$/,
    ],
  ];
  for (const [name, swap, why] of swaps) {
    it(`an id that was reused during the removal is not stopped: ${name}`, async () => {
      const migrated = await migratedHome();
      const removeNode = migrated.clients.rancher.removeNode.bind(migrated.clients.rancher);
      migrated.clients.rancher.removeNode = async (id) => {
        await removeNode(id);
        swap(migrated.home);
      };
      const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
      assert.equal(
        parts.what,
        "rancheros-1: has left the cluster, and its machine is still there: rancheros-1: machine 101 on pve is left as it is",
      );
      assert.match(parts.why, why);
      assert.equal(migrated.home.proxmox.vms.find((vm) => vm.vmId === 101)?.status, "running");
    });
  }

  it("an id that was reused between shutdown and deletion is not deleted", async () => {
    const migrated = await migratedHome();
    const { proxmox } = migrated.clients;
    const shutdownVm = proxmox.shutdownVm.bind(proxmox);
    proxmox.shutdownVm = async (...args) => {
      const off = await shutdownVm(...args);
      vmOf(migrated.home, "rancheros-1").name = "new-owner";
      return off;
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.why, /its name is new-owner/);
    assert.ok(standing(migrated.home).machines.includes("new-owner"));
  });

  it("an id that was reused while a shutdown ran out of time is not stopped", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.shutdownVm = async () => {
      vmOf(migrated.home, "rancheros-1").name = "new-owner";
      return false;
    };
    migrated.clients.proxmox.stopVm = () => assert.fail("stopped somebody else's machine");
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.why, /its name is new-owner/);
  });

  it("a machine that somebody starts again is not deleted", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.shutdownVm = async () => true;
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.what, /: rancheros-1: machine 101 does not go off$/);
    assert.equal(vmOf(migrated.home, "rancheros-1").status, "running");
  });

  it("a machine that was deleted by hand in between is success", async () => {
    const migrated = await migratedHome();
    const removeNode = migrated.clients.rancher.removeNode.bind(migrated.clients.rancher);
    migrated.clients.rancher.removeNode = async (id) => {
      await removeNode(id);
      await migrated.clock.sleep(60_000);
      migrated.home.proxmox.vms = migrated.home.proxmox.vms.filter((vm) => vm.vmId !== 101);
    };
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.deepEqual(standing(migrated.home).machines, [...debian, "nas", "rancheros-2", "rancheros-3"]);
  });

  it("a deletion that Proxmox reports and does not do is not believed", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.deleteVm = async () => undefined;
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.what, /: rancheros-1: machine 101 gone: not within 300 s$/);
    assert.equal(parts.why, "last seen: Proxmox still has something with this id");
  });

  it("protection set in the meantime stops the deletion in Proxmox's own words; taken off, the rerun goes on", async () => {
    const migrated = await migratedHome();
    const { proxmox } = migrated.clients;
    const shutdownVm = proxmox.shutdownVm.bind(proxmox);
    proxmox.shutdownVm = async (...args) => {
      vmOf(migrated.home, "rancheros-1").protection = true;
      return shutdownVm(...args);
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.equal(parts.why, "Error: can't remove VM 101 - protection mode enabled");
    proxmox.shutdownVm = shutdownVm;
    const again = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(again.why, /machine 101 is protected in Proxmox/);
    vmOf(migrated.home, "rancheros-1").protection = false;
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.ok(!standing(migrated.home).machines.includes("rancheros-1"));
    assert.equal(failureIn(migrated.home), undefined);
  });

  it("a lost lock stops it before Rancher is told, and takes nothing back that may be another run's", async () => {
    const migrated = await migratedHome();
    add(migrated.home, podOn("rancheros-1", "web"));
    const held = budget(migrated.home, 0);
    const run = refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    await migrated.clock.sleep(30_000);
    const lease = await migrated.clients.kubernetes.read(leases, leaseName, "kube-system");
    assert.ok(lease);
    await migrated.clients.kubernetes.replace({
      ...lease,
      spec: { ...lease.spec, holderIdentity: "rancheros-1/another operator" },
    });
    held.status = { currentHealthy: 2, desiredHealthy: 1, disruptionsAllowed: 1, expectedPods: 1 };
    const parts = await run;
    assert.match(
      parts.what,
      /it may still be cordoned: the lock or the Kubernetes API is gone: rancheros-1: the lock was lost, so this run stops here$/,
    );
    assert.match(parts.next, /to go back: `kubectl uncordon rancheros-1`, then `pulumi up -s home-rancheros`$/);
    assert.equal(rancherNode(migrated.home, "rancheros-1").state, "active");
    assert.deepEqual(standing(migrated.home).cordoned, ["rancheros-1"]);
  });

  it("a lock lost during the removal keeps the machine: another run may have it in hand", async () => {
    const migrated = await migratedHome();
    const { rancher, kubernetes } = migrated.clients;
    const removeNode = rancher.removeNode.bind(rancher);
    rancher.removeNode = async (id) => {
      await removeNode(id);
      const lease = (await kubernetes.read(leases, leaseName, "kube-system")) ?? assert.fail();
      await kubernetes.replace({ ...lease, spec: { ...lease.spec, holderIdentity: "rancheros-2/x" } });
    };
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.match(parts.what, /its machine is still there: rancheros-1: the lock was lost/);
    assert.equal(vmOf(migrated.home, "rancheros-1").status, "running");
  });

  it("a node deleted with kubectl is still taken out of Rancher, and then its machine goes", async () => {
    const migrated = await migratedHome();
    migrated.home.kubernetes.objects = migrated.home.kubernetes.objects.filter(
      (object) => !(object.kind === "Node" && object.metadata?.name === "rancheros-1"),
    );
    await retireOldNode.run(inputOf(migrated), migrated.clients);
    assert.deepEqual(standing(migrated.home).rancher, [...debian, "rancheros-2", "rancheros-3"]);
    assert.ok(!standing(migrated.home).machines.includes("rancheros-1"));
  });

  it("never says anything of an error that may carry a secret but its first line", async () => {
    const migrated = await migratedHome();
    migrated.clients.kubernetes.evict = () =>
      Promise.reject(new Error("fetch failed\nauthorization: Bearer token-secret"));
    add(migrated.home, podOn("rancheros-1", "web"));
    const parts = await refusalOf(retireOldNode.run(inputOf(migrated), migrated.clients));
    assert.equal(parts.why, "Error: fetch failed");
    assert.doesNotMatch(JSON.stringify([parts, migrated.log, failureIn(migrated.home)]), /token-secret/);
  });
});

class Killed extends Error {}

/** Retires with the n-th call failing, or with every call from the n-th on; false once n is beyond the last call. */
async function withFault(n: number, dead: boolean): Promise<boolean> {
  const migrated = await migratedHome();
  const { home, clients, clock } = migrated;
  add(home, podOn("rancheros-1", "web"));
  const nas = stranger(home);
  let hit = "";
  const faulty = counted(clients, (call, name) => {
    if (call !== n && !(dead && call > n)) return;
    hit ||= name;
    throw new Killed(`killed at call ${n}`);
  });
  const title = (): string => `${dead ? "killed" : "failed"} at call ${n}, ${hit}`;
  let message = "";
  try {
    await retireOldNode.run(inputOf(migrated), faulty);
  } catch (error) {
    message = error instanceof Error ? error.message : String(error);
  }
  await clock.idle();
  if (hit === "") return false;
  const left = standing(home);
  if (!dead && message !== "" && rancherNodeOrNone(home)?.state === "active") {
    assert.deepEqual(
      left.cordoned,
      /may still be cordoned/.test(message) ? ["rancheros-1"] : [],
      `${title()}: ${message}`,
    );
  }
  if (!dead && message !== "") assert.match(message, /next:/, `${title()} says no next command: ${message}`);
  await retireOldNode
    .run(inputOf(migrated), clients)
    .catch((error: unknown) => assert.fail(`${title()}: the rerun did not converge: ${String(error)}`));
  await clock.idle();
  assert.deepEqual(
    standing(home),
    {
      machines: [...debian, "nas", "rancheros-2", "rancheros-3"],
      rancher: [...debian, "rancheros-2", "rancheros-3"],
      nodes: [...debian, "rancheros-2", "rancheros-3"],
      cordoned: [],
    },
    title(),
  );
  assert.deepEqual(stranger(home), nas, title());
  assert.equal(failureIn(home), undefined, title());
  return true;
}

function rancherNodeOrNone(home: HomeState): HomeState["rancher"]["nodes"][number] | undefined {
  return home.rancher.nodes.find((node) => node.nodeName === "rancheros-1");
}

describe("a retirement that is broken off at each of its calls goes on from where it stopped", () => {
  for (const dead of [false, true]) {
    it(dead ? "killed: no call from the n-th on" : "an error: the n-th call alone", async function () {
      this.timeout(60_000);
      let n = 1;
      while (await withFault(n, dead)) n += 1;
      assert.ok(n > 50, `only ${n} calls`);
    });
  }

  it("three at once, killed at every fifth call, converge by the same command, and nobody else's machine is touched", async function () {
    this.timeout(60_000);
    for (let n = 1; ; n += 5) {
      const migrated = await migratedHome();
      const { home, clients, clock } = migrated;
      const nas = stranger(home);
      let hit = "";
      const dying = counted(clients, (call, name) => {
        if (call < n) return;
        hit ||= name;
        throw new Killed(`killed at call ${n}`);
      });
      await Promise.allSettled(migrated.inputs.map((input) => retireOldNode.run(input, dying)));
      await clock.idle();
      if (hit === "") break;
      let runs = 0;
      for (;;) {
        const ended = await Promise.allSettled(migrated.inputs.map((input) => retireOldNode.run(input, clients)));
        runs += 1;
        if (ended.every((one) => one.status === "fulfilled")) break;
        const reasons = ended.map((one) => (one.status === "rejected" ? String(one.reason) : "done"));
        assert.ok(runs < 3, `killed at call ${n}, ${hit}: ${reasons.join("\n")}`);
      }
      assert.deepEqual(standing(home), { machines: [...debian, "nas"], rancher: debian, nodes: debian, cordoned: [] });
      assert.deepEqual(stranger(home), nas);
    }
  });
});

describe("the input of a retirement", () => {
  it("is a contract with states that exist: these fields and no required ones beside them", () => {
    const recorded = {
      node: "rancheros-1",
      roles: ["etcd"],
      address: "192.168.10.11",
      vm: { host: "pve", vmId: 101, mac: "BC:24:11:00:10:11" },
      stack: "home-rancheros",
      oldNodes: ["rancheros-1"],
      oldStorageClass: "nfs-client",
      volumes: [],
    };
    assert.deepEqual(retireOldNode.schema.parse(recorded), {
      ...recorded,
      hosts: [],
      machines: "delete",
      snapshotHours: 24,
    });
    assert.deepEqual(retireOldNode.schema.parse({ ...recorded, later: 1 }), {
      ...recorded,
      hosts: [],
      machines: "delete",
      snapshotHours: 24,
    });
    assert.deepEqual(retireOldNode.needs, ["proxmox", "rancher", "kubernetes"]);
  });
});
