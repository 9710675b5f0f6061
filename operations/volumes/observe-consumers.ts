import { z } from "zod";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called } from "./agreement";
import { consumersOf, describeConsumer } from "./consumers";
import { hasReached, isPastCopy, readLedger, writeLedger, type Ledger, type VolumeRef } from "./ledger";

const input = z.strictObject({
  namespace: z.string(),
  claim: z.string(),
  newClaim: z.string(),
  attempt: z.int().min(1),
});

/** Who used the old claim. */
export interface Observed {
  readonly consumers: readonly string[];
}

/**
 * Between the copy and its verification: notes who uses the old claim, and which claim holds the copy. What the verification finds can only be judged
 * by that. The first look of an attempt counts; a later one, after the verification has begun, would say nothing about it.
 */
export const observeConsumers = defineOperation({
  verb: "observe-consumers",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Observed> {
    const { namespace, claim, newClaim, attempt } = volume;
    const known = await requireLedger(clients.kubernetes, volume);
    if (isPastCopy(known)) {
      clients.log(`${called(volume)}: the ledger says ${known.phase}: nobody has to be looked at for a copy any more`);
      return { consumers: [] };
    }
    const target = await clients.kubernetes.read(claims, newClaim, namespace);
    const targetUid = target?.metadata?.uid;
    if (targetUid === undefined || target?.status?.phase !== "Bound") {
      throw new Refusal({
        what: `${called(volume)}: the new claim ${newClaim} is ${target?.status?.phase ?? "gone"} after the copy`,
        why: "what was copied is in its volume",
        next: `see why: \`kubectl -n ${namespace} describe persistentvolumeclaim ${newClaim}\``,
      });
    }
    const consumers = await consumersOf(clients.kubernetes, namespace, claim);
    const at = new Date(clients.clock.now()).toISOString();
    const written = await writeLedger(clients, volume, (current) => {
      const ledger = existing(current, volume);
      if (ledger.observed?.attempt === attempt) return ledger;
      return {
        ...ledger,
        phase: hasReached(ledger.phase, "copied") ? ledger.phase : "copied",
        targetUid,
        observed: { attempt, at, consumers },
      };
    });
    const users = (written.observed?.consumers ?? []).map(describeConsumer);
    clients.log(
      `${called(volume)}: copied; ${users.length === 0 ? "nobody uses" : `${users.join(", ")} may write to`} the old volume`,
    );
    return { consumers: users };
  },
});

/** The ledger, which a preflight must have opened. */
export async function requireLedger(kubernetes: Parameters<typeof readLedger>[0], volume: VolumeRef): Promise<Ledger> {
  return existing(await readLedger(kubernetes, volume), volume);
}

/** The same inside a change of it. */
export function existing(ledger: Ledger | undefined, volume: VolumeRef): Ledger {
  if (ledger) return ledger;
  throw new Refusal({
    what: `${called(volume)}: it has no ledger any more`,
    why: "the preflight had opened one, and without it nobody knows what the copy is of",
    next: "write an attempt that is higher by one, and run `pulumi up`",
  });
}
