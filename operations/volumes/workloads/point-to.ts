import type { Clients, KubernetesApi } from "../../clients";
import type { Finding } from "../agreement";
import type { WorkloadRecord } from "./record";

/**
 * What stands against `switch: new-claim`, to be asked before anything is stopped: a volumeClaimTemplate, which nothing can change (switch: same-name); an
 * owner whose template comes from a file of Helm, Argo CD, Flux, Fleet or an operator, which would bring the old claim back, with the edit to make there; a
 * template whose change would not reach the pods (a paused rollout, a partition), a Job, whose template is fixed. An owner that says `to` already, because that
 * edit was made, is no finding.
 */
export async function pointFindings(
  kubernetes: KubernetesApi,
  record: WorkloadRecord,
  to: string,
): Promise<readonly Finding[]> {
  throw new Error(`not built yet: ${JSON.stringify([record.claim, to, await kubernetes.version()])}`);
}

/**
 * Patches the pod template of each stopped owner from one claim to the other, under the condition that it still says `from`. Idempotent: what says `to` is
 * left. Bare pods are made again with the claim that `resume` is given. Refuses whole, before the first patch, with `pointFindings` of its own and for owners that
 * are not stopped. Also the way back: `pointTo(clients, record, newClaim, oldClaim)` asks nothing of the sources, since what came from them was never pointed.
 * Returns what it changed, a line each.
 */
export async function pointTo(
  clients: Clients,
  record: WorkloadRecord,
  from: string,
  to: string,
): Promise<readonly string[]> {
  throw new Error(`not built yet: ${JSON.stringify([record.claim, from, to, clients.clock.now()])}`);
}
