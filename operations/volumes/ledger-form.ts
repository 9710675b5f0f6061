import { z } from "zod";
import { workloadRecord } from "./workloads/record";

/** What a ledger holds; reading and writing it is ledger.ts's. */

/**
 * How far a volume is, in order. `copied`: a copy Job ended well. `warm`: a copy is there, and the workload may have gone on writing since. `verified`: a
 * comparison found no difference while nothing mounted the old volume. `quiesced`: the workload is stopped and the fence stands. `settled`: behind that fence the
 * last changes were copied, and a comparison of everything found no difference. `switching`: the workload is being given the new volume, and may be on either.
 * `switched`: it lives on the new volume and has answered there. `finalized`: there is no way back, and the old volume may go.
 */
export const ledgerPhases = [
  "prepared",
  "copied",
  "warm",
  "verified",
  "quiesced",
  "settled",
  "switching",
  "switched",
  "finalized",
] as const;
export type LedgerPhase = (typeof ledgerPhases)[number];

/** How a workload comes to its new volume: its pod template names the new claim, or the new volume takes the old claim's name. */
export const switches = ["new-claim", "same-name"] as const;
export type Switch = (typeof switches)[number];

const count = z.int().min(0);
const time = z.iso.datetime();

/** A pod that refers to a claim. */
const consumerSchema = z.strictObject({
  pod: z.string(),
  /** `StatefulSet/valheim`; absent for a bare pod. */
  owner: z.string().optional(),
  /** Absent while no node has been chosen: it cannot have written yet. */
  node: z.string().optional(),
});
export type Consumer = z.infer<typeof consumerSchema>;

/** What one verification found, and what was known of the old volume's users around it. */
const comparisonSchema = z.strictObject({
  attempt: z.int().min(1),
  at: time,
  /** UID of the verification pod: the same pod's findings are judged once. */
  pod: z.string(),
  entries: count,
  bytes: count,
  differences: count,
  /** The first differing files, as the verification names them. */
  first: z.array(z.string()),
  /** Hash over everything compared, old side. */
  manifest: z.string(),
  /** Files that went away while they were compared: somebody was writing. */
  vanished: count,
  /** Who used the old claim before and after. */
  consumers: z.array(consumerSchema),
  /** Who used the new one. */
  targetConsumers: z.array(consumerSchema),
  /** The fence behind which it was made; absent for one of a volume in use. */
  fence: z.string().optional(),
});
export type Comparison = z.infer<typeof comparisonSchema>;

/** A claim as it was before the switch took its name, with everything that it takes to make it anew over the same volume. */
const keptClaimSchema = z.strictObject({
  name: z.string(),
  uid: z.string(),
  /** Its PersistentVolume. */
  volume: z.string(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
  accessModes: z.array(z.string()),
  storageClassName: z.string().optional(),
  /** What it asks for. */
  storage: z.string(),
  volumeMode: z.string().optional(),
});
export type KeptClaim = z.infer<typeof keptClaimSchema>;

/** One cutover, from before the first thing that it stops. A rollback ends it. */
const cutoverSchema = z.strictObject({
  at: time,
  /** The file's `attempt` and `switch` that began it. */
  attempt: z.int().min(1),
  switch: z.enum(switches),
  /** Who uses the old claim and what puts each back as it was, from before the first of them is stopped. */
  workload: workloadRecord,
  /** Written once nothing mounted either claim: what is copied, compared and switched carries it. */
  fence: z
    .strictObject({
      id: z.string(),
      at: time,
      /** UIDs of pods that refer to a claim and had ended by then: every other one has come since. */
      ended: z.array(z.string()),
      /** `metadata.generation` of each stopped owner by name: a higher one was changed since, even if it was changed back. */
      generations: z.record(z.string(), z.int()),
    })
    .optional(),
  /** What the comparison behind the fence found. */
  comparison: comparisonSchema.optional(),
  /** Both claims as they were, written before the first of them is touched; for `same-name` alone. */
  claims: z.strictObject({ source: keptClaimSchema, target: keptClaimSchema }).optional(),
  /** The claim that the workload has from the switch on. */
  live: z.strictObject({ claim: z.string(), uid: z.string() }).optional(),
  /** Who used that claim when a rollback began, from before the first of them is stopped. */
  back: workloadRecord.optional(),
});
export type Cutover = z.infer<typeof cutoverSchema>;

/** The last way back, which stays until another cutover begins. */
const rollbackSchema = z.strictObject({
  /** `begun`: stopped half-way, the same command goes on. */
  state: z.enum(["begun", "done"]),
  at: time,
  /** Where the volume was. */
  from: z.enum(ledgerPhases),
  /** The cutover's; another one needs a higher one. */
  attempt: z.int().min(1),
  /** The new volume may hold what the workload wrote there: it is never copied over. */
  used: z.boolean(),
  /** The workload has its old volume again, and only has to be started. */
  returned: z.boolean().optional(),
});

/** Who deletes a volume's data once its claim goes, as it was before the program set `Retain`. */
const reclaimSchema = z.strictObject({ volume: z.string(), policy: z.string() });

/** Strict, so that a checkout that is older than the ledger refuses it instead of dropping what it does not know. */
export const ledgerSchema = z.strictObject({
  version: z.literal(1),
  /** `<namespace>/<claim>`: the ConfigMap's name alone is ambiguous (`a-b`/`c` and `a`/`b-c`). */
  volume: z.string(),
  phase: z.enum(ledgerPhases),
  /** The file's `attempt` that brought it here. */
  attempt: z.int().min(1),
  /** The old claim's UID and its PersistentVolume. */
  sourceUid: z.string(),
  sourceVolume: z.string(),
  /** UID under which the copy knows the old claim, where a rollback has made that one anew over the same volume. */
  copiedUid: z.string().optional(),
  /** The new claim; its UID once it exists. */
  targetClaim: z.string(),
  targetUid: z.string().optional(),
  /** When each phase was reached. */
  times: z.partialRecord(z.enum(ledgerPhases), time),
  /** Who used the old claim when the volume was first looked at: what a cutover has to stop. */
  consumers: z.array(consumerSchema),
  /** Who used it right before a verification. */
  observed: z.strictObject({ attempt: z.int().min(1), at: time, consumers: z.array(consumerSchema) }).optional(),
  /** What the phase rests on. */
  comparison: comparisonSchema.optional(),
  /** A later comparison that did not change the phase. */
  later: comparisonSchema.optional(),
  /** Reclaim policies of both volumes before a cutover set them to `Retain`. */
  reclaim: z.strictObject({ source: reclaimSchema, target: reclaimSchema.optional() }).optional(),
  cutover: cutoverSchema.optional(),
  rollback: rollbackSchema.optional(),
  /** Fences of cutovers that were rolled back before the new volume was used: what was copied behind them may be copied over. */
  fencesBefore: z.array(z.string()).optional(),
});

/** One volume's ledger: the truth about it that every operation reads, kept in the cluster beside the data and not in a stack's state. */
export type Ledger = z.infer<typeof ledgerSchema>;

/** Whether `phase` is `other` or comes after it. */
export function hasReached(phase: LedgerPhase, other: LedgerPhase): boolean {
  return ledgerPhases.indexOf(phase) >= ledgerPhases.indexOf(other);
}

/**
 * Whether what is copied and compared while the workload runs is of no interest any more: a cutover has begun, or one was rolled back before the new volume was
 * used, whose final pass may stand half done in it.
 */
export function isPastCopy({ phase, cutover, rollback }: Ledger): boolean {
  return hasReached(phase, "quiesced") || cutover !== undefined || rollback !== undefined;
}
