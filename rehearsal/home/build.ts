import type {
  V1DaemonSet,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1Service,
  V1StatefulSet,
  V1StorageClass,
} from "@kubernetes/client-node";
import type { StoredObject } from "../../operations/clients";
import type { Environment, VolumeSpec } from "../../environment/schema";
import { leastPrivileges } from "../../operations/nodes/privileges";
import { nodeObject } from "./guest";
import { machineId } from "./rancher";
import type { HomeState } from "./state";
import { running } from "./workloads";

/** The moment at which every rehearsal starts. */
const start = Date.UTC(2026, 0, 1);

/**
 * The home as it is before the first `up`: the old nodes running, joined and Ready; the ingress controller on them; every volume on the old storage class and
 * mounted by a running workload. Nodes already `retired` are not there; where none is left, everything waits for the first node that joins. `stranger` is a machine
 * that belongs to someone else.
 */
export function buildHome(environment: Environment): HomeState {
  const old = environment.oldNodes.filter((node) => !node.retired);
  const objects: StoredObject[] = [
    ...old.map((node) => nodeObject(node.name, node.address, node.roles, {}, uuidOf(node.vmId))),
    oldStorageClass(environment.oldStorage.storageClass),
    ...ingressController(environment),
    ...environment.volumes.flatMap((volume, index) =>
      volumeObjects(environment, volume, old[index % Math.max(old.length, 1)]?.name),
    ),
    ...[...new Set(environment.volumes.map((volume) => volume.namespace))].map((name) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    })),
    ...environment.volumes.map(workloadOf),
  ];
  return {
    now: start,
    proxmox: {
      vms: [
        ...old.map((node) => ({
          vmId: node.vmId,
          name: node.name,
          host: node.host,
          status: "running" as const,
          tags: [],
          macs: [node.mac],
          protection: false,
          disks: [20],
          memory: node.memory,
          uuid: uuidOf(node.vmId),
        })),
        stranger(environment),
      ],
      images: [],
      datastores: datastoresOf(environment),
      privileges: { "/": [...leastPrivileges] },
    },
    network: networkOf(environment),
    guests: Object.fromEntries(
      old.map((node) => [
        node.vmId,
        { hostKey: `ssh-ed25519 OLD${node.vmId}`, address: node.address, agent: false, joined: true, instance: "" },
      ]),
    ),
    rancher: {
      version: environment.cluster.rancher.version,
      clusterId: environment.cluster.rancher.clusterId,
      distribution: environment.cluster.distribution,
      token: "registration-token-of-the-rehearsal",
      snapshotEvery: environment.cluster.distribution === "rke1" ? 12 : 5,
      nodes: old.map((node) => ({
        id:
          environment.cluster.distribution === "rke1"
            ? `${environment.cluster.rancher.clusterId}:m-${node.vmId}`
            : machineId(uuidOf(node.vmId)),
        vmId: node.vmId,
        uuid: uuidOf(node.vmId),
        nodeName: node.name,
        state: "active" as const,
        roles: [...node.roles],
      })),
    },
    kubernetes: {
      version: environment.cluster.kubernetesVersion,
      counter: objects.length,
      objects: objects.map(stamped),
    },
  };
}

/** Rancher runs somewhere else, and the cluster's API is reached through it, as its own kubeconfigs say. Nothing hangs on an old node's address. */
function networkOf({ cluster, proxmox, ingress, longhorn }: Environment): HomeState["network"] {
  const { url, clusterId } = cluster.rancher;
  return {
    urls: { proxmox: proxmox.endpoint, rancher: url, kubernetes: `${url}/k8s/clusters/${clusterId}` },
    names: {
      [new URL(url).hostname]: ["203.0.113.10"],
      [new URL(proxmox.endpoint).hostname]: proxmox.hosts.slice(0, 1).map(({ address }) => address),
      [longhorn.host]: [ingress.address],
    },
  };
}

