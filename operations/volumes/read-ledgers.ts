import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { z } from "zod";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import {
  called,
  declaredVolume,
  disagreements,
  refuseFindings,
  startsAnew,
  type DeclaredVolume,
  type Finding,
} from "./agreement";
import { hasReached, isPastCopy, readLedger, type Ledger, type LedgerPhase } from "./ledger";

/** How far each volume is, in the order of the input. */
export interface LedgersRead {
  readonly volumes: readonly {
    readonly namespace: string;
    readonly claim: string;
    readonly newClaim: string;
    /** `none` before its first preflight. */
    readonly phase: LedgerPhase | "none";
    /** Whether Jobs of the copy, those behind the fence, and the one at the end have nothing more to do, should one come back. */
    readonly over: { readonly copy: boolean; readonly cutover: boolean; readonly finalize: boolean };
  }[];
}

/**
 * Every volume's ledger, read in each preview and update. Refuses, with all volumes named, when one contradicts the file or the live claims: nothing of the run
 * has been registered then, so that no volume is half done for the sake of another. Reads only.
 */
export const readLedgers = defineOperation({
  verb: "read-ledgers",
  needs: ["kubernetes"],
  schema: z.strictObject({ volumes: z.array(declaredVolume) }),
  async run({ volumes }, { kubernetes }): Promise<LedgersRead> {
    const read: LedgersRead["volumes"][number][] = [];
    const findings: Finding[] = [];
    // One after the other: three requests a volume, and no burst for an API server that runs on small machines.
    for (const volume of volumes) {
      const { namespace, claim, newClaim } = volume;
      const ledger = await readLedger(kubernetes, volume);
      const live = {
        source: await kubernetes.read(claims, claim, namespace),
        target: await kubernetes.read(claims, newClaim, namespace),
      };
      read.push({
        namespace,
        claim,
        newClaim,
        phase: ledger?.phase ?? "none",
        over: over(volume, ledger, live.target),
      });
      for (const { why, next } of disagreements(volume, ledger, live)) {
        findings.push({ why: `${called(volume)}: ${why}`, next: `${called(volume)}: ${next}` });
      }
    }
    refuseFindings("the file and the volumes' ledgers disagree: refused, nothing was touched", findings);
    return { volumes: read };
  },
});

function over(
  volume: DeclaredVolume,
  ledger: Ledger | undefined,
  target: V1PersistentVolumeClaim | undefined,
): LedgersRead["volumes"][number]["over"] {
  // What begins anew has everything before it.
  if (!ledger || startsAnew(volume, ledger, target)) return { copy: false, cutover: false, finalize: false };
  return {
    copy: isPastCopy(ledger),
    cutover: hasReached(ledger.phase, "settled"),
    finalize: hasReached(ledger.phase, "finalized"),
  };
}
