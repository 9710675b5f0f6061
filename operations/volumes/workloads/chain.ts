import type { V1OwnerReference, V1Pod } from "@kubernetes/client-node";
import type { Kind, KubernetesApi, StoredObject } from "../../clients";
import { cronJobs, daemonSets, deployments, jobs, pods, replicaSets, statefulSets } from "../../kinds";
import type { OwnerRecord } from "./record";
import type { Workload } from "./template";

/** Everything in a namespace that makes pods, read once. */
export interface NamespaceObjects {
  readonly pods: readonly V1Pod[];
  /** By UID, pods left out. */
  readonly workloads: ReadonlyMap<string, Workload>;
}

/** From an object up to what nothing else controls, the object itself first. */
export interface Chain {
  readonly objects: readonly [StoredObject, ...StoredObject[]];
  /** The last of them, when its own owner is not one of Kubernetes' kinds, or is gone. */
  readonly above: readonly V1OwnerReference[];
}

const kinds: readonly Kind<Workload>[] = [deployments, statefulSets, daemonSets, replicaSets, cronJobs, jobs].map(
  ({ apiVersion, kind }) => ({ apiVersion, kind }),
);

export async function namespaceObjects(kubernetes: KubernetesApi, namespace: string): Promise<NamespaceObjects> {
  const workloads = new Map<string, Workload>();
  for (const kind of kinds) {
    for (const object of await kubernetes.list(kind, { namespace })) workloads.set(uidOf(object), object);
  }
  return { pods: await kubernetes.list(pods, { namespace }), workloads };
}

/** Who made the object, and who made that. */
export function chainOf({ workloads }: NamespaceObjects, object: StoredObject): Chain {
  const objects: [StoredObject, ...StoredObject[]] = [object];
  let above: V1OwnerReference | undefined;
  for (let next = ownerOf(object); next; next = ownerOf(objects[objects.length - 1])) {
    const owner = workloads.get(next.uid);
    if (!owner) {
      above = next;
      break;
    }
    objects.push(owner);
  }
  return { objects, above: above ? [above] : [] };
}

/** The pods that an owner's controller has made, whatever they refer to; a bare pod is its own, under the name that it is made again by. */
export function podsOf(all: NamespaceObjects, owner: OwnerRecord): V1Pod[] {
  if (owner.kind === "Pod") return all.pods.filter((pod) => pod.metadata?.name === owner.name);
  return all.pods.filter((pod) => chainOf(all, pod).objects.some((object) => uidOf(object) === owner.uid));
}

/** `Deployment games/web → ReplicaSet games/web-5d9`, from the top. */
export function describeChain({ objects, above }: Chain): string {
  const names = [
    ...objects.map(({ kind, metadata }) => `${kind} ${metadata?.namespace}/${metadata?.name}`),
    ...above.map(({ kind, name }) => `${kind} ${objects[0].metadata?.namespace}/${name}`),
  ];
  return names.reverse().join(" → ");
}

/** The controller; of what has none, whatever else owns it: not every operator says that it controls what it made. */
function ownerOf(object: StoredObject | undefined): V1OwnerReference | undefined {
  const owners = object?.metadata?.ownerReferences ?? [];
  return owners.find(({ controller }) => controller) ?? owners[0];
}

export function uidOf({ metadata }: StoredObject): string {
  return metadata?.uid ?? "";
}
