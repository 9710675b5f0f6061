import type { V1Node, V1PersistentVolumeClaim, V1Pod, V1StatefulSet } from "@kubernetes/client-node";
import type { Clock, Kind, KubernetesApi, StoredObject } from "../../operations/clients";
import { claims, debianLabels, longhornClass, nodes, pods, statefulSets } from "../../operations/kinds";

/** Plausible durations in seconds. */
const seconds = { podEnds: 12, podStarts: 20 };

/**
 * What the StatefulSet controller does after its object was written: pods above the number of replicas end, missing ones start, where their volume can be
 * attached. Each takes its time, as everything at home does.
 */
export async function reconcileStatefulSet(
  api: KubernetesApi,
  clock: Clock,
  name: string,
  namespace: string,
): Promise<void> {
  const own = async (): Promise<readonly V1Pod[]> => {
    const set = await api.read(statefulSets, name, namespace);
    return (await api.list(pods, { namespace })).filter((pod) =>
      pod.metadata?.ownerReferences?.some((owner) => owner.uid === set?.metadata?.uid),
    );
  };
  const wanted = async (): Promise<number> => (await api.read(statefulSets, name, namespace))?.spec?.replicas ?? 0;
  await clock.sleep(((await wanted()) === 0 ? seconds.podEnds : seconds.podStarts) * 1000);
  const set = await api.read(statefulSets, name, namespace);
  if (!set) return;
  const replicas = await wanted();
  const living = await own();
  for (const pod of living.slice(replicas)) await api.remove(pods, pod.metadata?.name ?? "", namespace);
  for (let index = 0; (await own()).length < replicas && index < replicas; index += 1) {
    const pod = `${name}-${index}`;
    if ((await api.read(pods, pod, namespace)) !== undefined) continue;
    await start(api, set, pod);
  }
}

async function start(api: KubernetesApi, set: V1StatefulSet, name: string): Promise<void> {
  const { namespace = "", name: owner = "", uid = "" } = set.metadata ?? {};
  const template = set.spec?.template;
  const node = await nodeFor(
    api,
    namespace,
    template?.spec?.volumes?.flatMap((entry) => entry.persistentVolumeClaim?.claimName ?? []) ?? [],
  );
  const pod: V1Pod = {
    apiVersion: pods.apiVersion,
    kind: pods.kind,
    metadata: {
      name,
      namespace,
      labels: template?.metadata?.labels,
      ownerReferences: [{ ...statefulSets, name: owner, uid, controller: true }],
    },
    spec: { containers: [], ...template?.spec, ...(node !== undefined && { nodeName: node }) },
    status: node === undefined ? { phase: "Pending" } : running(),
  };
  await api.create(pod);
}

/** A node that takes pods; a Debian one where Longhorn has to attach a volume. */
async function nodeFor(api: KubernetesApi, namespace: string, names: readonly string[]): Promise<string | undefined> {
  const mounted = await Promise.all(names.map((name) => api.read<V1PersistentVolumeClaim>(claims, name, namespace)));
  const longhorn = mounted.some((claim) => claim?.spec?.storageClassName === longhornClass);
  const open = (await api.list<V1Node>(nodes, longhorn ? { labels: debianLabels } : {})).filter(
    (node) => node.spec?.unschedulable !== true,
  );
  return open[0]?.metadata?.name;
}

export function isStatefulSet(object: StoredObject | Kind): boolean {
  return object.kind === statefulSets.kind && object.apiVersion === statefulSets.apiVersion;
}

/** The status of a pod whose containers run. */
export function running(): NonNullable<V1Pod["status"]> {
  return { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
}
