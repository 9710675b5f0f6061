import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import { pods } from "../kinds";
import type { Consumer } from "./ledger";
import { isMigration } from "./migration-pod";

/**
 * The pods that use a claim now, ours left out. With `since`, also those that ended after it and are still listed: a CronJob's pod that came and went during a
 * verification has written all the same. A pod that was deleted in between leaves no trace; only the fence of a cutover excludes it.
 */
export async function consumersOf(
  kubernetes: KubernetesApi,
  namespace: string,
  claim: string,
  since?: string,
): Promise<Consumer[]> {
  return (await kubernetes.list(pods, { namespace }))
    .filter((pod) => !isMigration(pod) && refersTo(pod, claim) && (!hasEnded(pod) || endedAfter(pod, since)))
    .map(consumer)
    .sort((a, b) => a.pod.localeCompare(b.pod));
}

/** Those that a node has taken, so that they may have written. */
export function mounting(consumers: readonly Consumer[]): readonly Consumer[] {
  return consumers.filter((consumer) => consumer.node !== undefined);
}

/** `StatefulSet/valheim (pod valheim-0 on debian-1)`. */
export function describeConsumer({ pod, owner, node }: Consumer): string {
  return `${owner ?? "bare pod"} (pod ${pod} ${node === undefined ? "waiting for a node" : `on ${node}`})`;
}

/** Whether the pod names the claim, mounted or not. */
export function refersTo(pod: V1Pod, claim: string): boolean {
  return (pod.spec?.volumes ?? []).some(
    (volume) =>
      volume.persistentVolumeClaim?.claimName === claim ||
      // A generic ephemeral volume's claim has this name by definition.
      (volume.ephemeral && `${pod.metadata?.name}-${volume.name}` === claim),
  );
}

/** Whether it has run to its end, well or not. */
export function hasEnded(pod: V1Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function endedAfter(pod: V1Pod, since: string | undefined): boolean {
  if (since === undefined) return false;
  const statuses: V1ContainerStatus[] = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
  ];
  return statuses.some((status) => {
    const ended = status.state?.terminated?.finishedAt;
    // Text or Date, by how the client reads JSON.
    return ended !== undefined && new Date(ended).getTime() >= new Date(since).getTime();
  });
}

function consumer(pod: V1Pod): Consumer {
  const owner = pod.metadata?.ownerReferences?.find((reference) => reference.controller);
  return {
    pod: pod.metadata?.name ?? "",
    ...(owner && { owner: `${owner.kind}/${owner.name}` }),
    ...(pod.spec?.nodeName !== undefined && { node: pod.spec.nodeName }),
  };
}
