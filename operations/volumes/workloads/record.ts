import { z } from "zod";

const text = z.string().min(1);
const identity = { namespace: text, name: text, uid: text };

/** How the pods of an owner refer to the claim. */
const reference = z.discriminatedUnion("by", [
  /** By volumes of the pod template (of a bare pod: of itself) with these names. Never empty. */
  z.strictObject({ by: z.literal("template"), volumes: z.array(text).min(1) }),
  /** By a StatefulSet's volumeClaimTemplate of this name, which makes the claim's name and cannot be changed. */
  z.strictObject({ by: z.literal("claim-template"), template: text }),
]);
export type ClaimReference = z.infer<typeof reference>;

/** `apps/v1` owners whose `replicas` are set to 0. */
const replicated = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.enum(["Deployment", "StatefulSet", "ReplicaSet"]),
  ...identity,
  reference,
  original: z.strictObject({ replicas: z.int().min(0) }),
});

/** Gets a node selector that no node meets beside those it has. */
const daemonSet = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("DaemonSet"),
  ...identity,
  reference,
  original: z.strictObject({ nodeSelector: z.record(z.string(), z.string()) }),
});

/** Is suspended. Of a Job, that deletes its pods; of a CronJob, it leaves running Jobs to their end. */
const suspended = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.enum(["CronJob", "Job"]),
  ...identity,
  reference,
  original: z.strictObject({ suspend: z.boolean() }),
});

/** Is deleted, and made again. */
const barePod = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  ...identity,
  reference,
  /**
   * As it has to be created again: without what the server and the scheduler filled in. Environment variables written into it are in here: it goes into
   * the ledger, which those may read who may read the pod, and is never printed.
   */
  original: z.strictObject({ manifest: z.record(z.string(), z.unknown()) }),
});

/** A top owner of pods that refer to the claim: what `stop` changes of it (by kind) and how that was before. */
export const ownerRecord = z.discriminatedUnion("kind", [replicated, daemonSet, suspended, barePod]);
export type OwnerRecord = z.infer<typeof ownerRecord>;

/** Something that would undo a stop and that `stop` pauses first: a KEDA ScaledObject by annotation, Flux's objects by `spec.suspend`. */
const pauseRecord = z.strictObject({
  /** As the cluster serves it. */
  apiVersion: text,
  kind: z.enum(["ScaledObject", "Kustomization", "HelmRelease"]),
  ...identity,
});
export type PauseRecord = z.infer<typeof pauseRecord>;

/**
 * Part of a volume's ledger: who uses the claim, and what puts everything back as it was. Written before anything is stopped. While an owner is stopped the same
 * original stands in an annotation of its own (hold.ts), which is what `resume` goes by; the record is what is left when that was lost.
 */
export const workloadRecord = z.strictObject({
  /** `<namespace>/<claim>` as the file names the volume: for whom owners are stopped, whichever claim they have at the time. */
  volume: text,
  namespace: text,
  /** The claim that they were found by. */
  claim: text,
  owners: z.array(ownerRecord),
  /** Empty until `undoers` was asked; the caller adds what it returned. */
  paused: z.array(pauseRecord),
});
export type WorkloadRecord = z.infer<typeof workloadRecord>;

/** `Deployment games/valheim`. */
export function ownerName({ kind, namespace, name }: Pick<OwnerRecord | PauseRecord, "kind" | "namespace" | "name">) {
  return `${kind} ${namespace}/${name}`;
}

/**
 * A fresh look laid over what an earlier one recorded, for a quiesce that runs again after a kill. What is stopped already keeps its original (observing reads it
 * from the owner's annotation); an owner that was made anew takes the place of the one of its name; bare pods that `stop` has deleted stay.
 */
export function withObserved(recorded: WorkloadRecord | undefined, observed: WorkloadRecord): WorkloadRecord {
  if (!recorded) return observed;
  const now = new Set(observed.owners.map(ownerName));
  const gone = recorded.owners.filter((owner) => owner.kind === "Pod" && !now.has(ownerName(owner)));
  const paused = new Set(observed.paused.map(ownerName));
  return {
    ...observed,
    owners: [...observed.owners, ...gone],
    paused: [...observed.paused, ...recorded.paused.filter((one) => !paused.has(ownerName(one)))],
  };
}
