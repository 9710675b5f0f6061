import type { V1Node, V1Pod, V1Service } from "@kubernetes/client-node";
import { retirements } from "../../components/rancheros/retirement";
import type { Environment, EnvironmentFile } from "../../environment/schema";
import type { Clients, StoredObject } from "../../operations/clients";
import { longhornNamespace, type LonghornNode, type LonghornReplica } from "../../operations/kinds";
import { ingressLabels } from "../../operations/load-balancer/names";
import type { RetirementInput } from "../../operations/rancheros/retirement-input";
import { Refusal } from "../../operations/refusal";
import { ledgerNamespace, writeLedger } from "../../operations/volumes/ledger";
import { buildHome, uuidOf } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import { nodeObject } from "../../rehearsal/home/guest";
import type { HomeState } from "../../rehearsal/home/state";
import { announcementOf } from "../../rehearsal/models/kubernetes";
import { switchVolumes } from "../../rehearsal/cutover-stand-in";
import { environment } from "./environment";

/** A pretend home in which everything before the retirement is done, with everything that a test needs to break it. */
export interface MigratedHome {
  readonly environment: Environment;
  readonly home: HomeState;
  readonly clock: VirtualClock;
  readonly clients: Clients;
  readonly log: string[];
  /** What the state holds for each old node. */
  readonly inputs: readonly RetirementInput[];
}

/** The Debian nodes joined and holding Longhorn's disks, every volume switched, every workload on them; the old nodes still members. */
export async function migratedHome(
  name: "home" | "lab" = "home",
  change: (file: EnvironmentFile) => void = () => undefined,
): Promise<MigratedHome> {
  const file = environment(name, change);
  const home = buildHome(file);
  const clock = new VirtualClock(home.now);
  const log: string[] = [];
  const clients = pretendClients(home, clock, (line) => log.push(line));
  for (const node of file.nodes) {
    const address = node.cards[0]?.address ?? "";
    home.proxmox.vms.push({
      vmId: node.vmId,
      name: node.name,
      host: node.host,
      status: "running",
      tags: [],
      macs: node.cards.map((card) => card.mac),
      protection: false,
      disks: [node.systemDisk, ...(node.dataDisk === undefined ? [] : [node.dataDisk])],
      memory: node.memory,
      uuid: uuidOf(node.vmId),
    });
    home.guests[node.vmId] = {
      hostKey: `ssh-ed25519 NEW${node.vmId}`,
      address,
      agent: true,
      joined: true,
      instance: "",
    };
    home.rancher.nodes.push({
      id: `${file.cluster.rancher.clusterId}:m-${node.vmId}`,
      vmId: node.vmId,
      nodeName: node.name,
      state: "active",
      roles: [...node.roles],
    });
    const labels = { ...node.labels, "home-cluster/node": "debian" };
    home.kubernetes.objects.push(stored(home, nodeObject(node.name, address, node.roles, labels, uuidOf(node.vmId))));
    if (node.dataDisk !== undefined) home.kubernetes.objects.push(stored(home, longhornNode(node.name)));
  }
  const service: V1Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "ingress", namespace: "ingress", labels: { ...ingressLabels } },
    spec: { type: "LoadBalancer" },
    status: { loadBalancer: { ingress: [{ ip: file.ingress.address }] } },
  };
  home.kubernetes.objects.push(stored(home, service), stored(home, announcementOf(service, file.nodes[0]?.name ?? "")));
  for (const volume of file.volumes) {
    await writeLedger(clients, volume, () => ({
      version: 1,
      volume: `${volume.namespace}/${volume.claim}`,
      phase: "verified",
      attempt: 1,
      sourceUid: "old",
      sourceVolume: `pvc-${volume.namespace}-${volume.claim}`,
      targetClaim: volume.newClaim ?? `${volume.claim}-longhorn`,
      times: {},
      consumers: [],
    }));
  }
  await switchVolumes(file, home);
  return { environment: file, home, clock, clients, log, inputs: retirements(file, `${name}-rancheros`) };
}

function stored<T extends StoredObject>(home: HomeState, object: T): T {
  const counter = (home.kubernetes.counter += 1);
  const uid = `00000000-0000-4000-8000-${String(counter).padStart(12, "0")}`;
  return { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(counter) } };
}

/** Adds an object as it is. */
export function add(home: HomeState, object: StoredObject): void {
  home.kubernetes.objects.push(stored(home, object));
}

export function longhornNode(name: string, replicas: readonly string[] = []): LonghornNode {
  const conditions = [
    { type: "Ready", status: "True" },
    { type: "Schedulable", status: "True" },
  ];
  return {
    apiVersion: "longhorn.io/v1beta2",
    kind: "Node",
    metadata: { name, namespace: longhornNamespace },
    spec: {
      allowScheduling: true,
      evictionRequested: false,
      disks: { disk: { allowScheduling: true, path: "/var/lib/longhorn" } },
    },
    status: {
      conditions,
      diskStatus: {
        disk: { conditions, scheduledReplica: Object.fromEntries(replicas.map((replica) => [replica, 1])) },
      },
    },
  };
}