/** Somebody else's machine, which must come out of every rehearsal untouched; its id is free in the file. */
function stranger(environment: Environment): HomeState["proxmox"]["vms"][number] {
  const taken = new Set([...environment.nodes, ...environment.oldNodes].map((node) => node.vmId));
  let vmId = 150;
  while (taken.has(vmId)) vmId += 1;
  return {
    vmId,
    name: "nas",
    host: environment.proxmox.hosts[0]?.name ?? "pve",
    status: "running",
    tags: [],
    macs: ["02:00:00:00:00:01"],
    protection: false,
    disks: [500],
    memory: 4,
    uuid: uuidOf(vmId),
  };
}

/** The SMBIOS UUID of the machine that is first made under an id. */
export function uuidOf(vmId: number, made = 0): string {
  return `${String(made).padStart(8, "0")}-0000-4000-8000-${String(vmId).padStart(12, "0")}`;
}

/** Each host's datastores: room for everything, thin, and what they must allow is allowed. */
function datastoresOf({ proxmox }: Environment): HomeState["proxmox"]["datastores"] {
  return proxmox.hosts.flatMap(({ name: host, imageDatastore, diskDatastore }) =>
    [...new Set([imageDatastore, diskDatastore])].map((name) => ({
      host,
      name,
      // Only folders hold files; what is only for disks is a volume group.
      content: name === imageDatastore ? ["images", "import", "iso", "rootdir"] : ["images", "rootdir"],
      active: true,
      available: 2 ** 41,
      thin: true,
    })),
  );
}

function stamped(object: StoredObject, index: number): StoredObject {
  return {
    ...object,
    metadata: {
      ...object.metadata,
      uid: object.metadata?.uid ?? `00000000-0000-4000-8000-${String(index + 1).padStart(12, "0")}`,
      resourceVersion: String(index + 1),
      creationTimestamp: new Date(start),
    },
  };
}

function oldStorageClass(name: string): V1StorageClass {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name, annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "cluster.local/nfs-subdir-external-provisioner",
    reclaimPolicy: "Delete",
  };
}

/** The labels by which each distribution's own controller pods are known (kontainer-driver-metadata, rke2-charts, k3s). */
export function ingressPodLabels(environment: Environment): {
  readonly namespace: string;
  readonly labels: Record<string, string>;
} {
  const { distribution } = environment.cluster;
  if (distribution === "rke1")
    return {
      namespace: environment.ingress.service?.namespace ?? "ingress-nginx",
      labels: { app: "ingress-nginx", "app.kubernetes.io/component": "controller" },
    };
  const labels = { "app.kubernetes.io/name": ingressChart(environment) };
  return {
    namespace: "kube-system",
    labels:
      environment.ingress.controller === "nginx" ? { ...labels, "app.kubernetes.io/component": "controller" } : labels,
  };
}

/** The chart by which rke2 or k3s brings its ingress controller. */
function ingressChart({ cluster, ingress }: Environment): string {
  if (cluster.distribution === "k3s") return "traefik";
  return ingress.controller === "nginx" ? "rke2-ingress-nginx" : "rke2-traefik";
}

/** The packaged chart as the distribution installed it, with the version where each of them says it. rke1 has none. */
function packagedChart(environment: Environment): StoredObject[] {
  const { distribution } = environment.cluster;
  if (distribution === "rke1") return [];
  const name = ingressChart(environment);
  const version = environment.ingress.controller === "nginx" ? "4.13.400" : "37.1.101";
  const archive = `https://charts.invalid/assets/${name}/${name}-${version}.tgz`;
  return [
    {
      apiVersion: "helm.cattle.io/v1",
      kind: "HelmChart",
      metadata: {
        name,
        namespace: "kube-system",
        ...(distribution === "rke2" && { annotations: { "helm.cattle.io/chart-url": archive } }),
      },
      spec: distribution === "rke2" ? { chartContent: "" } : { chart: archive },
    } as StoredObject,
  ];
}

