import type { KubernetesApi, StoredObject } from "../../clients";
import { autoscalers } from "../../kinds";
import type { Finding } from "../agreement";
import { holdOf } from "./hold";
import { kindOf, levers } from "./levers";
import { ownerName, type OwnerRecord, type PauseRecord, type WorkloadRecord } from "./record";
import { describeSource, pausedByHand, pausedByHandCommand, sourcesOf, type Source } from "./sources";
import type { Workload } from "./template";

export interface Undoers {
  /** What `stop` pauses and `resume` lets go on; to be written into the record's `paused`. */
  readonly paused: readonly PauseRecord[];
  /** What only a person can pause, each with the one next command. */
  readonly findings: readonly Finding[];
  /** What was found and does no harm, to tell the operator. */
  readonly notes: readonly string[];
}

interface Found {
  readonly paused: PauseRecord[];
  readonly findings: Finding[];
  readonly notes: string[];
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

/**
 * The controller leaves a target alone that is at 0 (condition ScalingActive=False, reason ScalingDisabled), unless its minReplicas is 0, which an API server takes
 * only with the feature HPAScaleToZero. What it had worked out before is refused by the API server, since the number was changed in between.
 */
async function lookAtAutoscalers(kubernetes: KubernetesApi, record: WorkloadRecord, found: Found): Promise<void> {
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
async function lookAtKeda(kubernetes: KubernetesApi, record: WorkloadRecord, found: Found): Promise<void> {
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

interface Kept {
  readonly owner: OwnerRecord;
  readonly live: Workload;
  readonly source: Source;
}

async function lookAtSource(kubernetes: KubernetesApi, kept: Kept, found: Found): Promise<void> {
  const { owner, live, source } = kept;
  // What it left at rest before we came it does not start now.
  if (owner.kind !== "Pod" && levers[owner.kind].wasAtRest(owner.original)) return;
  if (pausedByHand(live, source.tool)) {
    found.notes.push(`${ownerName(owner)}: ${describeSource(source)} is paused, as its annotation says`);
    return;
  }
  switch (source.tool) {
    case "Argo CD":
      return lookAtArgo(kept, source, found);
    case "Flux":
      return lookAtFlux(kubernetes, kept, source, found);
    case "Fleet":
      return lookAtFleet(kubernetes, kept, source, found);
    case "Helm":
    case "K3s":
      // Both deploy when a person changes something, not by themselves.
      found.notes.push(`${ownerName(owner)}: deploy nothing from ${describeSource(source)} until it runs again`);
  }
}

/** Any automated sync: without selfHeal the next commit, to whatever file of it, brings the workload back as well. */
function lookAtArgo(kept: Kept, { live: application }: Extract<Source, { tool: "Argo CD" }>, found: Found): void {
  const what = `${ownerName(kept.owner)}: ${describeSource(kept.source)}`;
  if (!application) {
    found.findings.push(elsewhere(kept, "switch off its automated sync there"));
    return;
  }
  const automated = application.spec?.syncPolicy?.automated;
  if (!automated || automated.enabled === false) {
    found.notes.push(`${what} syncs when told to: do not, until it runs again`);
    return;
  }
  const { name, namespace } = application.metadata ?? {};
  const patch = JSON.stringify({ spec: { syncPolicy: { automated: null } } });
  found.findings.push({
    why: `${what} would start it again: automated sync${automated.selfHeal ? " with selfHeal" : ", at the next commit"}`,
    next: `\`kubectl -n ${namespace} patch applications.argoproj.io ${name} --type merge -p '${patch}'\`, or where the Application itself comes from`,
  });
}

const fluxKinds = {
  Kustomization: ["v1", "v1beta2"].map((version) => `kustomize.toolkit.fluxcd.io/${version}`),
  HelmRelease: ["v2", "v2beta2", "v2beta1"].map((version) => `helm.toolkit.fluxcd.io/${version}`),
};

/** `spec.suspend` is what `flux suspend` sets; it stays, unless the file of the object itself says otherwise. */
async function lookAtFlux(
  kubernetes: KubernetesApi,
  kept: Kept,
  { kind, namespace, name }: Extract<Source, { tool: "Flux" }>,
  found: Found,
): Promise<void> {
  for (const apiVersion of fluxKinds[kind]) {
    const live = await kubernetes.read<Workload>({ apiVersion, kind }, name, namespace);
    if (!live) continue;
    const writer = live.metadata?.managedFields?.find(
      ({ manager, fieldsV1 }) =>
        manager === "kustomize-controller" && JSON.stringify(fieldsV1 ?? {}).includes('"f:suspend"'),
    );
    if (!writer) {
      pause({ ...live, apiVersion, kind }, kind, found);
      return;
    }
    found.findings.push({
      why: `${ownerName(kept.owner)}: ${describeSource(kept.source)} would start it again, and its own file says whether it is suspended`,
      next: `write suspend: true in that file; once it rests, ${pausedByHandCommand(kept.live, kept.source.tool)}`,
    });
    return;
  }
  found.findings.push(
    elsewhere(kept, `suspend it there (\`flux suspend ${kind.toLowerCase()} ${name} -n ${namespace}\`)`),
  );
}

interface BundleDeployment extends StoredObject {
  spec?: { paused?: boolean };
}
const bundleDeployments = { apiVersion: "fleet.cattle.io/v1alpha1", kind: "BundleDeployment" };

/** Bundles are in Rancher's own cluster, which this one only is when Rancher runs in it. With or without correctDrift: the next commit deploys it whole. */
async function lookAtFleet(
  kubernetes: KubernetesApi,
  kept: Kept,
  { id }: Extract<Source, { tool: "Fleet" }>,
  found: Found,
): Promise<void> {
  const live = (await kubernetes.list<BundleDeployment>(bundleDeployments)).find(({ metadata }) =>
    `-${id}-`.includes(`-${metadata?.name}-`),
  );
  if (live?.spec?.paused) return;
  const bundle = live?.metadata?.labels?.["fleet.cattle.io/bundle-name"] ?? id;
  const namespace = live?.metadata?.labels?.["fleet.cattle.io/bundle-namespace"] ?? "fleet-default";
  const patch = JSON.stringify({ spec: { paused: true } });
  const command = `\`kubectl -n ${namespace} patch bundles.fleet.cattle.io ${bundle} --type merge -p '${patch}'\``;
  if (!live) {
    found.findings.push(elsewhere(kept, `pause it in Rancher's own cluster, at its GitRepo (spec.paused)`));
    return;
  }
  found.findings.push({
    why: `${ownerName(kept.owner)}: ${describeSource(kept.source)} would start it again, at the next commit or by correctDrift`,
    next: `pause it at its GitRepo (spec.paused), or, where it has none, ${command}`,
  });
}

/** What deploys into this cluster from another one, where nothing can be read. */
function elsewhere({ owner, live, source }: Kept, how: string): Finding {
  return {
    why: `${ownerName(owner)}: ${describeSource(source)} is not in this cluster, so nobody here knows whether it would start it again`,
    next: `${how}, then say so: ${pausedByHandCommand(live, source.tool)}`,
  };
}

/** Noted for a pause, unless a person has paused it already. */
function pause(object: Workload, kind: PauseRecord["kind"], found: Found): void {
  const { apiVersion = "", metadata } = object;
  const { namespace = "", name = "", uid = "" } = metadata ?? {};
  const record: PauseRecord = { apiVersion, kind, namespace, name, uid };
  if (levers[kind].atRest(object) && !holdOf(object)) found.notes.push(`${ownerName(record)} is paused already`);
  else found.paused.push(record);
}