/** A Longhorn volume with one replica on each of the nodes. */
export function addLonghornVolume(
  home: HomeState,
  volume: string,
  on: readonly string[],
  { wanted = on.length, robustness = "healthy", failed = [] as readonly string[] } = {},
): void {
  add(home, {
    apiVersion: "longhorn.io/v1beta2",
    kind: "Volume",
    metadata: { name: volume, namespace: longhornNamespace },
    spec: { numberOfReplicas: wanted },
    status: { robustness },
  } as StoredObject);
  for (const node of on) {
    const name = `${volume}-r-${node}`;
    const replica: LonghornReplica = {
      apiVersion: "longhorn.io/v1beta2",
      kind: "Replica",
      metadata: { name, namespace: longhornNamespace },
      spec: { volumeName: volume, nodeID: node, failedAt: failed.includes(node) ? "2026-01-01T00:00:00Z" : "" },
    };
    add(home, replica);
    const disk = Object.values(find<LonghornNode>(home, "Node", node, longhornNamespace).status?.diskStatus ?? {})[0];
    if (disk) disk.scheduledReplica = { ...disk.scheduledReplica, [name]: 1 };
  }
}

/** The object itself, to be changed in place. */
export function find<T extends StoredObject>(home: HomeState, kind: string, name: string, namespace?: string): T {
  const found = home.kubernetes.objects.find(
    (object) => object.kind === kind && object.metadata?.name === name && object.metadata.namespace === namespace,
  );
  if (!found) throw new Error(`${kind} ${namespace ?? ""}/${name} is not there`);
  return found as T;
}

export function nodeIn(home: HomeState, name: string): V1Node {
  return find<V1Node>(home, "Node", name);
}

export function podOn(node: string, name: string, change: (pod: V1Pod) => void = () => undefined): V1Pod {
  const pod: V1Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "apps",
      labels: { app: name },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name, uid: `owner-${name}`, controller: true }],
    },
    spec: { nodeName: node, containers: [{ name: "main", image: "invalid" }] },
    status: { phase: "Running" },
  };
  change(pod);
  return pod;
}

/** Writes another phase into a volume's ledger; undefined takes the ledger away. */
export function setPhase(home: HomeState, namespace: string, claim: string, phase: string | undefined): void {
  const name = `volume-${namespace}-${claim}`;
  const map = find<StoredObject & { data?: Record<string, string> }>(home, "ConfigMap", name, ledgerNamespace);
  if (phase === undefined) home.kubernetes.objects = home.kubernetes.objects.filter((object) => object !== map);
  else map.data = { ledger: JSON.stringify({ ...(JSON.parse(map.data?.ledger ?? "{}") as object), phase }) };
}

export function vmOf(home: HomeState, name: string): HomeState["proxmox"]["vms"][number] {
  const vm = home.proxmox.vms.find((other) => other.name === name);
  if (!vm) throw new Error(`machine ${name} is not there`);
  return vm;
}

export function rancherNode(home: HomeState, name: string): HomeState["rancher"]["nodes"][number] {
  const node = home.rancher.nodes.find((other) => other.nodeName === name);
  if (!node) throw new Error(`Rancher node ${name} is not there`);
  return node;
}

/** The parts of the Refusal with which it ended; anything else is thrown on. */
export async function refusalOf(run: Promise<unknown>): Promise<Refusal["parts"]> {
  try {
    await run;
  } catch (error) {
    if (error instanceof Refusal) return error.parts;
    throw error;
  }
  throw new Error("was not refused");
}

/** Names of what is left: machines, Rancher's nodes, Kubernetes nodes, cordoned ones. */
export function standing(home: HomeState): {
  readonly machines: string[];
  readonly rancher: string[];
  readonly nodes: string[];
  readonly cordoned: string[];
} {
  const nodes = home.kubernetes.objects.filter(
    (object): object is V1Node => object.kind === "Node" && object.apiVersion === "v1",
  );
  const names = (list: readonly (string | undefined)[]): string[] => list.map((name) => name ?? "").sort();
  return {
    machines: names(home.proxmox.vms.map((vm) => vm.name)),
    rancher: names(home.rancher.nodes.map((node) => node.nodeName)),
    nodes: names(nodes.map((node) => node.metadata?.name)),
    cordoned: names(nodes.filter((node) => node.spec?.unschedulable).map((node) => node.metadata?.name)),
  };
}

/** Counts every call to Proxmox, Rancher and Kubernetes, and lets `before` answer in its place by throwing. */
export function counted(clients: Clients, before: (call: number, name: string) => void): Clients {
  let calls = 0;
  const wrap = <T extends object>(api: T, system: string): T =>
    new Proxy(api, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]): Promise<unknown> => {
          calls += 1;
          before(calls, `${system}.${String(key)}`);
          return (value as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  return {
    ...clients,
    proxmox: wrap(clients.proxmox, "proxmox"),
    rancher: wrap(clients.rancher, "rancher"),
    kubernetes: wrap(clients.kubernetes, "kubernetes"),
  };
}
