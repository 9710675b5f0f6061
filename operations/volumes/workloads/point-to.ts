import type { Clients, JsonPatch, KubernetesApi } from "../../clients";
import { refuseFindings, called, type Finding } from "../agreement";
import { change } from "./hold";
import { kindOf, levers } from "./levers";
import { ownerName, type OwnerRecord, type WorkloadRecord } from "./record";
import { claimInSourceAnnotation, describeSource, sourcesOf } from "./sources";
import { podTemplate, volumesOf, type Workload } from "./template";

const appliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";
const sameName = "write switch: same-name for this volume, which leaves the workload's own files as they are";

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
  const findings: Finding[] = [];
  for (const owner of record.owners) {
    if (owner.kind === "Pod") continue;
    const live = await kubernetes.read(kindOf(owner), owner.name, owner.namespace);
    if (owner.reference.by === "claim-template") {
      const template = `the volumeClaimTemplate ${owner.reference.template} of ${ownerName(owner)}`;
      findings.push({ why: `${template} makes the claim ${record.claim}, and nothing can change it`, next: sameName });
    } else if (live && volumesOf(podTemplate(live)?.spec, record.claim).length > 0) {
      findings.push(...unreachable(owner, live), ...(await sourceFindings(kubernetes, owner, live, record.claim, to)));
    }
  }
  return findings;
}

/**
 * Patches the pod template of each stopped owner from one claim to the other, under the condition that it still says `from`. Idempotent: what says `to` is
 * left. Bare pods are made again with the claim that `resume` is given. Refuses whole, before the first patch, with `pointFindings` of its own and for owners that
 * are not stopped. Also the way back: `pointTo(clients, record, newClaim, oldClaim)` asks nothing of the sources, since what came from them was never pointed.
 * Returns what it changed, a line each.
 */
export async function pointTo(
  { kubernetes }: Clients,
  record: WorkloadRecord,
  from: string,
  to: string,
): Promise<readonly string[]> {
  const owners = record.owners.filter(({ kind }) => kind !== "Pod");
  const findings =
    `${record.namespace}/${to}` === record.volume ? [] : [...(await pointFindings(kubernetes, record, to))];
  for (const owner of owners) findings.push(...(await runningFindings(kubernetes, owner, from)));
  refuseFindings(
    `${called(record)}: its workload was not pointed from claim ${from} to ${to}, and nothing was changed`,
    findings,
  );
  const lines: string[] = [];
  for (const owner of owners) {
    let said: string[] = [];
    await change(kubernetes, kindOf(owner), owner, (object) => {
      const steps = pointing(object, from, to);
      said = steps.length > 0 ? [pointed(owner, object, to)] : [];
      return steps;
    });
    lines.push(...said);
  }
  return lines;
}

/** Every volume of the template that names the claim, and only that name in it. */
function pointing(object: Workload, from: string, to: string): JsonPatch {
  const template = podTemplate(object);
  return (template?.spec.volumes ?? []).flatMap((volume, index): JsonPatch => {
    if (volume.persistentVolumeClaim?.claimName !== from) return [];
    const path = `${template?.path}/volumes/${index}/persistentVolumeClaim/claimName`;
    return [
      { op: "test", path, value: from },
      { op: "add", path, value: to },
    ];
  });
}

function pointed(owner: OwnerRecord, { metadata }: Workload, to: string): string {
  const applied = metadata?.annotations?.[appliedAnnotation] !== undefined;
  const reminder = `; it was made by \`kubectl apply\`: write the claim ${to} into its file before that is applied again`;
  return `${ownerName(owner)}: uses the claim ${to}${applied ? reminder : ""}`;
}

/** Pods that run while their template changes are replaced one by one: for a moment both volumes would be written. */
async function runningFindings(kubernetes: KubernetesApi, owner: OwnerRecord, from: string): Promise<Finding[]> {
  if (owner.kind === "Pod") return [];
  const live = await kubernetes.read(kindOf(owner), owner.name, owner.namespace);
  if (!live || pointing(live, from, "").length === 0 || levers[owner.kind].atRest(live)) return [];
  return [{ why: `${ownerName(owner)} is not stopped`, next: "run `pulumi up` again, which stops it first" }];
}

/** Templates that their controller does not bring to the pods, or that the API server lets nobody change. */
function unreachable({ kind, namespace, name }: OwnerRecord, { spec }: Workload): Finding[] {
  if (kind === "Job") {
    return [
      {
        why: `Job ${namespace}/${name} uses the claim, and nothing can change a Job's template`,
        next: `let it end, or delete it: \`kubectl -n ${namespace} delete job ${name}\``,
      },
    ];
  }
  if (kind === "Deployment" && spec?.paused) {
    return [
      {
        why: `the rollout of Deployment ${namespace}/${name} is paused, so that its pods would come back with the old template`,
        next: `\`kubectl -n ${namespace} rollout resume deployment ${name}\``,
      },
    ];
  }
  const partition = spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  if (kind === "StatefulSet" && partition > 0) {
    const patch = JSON.stringify({ spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } });
    return [
      {
        why: `StatefulSet ${namespace}/${name} keeps the old template for its first ${partition} pods (updateStrategy.rollingUpdate.partition)`,
        next: `\`kubectl -n ${namespace} patch statefulset ${name} --type merge -p '${patch}'\``,
      },
    ];
  }
  return [];
}

async function sourceFindings(
  kubernetes: KubernetesApi,
  owner: OwnerRecord,
  live: Workload,
  from: string,
  to: string,
): Promise<Finding[]> {
  if (live.metadata?.annotations?.[claimInSourceAnnotation] === to) return [];
  const keepers = [
    ...(await sourcesOf(kubernetes, live)).map(describeSource),
    ...(live.metadata?.ownerReferences ?? []).map(
      ({ kind, name }) => `its operator's ${kind} ${owner.namespace}/${name}`,
    ),
  ];
  const { kind, namespace, name } = owner;
  const say = `\`kubectl -n ${namespace} annotate ${kind.toLowerCase()} ${name} --overwrite ${claimInSourceAnnotation}=${to}\``;
  return keepers.map((keeper) => ({
    why: `${ownerName(owner)} is made from ${keeper}, which would bring the claim ${from} back`,
    next: `${sameName}; or write the claim ${to} there in place of ${from}, without deploying it before the cutover is done, and say so: ${say}`,
  }));
}
