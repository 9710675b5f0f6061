import type { V1Pod } from "@kubernetes/client-node";
import type { KubernetesApi, Kind, StoredObject } from "../clients";
import { pods } from "../kinds";
import { refersTo } from "./consumers";
import type { CutoverVolume } from "./cutover-input";
import type { Cutover } from "./ledger-form";
import { isMigration } from "./migration-pod";
import { ownerName, type WorkloadRecord } from "./workloads/record";

/** What of the fence is looked up when it is written. */
export type FenceMarks = Pick<NonNullable<Cutover["fence"]>, "ended" | "generations">;

/** By what it is seen later that something has mounted a claim since, or that an owner was started and stopped again. */
export async function fenceMarks(
  kubernetes: KubernetesApi,
  volume: CutoverVolume,
  record: WorkloadRecord,
): Promise<FenceMarks> {
  const ended = (await users(kubernetes, volume)).map((pod) => pod.metadata?.uid ?? "").sort();
  return { ended, generations: await generationsOf(kubernetes, record) };
}

/**
 * What has happened behind the fence, a line each; empty while it stands. Sees pods that are there, ended ones among them, and owners whose specification was
 * changed, changed back or not. A bare pod that was made and deleted in between leaves no trace: what it wrote before the comparison the comparison finds.
 */
export async function sinceFence(
  kubernetes: KubernetesApi,
  volume: CutoverVolume,
  { fence, workload }: Cutover,
): Promise<readonly string[]> {
  if (!fence) return ["there is no fence"];
  const came = (await users(kubernetes, volume))
    .filter((pod) => !fence.ended.includes(pod.metadata?.uid ?? ""))
    .map((pod) => `pod ${pod.metadata?.name} (${pod.status?.phase ?? "of unknown phase"}) refers to the volume`);
  const now = await generationsOf(kubernetes, workload);
  const changed = [...new Set([...Object.keys(fence.generations), ...Object.keys(now)])].flatMap((owner) => {
    if (now[owner] === fence.generations[owner]) return [];
    const how =
      now[owner] === undefined ? "is gone" : fence.generations[owner] === undefined ? "is new" : "was changed";
    return [`${owner} ${how}`];
  });
  return [...came, ...changed];
}

/** Pods of others that refer to either claim, ended ones too. */
async function users(kubernetes: KubernetesApi, { namespace, claim, newClaim }: CutoverVolume): Promise<V1Pod[]> {
  return (await kubernetes.list(pods, { namespace })).filter(
    (pod) => !isMigration(pod) && (refersTo(pod, claim) || refersTo(pod, newClaim)),
  );
}

/**
 * Of a Deployment those of its ReplicaSets: its own counts changed annotations too (Kubernetes' strategy for Deployments), and Rancher writes such ones
 * whenever its pods come or go.
 */
async function generationsOf(kubernetes: KubernetesApi, record: WorkloadRecord): Promise<Record<string, number>> {
  const generations: Record<string, number> = {};
  for (const owner of record.owners) {
    if (owner.kind === "Pod") continue;
    const { apiVersion, kind, name, namespace, uid } = owner;
    const live = await kubernetes.read<StoredObject>({ apiVersion, kind }, name, namespace);
    if (live?.metadata?.uid !== uid) continue;
    if (kind !== "Deployment") generations[ownerName(owner)] = live.metadata.generation ?? 0;
    else
      for (const { metadata } of await kubernetes.list<StoredObject>(replicaSets, { namespace }))
        if (metadata?.ownerReferences?.some((reference) => reference.uid === uid))
          generations[`ReplicaSet ${namespace}/${metadata.name} of ${ownerName(owner)}`] = metadata.generation ?? 0;
  }
  return generations;
}

const replicaSets: Kind = { apiVersion: "apps/v1", kind: "ReplicaSet" };
