import type { KubernetesApi } from "../../clients";
import type { Finding } from "../agreement";
import type { VolumeRef } from "../ledger";
import type { WorkloadRecord } from "./record";

export interface ObservedWorkloads {
  readonly record: WorkloadRecord;
  /** Everything that `stop` cannot stop; with any of these nothing may be stopped. */
  readonly findings: readonly Finding[];
}

/**
 * Who uses the claim: found from the pods that refer to it, and from pod templates and volumeClaimTemplates that would (a Deployment at 0 replicas, a
 * suspended CronJob, a StatefulSet whose template makes this claim's name). Pods and Jobs that have ended count for nothing, nor do those of a migration.
 * Changes nothing. What is stopped already is recorded with its original, not with what it was set to.
 */
export async function observeWorkloads(kubernetes: KubernetesApi, volume: VolumeRef): Promise<ObservedWorkloads> {
  throw new Error(`not built yet: ${JSON.stringify([volume, await kubernetes.version()])}`);
}
