import { z } from "zod";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called, rollbackHint } from "./agreement";
import { parseFindings, refuseOtherClaims, verificationPod } from "./conclude-copy";
import { consumersOf } from "./consumers";
import { cutoverInput, downMessage, inCutover, requireCutover, type CutoverVolume } from "./cutover-input";
import { sinceFence } from "./fence";
import { hasReached, writeLedger, type Comparison, type Ledger, type LedgerPhase } from "./ledger";
import { refuseBrokenFence } from "./quiesce-volume";

const input = z.strictObject({
  ...cutoverInput.shape,
  /** The verification Job behind the fence. */
  job: z.string(),
});
type Input = z.infer<typeof input>;

/** What the comparison behind the fence found. */
export interface Settled extends Partial<Pick<Comparison, "entries" | "bytes" | "differences" | "manifest">> {
  readonly phase: LedgerPhase;
}

/**
 * The verdict that a switch rests on: not one difference, found behind the fence that stands now, with nobody seen since it was written. Anything else is
 * refused; the workload stays stopped then, and the message says so, how to go on and how to go back.
 */
export const concludeCutover = defineOperation({
  verb: "conclude-cutover",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Settled> {
    const { kubernetes, log } = clients;
    const ledger = await requireCutover(kubernetes, volume);
    if (hasReached(ledger.phase, "settled")) return { phase: ledger.phase, ...counts(ledger.cutover.comparison) };
    const fence = ledger.cutover.fence?.id;
    const pod = await verificationPod(kubernetes, volume);
    const found = parseFindings(volume, pod);
    if (fence === undefined || found.phase !== "final" || found.fence !== fence)
      refuseOtherFence(volume, fence, found.fence);
    await refuseOtherClaims(kubernetes, volume, ledger);
    const { entries, bytes, differences, first, manifest, vanished } = found;
    const { namespace, claim, newClaim, attempt } = volume;
    const comparison: Comparison = {
      ...{ attempt, at: new Date(clients.clock.now()).toISOString(), pod: pod.metadata?.uid ?? "" },
      ...{ entries, bytes, differences, first, manifest, vanished, fence },
      consumers: await consumersOf(kubernetes, namespace, claim),
      targetConsumers: await consumersOf(kubernetes, namespace, newClaim),
    };
    const since = await sinceFence(kubernetes, volume, ledger.cutover);
    const settled = differences === 0 && vanished === 0 && since.length === 0;
    await writeLedger(clients, volume, (current): Ledger => {
      const now = inCutover(current, volume);
      // Another fence since: these findings are of the one before.
      if (now.cutover.fence?.id !== fence || hasReached(now.phase, "settled")) return now;
      return { ...now, ...(settled && { phase: "settled" }), cutover: { ...now.cutover, comparison } };
    });
    if (since.length > 0) refuseBrokenFence(volume, since);
    if (!settled) refuseDifferences(volume, comparison);
    log(`${called(volume)}: settled; ${entries} entries, ${bytes} bytes, no difference behind fence ${fence}`);
    return { phase: "settled", ...counts(comparison) };
  },
});

function counts(comparison: Comparison | undefined): Omit<Settled, "phase"> {
  if (!comparison) return {};
  const { entries, bytes, differences, manifest } = comparison;
  return { entries, bytes, differences, manifest };
}

function refuseOtherFence(volume: Input, fence: string | undefined, found: string | undefined): never {
  throw new Refusal({
    what: `${called(volume)}: the verification does not count, and nothing was switched`,
    why: `it was made behind ${found === undefined ? "no fence" : `fence ${found}`}, and the ledger's is ${fence ?? "none"}`,
    next: downMessage(volume, `write attempt: ${volume.attempt + 1} and run \`pulumi up\``),
  });
}

function refuseDifferences(volume: CutoverVolume & Pick<Input, "job">, comparison: Comparison): never {
  const { first, differences, vanished } = comparison;
  const more = differences > first.length ? [`and ${differences - first.length} more`] : [];
  const gone = vanished > 0 ? [`${vanished} files went away meanwhile: something writes past Kubernetes`] : [];
  throw new Refusal({
    what: `${called(volume)}: the new volume differs from the old one in ${differences} places with the workload stopped, and nothing was switched`,
    why: [
      "the copy is wrong, or something outside of this cluster writes to the old volume:",
      ...first,
      ...more,
      ...gone,
    ].join("\n        "),
    next:
      `${rollbackHint(volume)}, which starts the workload on the old volume (it is stopped until then); then write attempt: ${volume.attempt + 1} to cut over ` +
      `again; all differences: \`kubectl -n ${volume.namespace} logs job/${volume.job}\``,
  });
}
