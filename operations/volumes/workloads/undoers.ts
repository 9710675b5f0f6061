import type { KubernetesApi } from "../../clients";
import type { Finding } from "../agreement";
import { lookAtAutoscalers, lookAtKeda } from "./autoscalers";
import { lookAtSource } from "./deployers";
import { kindOf } from "./levers";
import type { Found } from "./pause";
import { ownerName, type PauseRecord, type WorkloadRecord } from "./record";
import { sourcesOf } from "./sources";

export interface Undoers {
  /** What `stop` pauses and `resume` lets go on; to be written into the record's `paused`. */
  readonly paused: readonly PauseRecord[];
  /** What only a person can pause, each with the one next command. */
  readonly findings: readonly Finding[];
  /** What was found and does no harm, to tell the operator. */
  readonly notes: readonly string[];
}

/**
 * What would start the workload again while it is stopped. HorizontalPodAutoscalers rest while the target is at 0 and go on afterwards; with minReplicas 0 they do
 * not rest: refused. KEDA's ScaledObjects and Flux's Kustomizations and HelmReleases are paused by `stop`. Argo CD's Applications with automated sync,
 * Fleet's bundles and operators are refused: their own sources would undo a pause of ours. Reads only, and kinds only where the cluster has them.
 */
export async function undoers(kubernetes: KubernetesApi, record: WorkloadRecord): Promise<Undoers> {
  const found: Found = { paused: [], findings: [], notes: [] };
  await lookAtAutoscalers(kubernetes, record, found);
  await lookAtKeda(kubernetes, record, found);
  for (const owner of record.owners) {
    const live = await kubernetes.read(kindOf(owner), owner.name, owner.namespace);
    if (!live) continue;
    for (const source of await sourcesOf(kubernetes, live))
      await lookAtSource(kubernetes, { owner, live, source }, found);
  }
  const paused = new Map(found.paused.map((one) => [ownerName(one), one]));
  return { ...found, paused: [...paused.values()].sort((a, b) => ownerName(a).localeCompare(ownerName(b))) };
}
