import type { V1Pod } from "@kubernetes/client-node";
import type { KubernetesApi, StoredObject } from "../../clients";
import { claims } from "../../kinds";
import type { Finding } from "../agreement";
import type { VolumeRef } from "../ledger";
import { isMigration, volumeAnnotation, volumeId } from "../migration-pod";
import { chainOf, describeChain, namespaceObjects, uidOf, type Chain, type NamespaceObjects } from "./chain";
import { holdOf, refuseUnreadable } from "./hold";
import { isLeaving, levers } from "./levers";
import { bareManifest } from "./manifest";
import { ownerName, ownerRecord, type ClaimReference, type OwnerRecord, type WorkloadRecord } from "./record";
import { pausedByHand, pausedByHandCommand } from "./sources";
import { referenceOf, volumesOf, type Workload } from "./template";

export interface ObservedWorkloads {
  readonly record: WorkloadRecord;
  /** Everything that `stop` cannot stop; with any of these nothing may be stopped. */
  readonly findings: readonly Finding[];
}

/**
 * Who uses the claim: found from the pods that refer to it, and from pod templates and volumeClaimTemplates that would (a Deployment at 0 replicas, a
 * suspended CronJob, a StatefulSet whose template makes this claim's name). Pods and Jobs that have ended count for nothing, nor do those of a migration.
 * Changes nothing. What is stopped already is recorded with its original, not with what it was set to. `claim` may also be the new one, which says by
 * annotation whose copy it holds: on the way back the workload is found by it.
 */
export async function observeWorkloads(kubernetes: KubernetesApi, volume: VolumeRef): Promise<ObservedWorkloads> {
  const { namespace, claim } = volume;
  const all = await namespaceObjects(kubernetes, namespace);
  const owners = new Map<string, OwnerRecord>();
  const findings = new Map<string, Finding>();
  const add = (chain: Chain, reference: ClaimReference): void => {
    const found = look(chain, reference, volume);
    if (found.owner) owners.set(ownerName(found.owner), owners.get(ownerName(found.owner)) ?? found.owner);
    for (const finding of found.findings) findings.set(finding.why, finding);
  };
  for (const workload of all.workloads.values()) {
    const reference = referenceOf(workload, claim);
    if (reference && uses(workload, all)) add(chainOf(all, workload), reference);
  }
  for (const pod of all.pods.filter((one) => !isMigration(one) && !hasEnded(one))) {
    const volumes = volumesOf(pod.spec, claim);
    if (volumes.length > 0) add(chainOf(all, pod), { by: "template", volumes });
    for (const finding of podFindings(pod, volume)) findings.set(finding.why, finding);
  }
  const sorted = [...owners.values()].sort((a, b) => ownerName(a).localeCompare(ownerName(b)));
  const copyOf = (await kubernetes.read(claims, claim, namespace))?.metadata?.annotations?.[volumeAnnotation];
  const record = { volume: copyOf ?? volumeId(volume), namespace, claim, owners: sorted, paused: [] };
  return { record, findings: [...findings.values()] };
}

