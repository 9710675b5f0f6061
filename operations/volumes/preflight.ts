import type { V1Node, V1PersistentVolumeClaim } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import { csiNodes, debianLabels, jobs, namespaces, nodes, storageClasses } from "../kinds";
import { enforceLabel } from "../pod-security";
import type { DeclaredVolume, Finding } from "./agreement";
import { consumersOf, describeConsumer, mounting } from "./consumers";
import type { Consumer } from "./ledger";
import { attemptAnnotation, isMigration, refusedByPodSecurity, volumeAnnotation, volumeId } from "./migration-pod";
import { bytesOf } from "./quantity";

/** What the preflight compares with the cluster. */
export interface PreflightVolume extends DeclaredVolume {
  readonly oldStorageClass: string;
  readonly storageClass: string;
  readonly oldSize: string;
}

/** The old claim: there, bound, on the class and of the size that the file says, and such that a pod of ours can mount it beside its users. */
export function sourceFindings(
  volume: PreflightVolume,
  claim: V1PersistentVolumeClaim | undefined,
  consumers: readonly Consumer[],
): Finding[] {
  const { namespace, oldStorageClass, oldSize, accessMode } = volume;
  const look = `\`kubectl -n ${namespace} get persistentvolumeclaims\``;
  if (!claim)
    return [{ why: `there is no claim ${volumeId(volume)}`, next: `correct namespace and claim in the file: ${look}` }];
  const findings: Finding[] = [];
  const phase = claim.metadata?.deletionTimestamp ? "being deleted" : (claim.status?.phase ?? "of unknown phase");
  if (phase !== "Bound") {
    findings.push({
      why: `the old claim is ${phase}, not Bound`,
      next: `see why: \`kubectl -n ${namespace} describe persistentvolumeclaim ${volume.claim}\``,
    });
  }
  const className =
    claim.spec?.storageClassName ?? claim.metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"];
  if (className !== oldStorageClass) {
    findings.push({
      why: `the old claim is of the storage class ${className ?? "(none)"}, not ${oldStorageClass}`,
      next: `correct oldStorage.storageClass, or take out the volume if it need not move: ${look}`,
    });
  }
  const live = claim.spec?.resources?.requests?.storage;
  if (bytesOf(live) === undefined || bytesOf(live) !== bytesOf(oldSize)) {
    findings.push({
      why: `the old claim asks for ${live ?? "no size"}, and the file says oldSize ${oldSize}`,
      next: `write oldSize: ${live ?? "(its size)"}, and a size that holds it`,
    });
  }
  const modes = claim.spec?.accessModes ?? [];
  if (modes.includes("ReadWriteOncePod")) {
    findings.push({
      why: "the old claim is ReadWriteOncePod: no pod of ours can mount it beside its user",
      next: "move this volume by hand, or restore it from a backup into the new claim",
    });
  }
  const hosts = [...new Set(mounting(consumers).map(({ node }) => node))];
  if (accessMode === "ReadWriteOnce" && hosts.length > 1) {
    findings.push({
      why: `accessMode is ReadWriteOnce, and pods on ${hosts.length} nodes use the volume at once: ${consumers.map(describeConsumer).join(", ")}`,
      next: "write accessMode: ReadWriteMany, or keep its pods on one node",
    });
  }
  return findings;
}

/** The new claim's name: free, or taken by what an earlier run made of the same volume. */
export async function targetFindings(
  kubernetes: KubernetesApi,
  volume: PreflightVolume,
  claim: V1PersistentVolumeClaim | undefined,
): Promise<Finding[]> {
  if (!claim) return [];
  const { namespace, newClaim, storageClass } = volume;
  if (claim.metadata?.annotations?.[volumeAnnotation] !== volumeId(volume)) {
    return [
      {
        why: `the claim ${namespace}/${newClaim} exists and was not made for this volume`,
        next: "write a newClaim that nothing else has",
      },
    ];
  }
  const findings: Finding[] = [];
  if (claim.spec?.storageClassName !== storageClass) {
    findings.push({
      why: `the new claim ${newClaim} is of the storage class ${claim.spec?.storageClassName ?? "(none)"}, not ${storageClass}, which no claim can change`,
      next: "write another newClaim and a higher attempt to copy anew",
    });
  }
  const users = await consumersOf(kubernetes, namespace, newClaim);
  if (users.length > 0) {
    findings.push({
      why: `the new claim ${newClaim} is in use already: ${users.map(describeConsumer).join(", ")}`,
      next: "stop that, or take the volume out of the file if its workload has moved",
    });
  }
  return findings;
}

