import type { KubernetesApi } from "../../clients";
import { autoscalers } from "../../kinds";
import { pause, type Found } from "./pause";
import { ownerName, type OwnerRecord, type WorkloadRecord } from "./record";
import type { Workload } from "./template";

/**
 * The controller leaves a target alone that is at 0 (condition ScalingActive=False, reason ScalingDisabled), unless its minReplicas is 0, which an API server takes
 * only with the feature HPAScaleToZero. What it had worked out before is refused by the API server, since the number was changed in between.
 */
export async function lookAtAutoscalers(
  kubernetes: KubernetesApi,
  record: WorkloadRecord,
  found: Found,
): Promise<void> {
  for (const { metadata, spec } of await kubernetes.list(autoscalers, { namespace: record.namespace })) {
    const name = `${record.namespace}/${metadata?.name}`;
    const owner = targetOf(record, spec?.scaleTargetRef);
    // KEDA's own are seen with their ScaledObject, which takes them away while it is paused.
    if (!owner || metadata?.ownerReferences?.some(({ kind }) => kind === "ScaledObject")) continue;
    if (spec?.minReplicas !== 0) {
      found.notes.push(`HorizontalPodAutoscaler ${name} rests while ${ownerName(owner)} is at 0, and goes on after it`);
      continue;
    }
    const patch = JSON.stringify({ spec: { minReplicas: 1 } });
    found.findings.push({
      why: `HorizontalPodAutoscaler ${name} may scale ${ownerName(owner)} up from 0: its minReplicas is 0`,
      next: `\`kubectl -n ${record.namespace} patch hpa ${metadata?.name} --type merge -p '${patch}'\``,
    });
  }
}

interface ScaledObject extends Workload {
  spec?: Workload["spec"] & { scaleTargetRef?: { kind?: string; name?: string } };
}
const scaledObjects = { apiVersion: "keda.sh/v1alpha1", kind: "ScaledObject" };
const pausedReplicas = "autoscaling.keda.sh/paused-replicas";

/** KEDA scales up from 0 by itself, unlike an autoscaler. Its annotation with a number goes before the one that only pauses. */
export async function lookAtKeda(kubernetes: KubernetesApi, record: WorkloadRecord, found: Found): Promise<void> {
  const { namespace } = record;
  for (const object of await kubernetes.list<ScaledObject>(scaledObjects, { namespace })) {
    const owner = targetOf(record, { kind: "Deployment", ...object.spec?.scaleTargetRef });
    if (!owner) continue;
    const { name = "", annotations } = object.metadata ?? {};
    if (annotations?.[pausedReplicas] === undefined) {
      pause({ ...object, ...scaledObjects }, "ScaledObject", found);
      continue;
    }
    found.findings.push({
      why: `ScaledObject ${namespace}/${name} holds ${ownerName(owner)} at ${annotations[pausedReplicas]} by its annotation ${pausedReplicas}`,
      next: `\`kubectl -n ${namespace} annotate scaledobject ${name} ${pausedReplicas}- autoscaling.keda.sh/paused=true\``,
    });
  }
}

function targetOf(
  { owners }: WorkloadRecord,
  target: { kind?: string; name?: string } | undefined,
): OwnerRecord | undefined {
  return owners.find(({ kind, name }) => kind === target?.kind && name === target.name);
}