function ingressController(environment: Environment): StoredObject[] {
  const { namespace, labels } = ingressPodLabels(environment);
  const service = environment.ingress.service;
  const podLabels = service?.selector === "workload" ? { ...labels, [`workloadID_${service.name}`]: "true" } : labels;
  const pods: StoredObject[] = environment.oldNodes
    .filter((node) => !node.retired && node.roles.includes("worker"))
    .map((node) => pod(`ingress-controller-${node.name}`, namespace, node.name, podLabels, "DaemonSet"));
  if (pods.length === 0) pods.push(daemonSet("ingress-controller", namespace, podLabels));
  if (!service?.existing) return [...pods, ...packagedChart(environment)];
  const existing: V1Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: service.name,
      namespace,
      labels: { "cattle.io/creator": "norman" },
      annotations: {
        "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]',
        "field.cattle.io/publicEndpoints": "[]",
      },
    },
    spec: {
      type: "NodePort",
      clusterIP: "10.43.7.7",
      selector: { [`workloadID_${service.name}`]: "true" },
      ports: [
        { name: "http", port: 80, targetPort: 80, nodePort: environment.ingress.nodePorts.http, protocol: "TCP" },
        { name: "https", port: 443, targetPort: 443, nodePort: environment.ingress.nodePorts.https, protocol: "TCP" },
      ],
    },
  };
  return [...pods, existing];
}

/** What runs the pod that mounts the volume. */
function workloadOf({ claim, namespace }: VolumeSpec): V1StatefulSet {
  const labels = { app: claim };
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: claim, namespace, labels, uid: `owner-${claim}-0`, generation: 1 },
    spec: {
      replicas: 1,
      serviceName: claim,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [{ name: "main", image: "invalid" }],
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: claim } }],
        },
      },
    },
  };
}

/** The old claim, its volume, and a running pod that mounts it. */
function volumeObjects(environment: Environment, volume: VolumeSpec, node: string | undefined): StoredObject[] {
  const volumeName = `pvc-${volume.namespace}-${volume.claim}`;
  const claim: V1PersistentVolumeClaim = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: volume.claim, namespace: volume.namespace },
    spec: {
      storageClassName: environment.oldStorage.storageClass,
      volumeName,
      accessModes: ["ReadWriteMany"],
      resources: { requests: { storage: volume.oldSize } },
    },
    status: { phase: "Bound", capacity: { storage: volume.oldSize } },
  };
  const bound: V1PersistentVolume = {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: volumeName },
    spec: {
      storageClassName: environment.oldStorage.storageClass,
      persistentVolumeReclaimPolicy: "Delete",
      capacity: { storage: volume.oldSize },
      accessModes: ["ReadWriteMany"],
      claimRef: { kind: "PersistentVolumeClaim", namespace: volume.namespace, name: volume.claim },
      nfs: { server: "nas.invalid", path: `/export/${volume.namespace}-${volume.claim}` },
    },
    status: { phase: "Bound" },
  };
  const user = pod(`${volume.claim}-0`, volume.namespace, node, { app: volume.claim }, "StatefulSet");
  user.spec = {
    ...user.spec,
    containers: user.spec?.containers ?? [],
    volumes: [{ name: "data", persistentVolumeClaim: { claimName: volume.claim } }],
  };
  return [claim, bound, user];
}

/** What a cluster without a node has in the place of its pods. */
function daemonSet(name: string, namespace: string, labels: Record<string, string>): V1DaemonSet {
  const template = { metadata: { labels }, spec: { containers: [{ name: "main", image: "invalid" }] } };
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name, namespace },
    spec: { selector: { matchLabels: labels }, template },
  };
}

/** Runs, or waits for a node where it has none. */
function pod(
  name: string,
  namespace: string,
  nodeName: string | undefined,
  labels: Record<string, string>,
  owner: string,
): V1Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels,
      ownerReferences: [
        { apiVersion: "apps/v1", kind: owner, name: name.replace(/-\d+$/, ""), uid: `owner-${name}`, controller: true },
      ],
    },
    spec: { nodeName, containers: [{ name: "main", image: "invalid" }] },
    status: nodeName === undefined ? { phase: "Pending" } : running(),
  };
}
