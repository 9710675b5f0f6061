import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import type { Finding } from "../cluster/finding";
import { hasEnded, nameOf } from "../cluster/placement";
import type { Snapshot } from "../cluster/snapshot";
import { hasReached, readLedger } from "../volumes/ledger";
import type { RetirementInput } from "./retirement-input";

/** What the preflight needs to know of the storage that is left behind. */
export type StorageFacts = Pick<RetirementInput, "volumes" | "oldStorageClass">;

/** Volumes whose workload does not live on the new storage yet, by their live ledger and by what is mounted now, whatever any state or file says. */
export async function storageFindings(
  kubernetes: KubernetesApi,
  snapshot: Pick<Snapshot, "pods" | "claims" | "volumes">,
  { volumes, oldStorageClass }: StorageFacts,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const volume of volumes) {
    const phase = (await readLedger(kubernetes, volume))?.phase;
    if (phase !== undefined && hasReached(phase, "switched")) continue;
    findings.push({
      what: `volume ${volume.namespace}/${volume.claim} is not switched: ${phase === undefined ? "it has no ledger" : `its ledger says ${phase}`}`,
      remedy: "bring it to the new storage first (`pulumi up` of the volumes layer, stage cutover)",
    });
  }
  const old = (claim: V1PersistentVolumeClaim): boolean => {
    const volume = snapshot.volumes.find((other) => other.metadata?.name === claim.spec?.volumeName);
    return [claim.spec?.storageClassName, volume?.spec?.storageClassName].includes(oldStorageClass);
  };
  for (const pod of snapshot.pods.filter((other) => !hasEnded(other))) {
    for (const name of (pod.spec?.volumes ?? []).flatMap((entry) => entry.persistentVolumeClaim?.claimName ?? [])) {
      const claim = snapshot.claims.find(
        (other) => other.metadata?.namespace === pod.metadata?.namespace && other.metadata?.name === name,
      );
      if (!claim || !old(claim)) continue;
      findings.push({
        what: `pod ${nameOf(pod)} mounts claim ${name} of the old storage class ${oldStorageClass}`,
        remedy:
          "move the claim to the new storage (an entry under `volumes` in the environment file), or stop the workload",
      });
    }
  }
  return findings;
}
