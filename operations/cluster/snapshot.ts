import type { V1Node, V1PersistentVolume, V1PersistentVolumeClaim, V1Pod } from "@kubernetes/client-node";
import type { Clients, EtcdSnapshot, RancherNode, Role } from "../clients";
import {
  claims,
  longhornNamespace,
  longhornNodes,
  longhornReplicas,
  longhornVolumes,
  nodes,
  pods,
  volumes,
  type LonghornNode,
  type LonghornReplica,
  type LonghornVolume,
} from "../kinds";

/** A node that leaves, as it was declared. */
export interface Leaver {
  readonly node: string;
  readonly roles: readonly Role[];
  /** The node's InternalIP; absent when nothing was recorded. */
  readonly address?: string | undefined;
}

/** Everything that a preflight looks at, read once: the number of calls does not grow with the number of nodes, pods or findings. */
export interface Snapshot {
  readonly nodes: readonly V1Node[];
  readonly pods: readonly V1Pod[];
  readonly claims: readonly V1PersistentVolumeClaim[];
  readonly volumes: readonly V1PersistentVolume[];
  readonly rancher: readonly RancherNode[];
  /** The snapshots of etcd, and when they were asked for (milliseconds since the epoch). */
  readonly etcd: { readonly snapshots: readonly EtcdSnapshot[]; readonly seenAt: number };
  readonly longhorn: {
    readonly nodes: readonly LonghornNode[];
    readonly replicas: readonly LonghornReplica[];
    readonly volumes: readonly LonghornVolume[];
  };
}

export async function look({
  kubernetes,
  rancher,
  clock,
}: Pick<Clients, "kubernetes" | "rancher" | "clock">): Promise<Snapshot> {
  const inLonghorn = { namespace: longhornNamespace };
  return {
    nodes: await kubernetes.list(nodes),
    pods: await kubernetes.list(pods),
    claims: await kubernetes.list(claims),
    volumes: await kubernetes.list(volumes),
    rancher: await rancher.nodes(),
    etcd: { snapshots: await rancher.snapshots(), seenAt: clock.now() },
    longhorn: {
      nodes: await kubernetes.list(longhornNodes, inLonghorn),
      replicas: await kubernetes.list(longhornReplicas, inLonghorn),
      volumes: await kubernetes.list(longhornVolumes, inLonghorn),
    },
  };
}

/** Marks a Node whose removal we have asked Rancher for: from here on nothing can be taken back. */
export const removalAnnotation = "home-cluster/removal";

/** How far a node has left. `member`: nothing is lost yet. `removing`: Rancher has been told. `gone`: neither Kubernetes nor Rancher knows it. */
export type Stage = "member" | "removing" | "gone";

export function stageOf({ nodes, rancher }: Pick<Snapshot, "nodes" | "rancher">, name: string): Stage {
  const node = nodes.find((other) => other.metadata?.name === name);
  const known = rancher.filter((other) => other.nodeName === name);
  if (!node && known.length === 0) return "gone";
  const asked = node?.metadata?.annotations?.[removalAnnotation] !== undefined && known.length === 0;
  return asked || known.some((other) => other.state === "removing") ? "removing" : "member";
}