export function hasEnded({ status }: V1Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Whether a Job has nothing more to run. */
export function isOver({ kind, status }: Workload): boolean {
  return (
    kind === "Job" &&
    (status?.conditions ?? []).some(
      ({ type, status: is }) => (type === "Complete" || type === "Failed") && is === "True",
    )
  );
}

/** A Deployment's ReplicaSets are its own affair: those of earlier rollouts keep the templates of then, and make no pods. */
function uses(workload: Workload, all: NamespaceObjects): boolean {
  const controlled = chainOf(all, workload).objects.length > 1;
  return !isMigration(workload) && !isOver(workload) && !(workload.kind === "ReplicaSet" && controlled);
}

/** What is recorded of the top of a chain, and what stands against stopping it. */
function look(
  chain: Chain,
  reference: ClaimReference,
  volume: VolumeRef,
): { readonly owner?: OwnerRecord; readonly findings: readonly Finding[] } {
  const top = chain.objects[chain.objects.length - 1] ?? chain.objects[0];
  const [above] = chain.above;
  if (top.kind === "Pod") {
    if (above) return { findings: [foreign(chain, top, above.kind)] };
    return { owner: recordOf(top, reference, { manifest: bareManifest(top) }), findings: barePodFindings(top) };
  }
  const workload: Workload = top;
  const lever = levers[workload.kind as keyof typeof levers];
  const original = { ...lever.original(workload), ...holdOf(workload)?.original };
  const owner = recordOf(workload, referenceOf(workload, volume.claim) ?? reference, original);
  const findings: Finding[] = [];
  const stopped = holdOf(workload) !== undefined || lever.wasAtRest(original);
  if (above && !stopped && !pausedByHand(workload, above.kind)) findings.push(foreign(chain, workload, above.kind));
  return { owner, findings: [...findings, ...workloadFindings(workload, owner)] };
}

function recordOf(object: StoredObject, reference: ClaimReference, original: object): OwnerRecord {
  const { apiVersion, kind } = object;
  const { namespace, name } = object.metadata ?? {};
  const parsed = ownerRecord.safeParse({ apiVersion, kind, namespace, name, uid: uidOf(object), reference, original });
  return parsed.success ? parsed.data : refuseUnreadable(object);
}

/** Whatever made it would put it back, or make it differently tomorrow. */
function foreign(chain: Chain, object: StoredObject, keeper: string): Finding {
  const { namespace, name } = object.metadata ?? {};
  const byHand = object.kind === "Pod" ? "" : `; or ${pausedByHandCommand(object, keeper)}, if nothing brings it back`;
  return {
    why: `${object.kind} ${namespace}/${name} belongs to something that only its own program can stop: ${describeChain(chain)}`,
    next: `stop it through its ${keeper} until its pods are gone, then run \`pulumi up\` again${byHand}`,
  };
}

function barePodFindings(pod: V1Pod): Finding[] {
  const { namespace, name, annotations } = pod.metadata ?? {};
  if (annotations?.["kubernetes.io/config.mirror"] !== undefined) {
    return [
      {
        why: `Pod ${namespace}/${name} is a node's own, from a file on ${pod.spec?.nodeName}`,
        next: `take that file away on the node for the time of the cutover`,
      },
    ];
  }
  if ((pod.spec?.restartPolicy ?? "Always") === "Always") return [];
  return [
    {
      why: `Pod ${namespace}/${name} runs once and has no owner: stopped and made again it would do its work twice`,
      next: `let it end, or delete it: \`kubectl -n ${namespace} delete pod ${name}\``,
    },
  ];
}

function workloadFindings(workload: Workload, { kind, namespace, name, reference }: OwnerRecord): Finding[] {
  const findings: Finding[] = [];
  if (isLeaving(workload)) {
    findings.push({
      why: `${kind} ${namespace}/${name} is being deleted`,
      next: `wait until it is gone: \`kubectl -n ${namespace} wait --for=delete ${kind.toLowerCase()} ${name}\``,
    });
  }
  const { whenScaled } = workload.spec?.persistentVolumeClaimRetentionPolicy ?? {};
  if (reference.by === "claim-template" && whenScaled === "Delete") {
    const policy = JSON.stringify({ spec: { persistentVolumeClaimRetentionPolicy: { whenScaled: "Retain" } } });
    findings.push({
      why: `StatefulSet ${namespace}/${name} deletes its claims, and their data, when it is scaled down`,
      next: `\`kubectl -n ${namespace} patch statefulset ${name} --type merge -p '${policy}'\``,
    });
  }
  return findings;
}

function podFindings(pod: V1Pod, { namespace, claim }: VolumeRef): Finding[] {
  const name = pod.metadata?.name ?? "";
  const findings: Finding[] = [];
  if ((pod.spec?.volumes ?? []).some((volume) => volume.ephemeral && `${name}-${volume.name}` === claim)) {
    findings.push({
      why: `the claim ${volumeId({ namespace, claim })} was made for Pod ${namespace}/${name} and goes with it, whatever it holds`,
      next: "take the volume out of the file: it is of the kind that lasts as long as its pod",
    });
  }
  const debugging = (pod.status?.ephemeralContainerStatuses ?? []).filter(({ state }) => state?.running);
  if (debugging.length > 0 && volumesOf(pod.spec, claim).length > 0) {
    findings.push({
      why: `somebody is debugging Pod ${namespace}/${name} in ${debugging.map((one) => one.name).join(", ")}, which would end with it`,
      next: `wait until they are done, or ask them to leave: \`kubectl -n ${namespace} describe pod ${name}\``,
    });
  }
  return findings;
}
