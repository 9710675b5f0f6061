import type { StoredObject } from "../clients";
import type { VolumeRef } from "./ledger";

/** What the pods of the copy and verification Jobs are, so that the preflight refuses what a namespace would, and so that they are told from a workload's. */

/** On every object of ours that serves a migration. */
export const migrationLabels = {
  "app.kubernetes.io/managed-by": "home-cluster",
  "app.kubernetes.io/part-of": "volume-migration",
};

/** Whose migration an object serves, as `<namespace>/<claim>`: an annotation, since a label's value has no slash and at most 63 characters. */
export const volumeAnnotation = "home-cluster/volume";

/** On our Jobs: the file's attempt that made them. */
export const attemptAnnotation = "home-cluster/attempt";

/**
 * What root needs beyond being root, with everything else dropped: to give files away (CHOWN), to read and write what is not its own (DAC_OVERRIDE), to set
 * modes, times, ACLs and hard links of others' files (FOWNER), to keep setuid and setgid bits (FSETID), device files (MKNOD) and file capabilities (SETFCAP).
 * Without the first three files of other users are skipped or lose their owner (peers.md: MongoDB came up empty). SYS_ADMIN, for trusted.* attributes, is left
 * out: no NFS server carries those.
 */
export const copyCapabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"] as const;

/** To read everything. DAC_READ_SEARCH would say less, but the Pod Security level `baseline` refuses it; both mounts are read-only anyway. */
export const verifyCapabilities = ["DAC_OVERRIDE"] as const;

export function volumeId({ namespace, claim }: VolumeRef): string {
  return `${namespace}/${claim}`;
}

/** Whether an object is one of ours. */
export function isMigration(object: StoredObject): boolean {
  return Object.entries(migrationLabels).every(([key, value]) => object.metadata?.labels?.[key] === value);
}

/** What `baseline` lets a container add (Kubernetes, "Pod Security Standards", Baseline, Capabilities). */
const baselineCapabilities: readonly string[] = [
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
];

/** Why a namespace that enforces this Pod Security level refuses such pods; undefined when it takes them. A Job of a refused pod just waits. */
export function refusedByPodSecurity(
  level: string | undefined,
  capabilities: readonly string[] = [...copyCapabilities, ...verifyCapabilities],
): string | undefined {
  if (level === "restricted") return "it enforces the Pod Security level restricted, which takes no root";
  if (level !== "baseline") return undefined;
  const refused = capabilities.filter((capability) => !baselineCapabilities.includes(capability));
  return refused.length > 0
    ? `it enforces the Pod Security level baseline, which takes no ${refused.join(", ")}`
    : undefined;
}
