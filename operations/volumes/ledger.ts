import type { V1ConfigMap } from "@kubernetes/client-node";
import { z } from "zod";
import { ApiRefusal, type Clients, type KubernetesApi } from "../clients";
import { configMaps } from "../kinds";
import { Refusal } from "../refusal";
import { hasReached, ledgerSchema, type Ledger } from "./ledger-form";

export { hasReached, isPastCopy, ledgerPhases } from "./ledger-form";
export type { Comparison, Consumer, Ledger, LedgerPhase } from "./ledger-form";

/** The namespace of everything that this program keeps in the cluster for itself. */
export const ledgerNamespace = "home-cluster";

/** A volume by what names it in the file. */
export interface VolumeRef {
  readonly namespace: string;
  readonly claim: string;
}

/** The ConfigMap that holds the ledger. */
export function ledgerName({ namespace, claim }: VolumeRef): string {
  return `volume-${namespace}-${claim}`;
}

/** undefined when the volume has none yet. A broken one is refused: reading it as "none" would begin a migration over a finished one. */
export async function readLedger(kubernetes: KubernetesApi, volume: VolumeRef): Promise<Ledger | undefined> {
  const stored = await kubernetes.read(configMaps, ledgerName(volume), ledgerNamespace);
  return stored && parseLedger(stored, volume);
}

/**
 * Reads the ledger, changes it and writes it with the resourceVersion that was read; when someone wrote in between, it reads and changes again, so `change`
 * must depend on nothing but what it is given. Stamps `times` when a phase is reached. A phase never goes back: `change` that would do so is refused, with
 * two exceptions: a copy of a higher attempt into another claim (of another name or UID) begins anew while nothing later than `warm` was reached, and a rollback
 * that is written down takes any phase but `finalized` back to `warm`. Returns what now stands.
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
  if (hasReached(next.phase, current.phase) || beginsAnew(current, next) || rollsBack(current, next)) return;
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

/** The workload goes back to the old volume: nothing may rely on the new one from before the first step of that. */
function rollsBack(current: Ledger, next: Ledger): boolean {
  return (
    current.phase !== "finalized" &&
    current.rollback?.state !== "begun" &&
    next.phase === "warm" &&
    next.rollback?.state === "begun"
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
