import { z } from "zod";
import type { KubernetesApi } from "../clients";
import { Refusal } from "../refusal";
import { called, rollbackHint } from "./agreement";
import { readLedger, type Ledger } from "./ledger";
import { switches, type Cutover } from "./ledger-form";

/** What every step of a cutover is told. */
export const cutoverInput = z.strictObject({
  environment: z.string(),
  namespace: z.string(),
  claim: z.string(),
  newClaim: z.string(),
  switch: z.enum(switches),
  attempt: z.int().min(1),
});
export type CutoverVolume = z.infer<typeof cutoverInput>;

/** A ledger in which a cutover has begun. */
export type CutoverLedger = Ledger & { readonly cutover: Cutover };

/** The ledger of a volume whose cutover has begun and is not being taken back; refused otherwise, so that no step of it does anything on its own. */
export async function requireCutover(kubernetes: KubernetesApi, volume: CutoverVolume): Promise<CutoverLedger> {
  return inCutover(await readLedger(kubernetes, volume), volume);
}

/** The same inside a change of the ledger: what is written says nothing about a cutover that was rolled back meanwhile. */
export function inCutover(ledger: Ledger | undefined, volume: CutoverVolume): CutoverLedger {
  if (ledger?.rollback?.state === "begun") {
    throw new Refusal({
      what: `${called(volume)}: stopped, a rollback to the old volume was begun at ${ledger.rollback.at}`,
      why: "the cutover and its rollback must not work against each other",
      next: rollbackHint(volume),
    });
  }
  if (ledger?.cutover) return { ...ledger, cutover: ledger.cutover };
  throw new Refusal({
    what: `${called(volume)}: ${ledger ? `the ledger says ${ledger.phase}, without a cutover` : "it has no ledger any more"}`,
    why: "this step goes on with a cutover that has stopped the workload and written down how it was",
    next: `write attempt: ${volume.attempt + 1} and run \`pulumi up\`: the cutover begins anew`,
  });
}

/** What the "next" of every message in the middle of a cutover says: how to go on, the workload's state until then, and the way back. */
export function downMessage(volume: CutoverVolume, goOn: string): string {
  return `${goOn}; the workload stays stopped until then. Back to the old volume at any time: ${rollbackHint(volume)}`;
}