/** Whether the namespace lets our pods in. Else the Job waits without a pod and without a word until its deadline. */
export async function namespaceFindings(kubernetes: KubernetesApi, { namespace }: PreflightVolume): Promise<Finding[]> {
  const found = await kubernetes.read(namespaces, namespace);
  if (!found)
    return [
      { why: `there is no namespace ${namespace}`, next: "correct namespace in the file: `kubectl get namespaces`" },
    ];
  const reason = refusedByPodSecurity(found.metadata?.labels?.[enforceLabel]);
  if (reason === undefined) return [];
  return [
    {
      why: `the namespace ${namespace} lets no copy in: ${reason}`,
      next: `for the time of the migration: \`kubectl label namespace ${namespace} ${enforceLabel}=baseline --overwrite\``,
    },
  ];
}

/** A class whose claims get their volume at once, and a node of ours that can attach it. */
export async function clusterFindings(
  kubernetes: KubernetesApi,
  { storageClass }: PreflightVolume,
): Promise<Finding[]> {
  const found = await kubernetes.read(storageClasses, storageClass);
  if (!found) {
    return [
      {
        why: `there is no storage class ${storageClass}`,
        next: "run `pulumi up` of the services layer: `kubectl get storageclasses`",
      },
    ];
  }
  const findings: Finding[] = [];
  if (found.volumeBindingMode === "WaitForFirstConsumer") {
    findings.push({
      why: `claims of the storage class ${storageClass} are bound only once a pod uses them, and the copy waits for a bound claim`,
      next: "use a class with volumeBindingMode Immediate, as Longhorn's own is",
    });
  }
  const debian = (await kubernetes.list(nodes, { labels: debianLabels })).filter(takesPods);
  if (debian.length === 0) {
    findings.push({
      why: "no Debian node is Ready and takes pods",
      next: `see why: \`kubectl get nodes -l ${Object.entries(debianLabels)
        .map((pair) => pair.join("="))
        .join(",")}\``,
    });
    return findings;
  }
  for (const node of debian) {
    const drivers = (await kubernetes.read(csiNodes, node.metadata?.name ?? ""))?.spec?.drivers ?? [];
    if (drivers.some((driver) => driver.name === found.provisioner)) return findings;
  }
  findings.push({
    why: `no Debian node that takes pods has the driver ${found.provisioner}: ${debian.map((node) => node.metadata?.name).join(", ")}`,
    next: "wait for Longhorn, or run `pulumi up` of the services layer: `kubectl get csinodes`",
  });
  return findings;
}

/** Two copies into one claim would undo each other: an earlier attempt's Job has to be over. */
export async function runningJobFindings(kubernetes: KubernetesApi, volume: PreflightVolume): Promise<Finding[]> {
  const running = (await kubernetes.list(jobs, { namespace: volume.namespace })).filter(
    (job) =>
      isMigration(job) &&
      job.metadata?.annotations?.[volumeAnnotation] === volumeId(volume) &&
      job.metadata.annotations[attemptAnnotation] !== String(volume.attempt) &&
      !job.status?.conditions?.some(
        ({ type, status }) => (type === "Complete" || type === "Failed") && status === "True",
      ),
  );
  return running.map((job) => ({
    why: `Job ${job.metadata?.name} of another attempt is not over`,
    next: `wait for it, or stop it: \`kubectl -n ${volume.namespace} delete job ${job.metadata?.name}\``,
  }));
}

function takesPods(node: V1Node): boolean {
  const ready = node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  return ready && node.spec?.unschedulable !== true;
}
