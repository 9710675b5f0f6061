import { z } from "zod";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import { called, declaredVolume, disagreements, refuseFindings, type Finding } from "./agreement";
import { readLedger, type LedgerPhase } from "./ledger";

/** How far each volume is, in the order of the input. */
export interface LedgersRead {
  readonly volumes: readonly {
    readonly namespace: string;
    readonly claim: string;
    readonly newClaim: string;
    /** `none` before its first preflight. */
    readonly phase: LedgerPhase | "none";
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
      read.push({ namespace, claim, newClaim, phase: ledger?.phase ?? "none" });
      for (const { why, next } of disagreements(volume, ledger, live)) {
        findings.push({ why: `${called(volume)}: ${why}`, next: `${called(volume)}: ${next}` });
      }
    }
    refuseFindings("the file and the volumes' ledgers disagree: refused, nothing was touched", findings);
    return { volumes: read };
  },
});
