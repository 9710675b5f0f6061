import type { V1Node, V1Pod, V1Volume } from "@kubernetes/client-node";
import type { Finding } from "./finding";
import { fitsNode, takesPods, tolerates } from "./selector";
import type { Snapshot } from "./snapshot";

/**
 * Folders of a host that every host has: a pod that mounts one of them, or something below it, is not tied to this host by its data. Sockets and
 * logs under /var/run and /var/log belong here too: what reads them reads those of whatever host it is on.
 */
const everyHost = [
  "/dev",
  "/proc",
  "/sys",
  "/run",
  "/var/run",
  "/var/log",
  "/lib/modules",
  "/etc/localtime",
  "/etc/timezone",
  "/etc/ssl",
  "/etc/pki",
  "/etc/machine-id",
  "/etc/os-release",
  "/usr/share/zoneinfo",
  "/usr/share/ca-certificates",
];

/** Pods that leave a node by being evicted: not those that belong to the node itself, nor those that have ended. */
export function evictable(pods: readonly V1Pod[], node: string): V1Pod[] {
  return pods.filter((pod) => pod.spec?.nodeName === node && !belongsToNode(pod) && !hasEnded(pod));
}

/**
 * Pods on the node that would be lost or would wait for ever: nobody brings them back, no staying node may run them, or their data is on this host.
 * `leaving` are all nodes that are to go, since a pod must not end up on the next of them with nowhere left to go.
 */
export function placementFindings(
  { nodes, pods, claims, volumes }: Pick<Snapshot, "nodes" | "pods" | "claims" | "volumes">,
  node: string,
  leaving: readonly string[],
): Finding[] {
  const staying = nodes.filter((other) => ![node, ...leaving].includes(other.metadata?.name ?? "") && takesPods(other));
  const moving = evictable(pods, node);
  if (moving.length > 0 && staying.length === 0) {
    return [
      {
        what: `${node}: ${moving.length} pods run on it, and no other node that stays is Ready and takes pods`,
        remedy: "make one Ready, or uncordon one",
      },
    ];
  }
  return moving.flatMap((pod) => {
    const name = `${node}: pod ${nameOf(pod)}`;
    const ties = (pod.spec?.volumes ?? []).flatMap((volume) => hostTie(volume) ?? []);
    const findings = ties.map((path) => ({
      what: `${name} keeps data in the folder ${path} of this host`,
      remedy: "move its data to a volume, or delete its workload",
    }));
    if ((pod.metadata?.ownerReferences ?? []).length === 0) {
      findings.push({
        what: `${name} has no controller that would bring it back`,
        remedy: "delete it, or put it under a Deployment",
      });
    }
    const possible = staying.filter((other) => mayRun(pod, other));
    if (possible.length === 0) {
      findings.push({
        what: `${name} cannot run on any node that stays (${selectorsOf(pod)})`,
        remedy: "change its node selector, affinity or tolerations, or label a node that stays",
      });
    }
    return [...findings, ...volumeTies(pod, name, staying, { claims, volumes })];
  });
}

/** Whether selectors, required affinity and taints let the pod run there; says nothing of room, nor of what other pods want beside them. */
export function mayRun(pod: V1Pod, node: V1Node): boolean {
  const { nodeSelector = {}, affinity, tolerations } = pod.spec ?? {};
  const labels = node.metadata?.labels ?? {};
  return (
    Object.entries(nodeSelector).every(([key, value]) => labels[key] === value) &&
    fitsNode(affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution, node) &&
    tolerates(tolerations, node)
  );
}

/** What in the pod names nodes, for the operator to find it. */
function selectorsOf(pod: V1Pod): string {
  const selector = Object.entries(pod.spec?.nodeSelector ?? {}).map(([key, value]) => `${key}=${value}`);
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const parts = [
    ...(selector.length > 0 ? [`nodeSelector ${selector.join(",")}`] : []),
    ...(required ? ["required node affinity"] : []),
  ];
  return parts.join(" and ") || "taints that it does not tolerate";
}

/** Claims whose volume exists on this host only, or on none that stays. */
function volumeTies(
  pod: V1Pod,
  name: string,
  staying: readonly V1Node[],
  { claims, volumes }: Pick<Snapshot, "claims" | "volumes">,
): Finding[] {
  return (pod.spec?.volumes ?? []).flatMap((entry) => {
    const claim = claims.find(
      (other) =>
        other.metadata?.namespace === pod.metadata?.namespace &&
        other.metadata?.name === entry.persistentVolumeClaim?.claimName,
    );
    const volume = claim && volumes.find((other) => other.metadata?.name === claim.spec?.volumeName);
    if (!volume) return [];
    const local = volume.spec?.hostPath !== undefined || volume.spec?.local !== undefined;
    if (!local && staying.some((node) => fitsNode(volume.spec?.nodeAffinity?.required, node))) return [];
    return [
      {
        what: `${name} mounts claim ${claim.metadata?.name}, whose volume ${volume.metadata?.name} no node that stays can reach`,
        remedy: "move its data to a volume that other nodes reach",
      },
    ];
  });
}

/** The folder of the host that a pod keeps data in, if it does. */
function hostTie({ hostPath }: V1Volume): string | undefined {
  if (!hostPath || ["CharDevice", "BlockDevice", "Socket"].includes(hostPath.type ?? "")) return undefined;
  const inside = everyHost.some((path) => hostPath.path === path || hostPath.path.startsWith(`${path}/`));
  return inside ? undefined : hostPath.path;
}

/**
 * A DaemonSet's pod would come right back; a mirror pod is the kubelet's own; Longhorn's instance managers hold the replicas, which must move
 * before they may stop: evicting one would throw away what is about to be copied from it.
 */
function belongsToNode(pod: V1Pod): boolean {
  const owners = (pod.metadata?.ownerReferences ?? []).map((owner) => owner.kind);
  return (
    owners.some((kind) => ["DaemonSet", "Node", "InstanceManager"].includes(kind)) ||
    pod.metadata?.annotations?.["kubernetes.io/config.mirror"] !== undefined
  );
}

export function hasEnded(pod: V1Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function nameOf(pod: V1Pod): string {
  return `${pod.metadata?.namespace}/${pod.metadata?.name}`;
}
