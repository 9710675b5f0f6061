import type { V1ConfigMap } from "@kubernetes/client-node";
import { z } from "zod";
import { ApiRefusal, type Clients, type KubernetesApi } from "../clients";
import { configMaps } from "../kinds";
import { Refusal } from "../refusal";

/** The namespace of everything that this program keeps in the cluster for itself. */
export const ledgerNamespace = "home-cluster";

/**
 * How far a volume is, in order. `copied`: a copy Job ended well. `warm`: a copy is there, and the workload may have gone on writing since. `verified`: a
 * comparison found no difference while nothing mounted the old volume. `switched`: the workload lives on the new volume. `finalized`: the old one may go.
 */
export const ledgerPhases = ["prepared", "copied", "warm", "verified", "switched", "finalized"] as const;
export type LedgerPhase = (typeof ledgerPhases)[number];

/** A volume by what names it in the file. */
export interface VolumeRef {
  readonly namespace: string;
  readonly claim: string;
}

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
});
export type Comparison = z.infer<typeof comparisonSchema>;

/** Strict, so that a checkout that is older than the ledger refuses it instead of dropping what it does not know. */
const ledgerSchema = z.strictObject({
  version: z.literal(1),
  /** `<namespace>/<claim>`: the ConfigMap's name alone is ambiguous (`a-b`/`c` and `a`/`b-c`). */
  volume: z.string(),
  phase: z.enum(ledgerPhases),
  /** The file's `attempt` that brought it here. */
  attempt: z.int().min(1),
  /** The old claim's UID and its PersistentVolume. */
  sourceUid: z.string(),
  sourceVolume: z.string(),
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
});

/** One volume's ledger: the truth about it that every operation reads, kept in the cluster beside the data and not in a stack's state. */
export type Ledger = z.infer<typeof ledgerSchema>;

/** The ConfigMap that holds the ledger. */
export function ledgerName({ namespace, claim }: VolumeRef): string {
  return `volume-${namespace}-${claim}`;
}

/** Whether `phase` is `other` or comes after it. */
export function hasReached(phase: LedgerPhase, other: LedgerPhase): boolean {
  return ledgerPhases.indexOf(phase) >= ledgerPhases.indexOf(other);
}

/** undefined when the volume has none yet. A broken one is refused: reading it as "none" would begin a migration over a finished one. */
export async function readLedger(kubernetes: KubernetesApi, volume: VolumeRef): Promise<Ledger | undefined> {
  const stored = await kubernetes.read(configMaps, ledgerName(volume), ledgerNamespace);
  return stored && parseLedger(stored, volume);
}

/**
 * Reads the ledger, changes it and writes it with the resourceVersion that was read; when someone wrote in between, it reads and changes again, so `change`
 * must depend on nothing but what it is given. Stamps `times` when a phase is reached. A phase never goes back: `change` that would do so is refused, with
 * one exception: a copy of a higher attempt into another claim (of another name or UID) begins anew while nothing later than `warm` was reached. Returns what now stands.
 */
export async function writeLedger(
  { kubernetes, clock }: Pick<Clients, "kubernetes" | "clock">,
  volume: VolumeRef,
  change: (current: Ledger | undefined) => Ledger,
): Promise<Ledger> {
  const name = ledgerName(volume);
  for (let round = 0; round < 10; round += 1) {
    const stored = await kubernetes.read(configMaps, name, ledgerNamespace);
    const current = stored && parseLedger(stored, volume);
    const next = stamped(change(current), new Date(clock.now()).toISOString());
    if (current && toText(current) === toText(next)) return current;
    if (current) refuseGoingBack(volume, current, next);
    const body = toConfigMap(volume, next);
    try {
      if (!stored) await kubernetes.create(body);
      // Only `data` is ours: labels and annotations that others put there stay.
      else await kubernetes.replace<V1ConfigMap>({ ...stored, data: body.data });
      return next;
    } catch (error) {
      if (!(error instanceof ApiRefusal) || (error.reason !== "Conflict" && error.reason !== "AlreadyExists"))
        throw error;
    }
  }
  throw new Refusal({
    what: `ledger ${ledgerNamespace}/${name}: not written`,
    why: "somebody else wrote it ten times in a row",
    next: "let only one `pulumi up` of this environment's volumes run, then run it again",
  });
}

function parseLedger(stored: V1ConfigMap, volume: VolumeRef): Ledger {
  const parsed = ledgerSchema.safeParse(fromJson(stored.data?.ledger ?? ""));
  if (parsed.success && parsed.data.volume === `${volume.namespace}/${volume.claim}`) return parsed.data;
  const name = ledgerName(volume);
  throw new Refusal({
    what: `ledger ${ledgerNamespace}/${name} of volume ${volume.namespace}/${volume.claim}: refused, and left as it is`,
    why: parsed.success ? `it belongs to the volume ${parsed.data.volume}` : z.prettifyError(parsed.error),
    next:
      `look at it: \`kubectl -n ${ledgerNamespace} get configmap ${name} -o yaml\`; a newer version of this project may have written it (use that one); ` +
      "delete it only when you know that nothing uses the new claim",
  });
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** With the time of its phase, and as it will be read back: checked, keys in the schema's order, none that is undefined. */
function stamped(ledger: Ledger, now: string): Ledger {
  const times = { ...ledger.times, [ledger.phase]: ledger.times[ledger.phase] ?? now };
  return ledgerSchema.parse(JSON.parse(JSON.stringify({ ...ledger, times })));
}

function toText(ledger: Ledger): string {
  return `${JSON.stringify(ledger, undefined, 2)}\n`;
}

function refuseGoingBack(volume: VolumeRef, current: Ledger, next: Ledger): void {
  if (hasReached(next.phase, current.phase) || beginsAnew(current, next)) return;
  throw new Refusal({
    what: `ledger of volume ${volume.namespace}/${volume.claim}: not set from ${current.phase} back to ${next.phase}`,
    why: "later steps, the retirement of the old nodes among them, may already have relied on it",
    next: `see where it stands: \`kubectl -n ${ledgerNamespace} get configmap ${ledgerName(volume)} -o yaml\``,
  });
}

/** Another copy altogether: what the old one reached says nothing about it, and nobody relies on it before it is verified. */
function beginsAnew(current: Ledger, next: Ledger): boolean {
  return (
    !hasReached(current.phase, "verified") &&
    next.attempt > current.attempt &&
    (next.targetClaim !== current.targetClaim || next.targetUid !== current.targetUid)
  );
}

function toConfigMap(volume: VolumeRef, ledger: Ledger): V1ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: ledgerName(volume),
      namespace: ledgerNamespace,
      labels: { "app.kubernetes.io/managed-by": "home-cluster", "home-cluster/ledger": "volume" },
    },
    data: { ledger: toText(ledger) },
  };
}
