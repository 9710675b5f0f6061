import { z } from "zod";
import type { Clients, KubernetesApi } from "../clients";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import { called, declaredVolume, disagreements, refuseFindings, startsAnew } from "./agreement";
import { consumersOf, describeConsumer } from "./consumers";
import { hasReached, ledgerNamespace, readLedger, writeLedger, type Ledger } from "./ledger";
import { volumeId } from "./migration-pod";
import {
  clusterFindings,
  namespaceFindings,
  runningJobFindings,
  sourceFindings,
  targetFindings,
  type PreflightVolume,
} from "./preflight";

const input = z.strictObject({
  ...declaredVolume.shape,
  oldStorageClass: z.string(),
  /** The class of the new claim. */
  storageClass: z.string(),
  /** As the file declares them. */
  oldSize: z.string(),
});

/** What the Jobs need to know of the claims. */
export interface Prepared {
  /** UID under which the copy knows the old claim. */
  readonly sourceUid: string;
  /** The new claim's, where there is one already. */
  readonly targetUid?: string;
}

/**
 * Looks whether the volume can be copied as declared, reports everything that stands against it at once, and opens its ledger. Writes nothing but the ledger.
 * Converges: run again it looks again, takes note of a raised attempt, and leaves the phase as it is.
 */
export const prepareVolume = defineOperation({
  verb: "prepare-volume",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Prepared> {
    const ledger = await readLedger(clients.kubernetes, volume);
    if (ledger && (ledger.cutover || hasReached(ledger.phase, "quiesced"))) return begun(clients, volume, ledger);
    const live = {
      source: await clients.kubernetes.read(claims, volume.claim, volume.namespace),
      target: await clients.kubernetes.read(claims, volume.newClaim, volume.namespace),
    };
    const consumers = await consumersOf(clients.kubernetes, volume.namespace, volume.claim);
    refuseFindings(`${called(volume)}: not ready to be copied, and nothing was changed`, [
      ...disagreements(volume, ledger, live),
      ...sourceFindings(volume, live.source, consumers),
      ...(await targetFindings(clients.kubernetes, volume, live.target)),
      ...(await preflight(clients.kubernetes, volume)),
    ]);
    const sourceUid = live.source?.metadata?.uid ?? "";
    const fresh: Ledger = {
      version: 1,
      volume: volumeId(volume),
      phase: "prepared",
      attempt: volume.attempt,
      sourceUid,
      sourceVolume: live.source?.spec?.volumeName ?? "",
      targetClaim: volume.newClaim,
      times: {},
      consumers,
      // Of the same old volume still: what it had before we set it is not read from what we set.
      ...(ledger?.reclaim && { reclaim: { source: ledger.reclaim.source } }),
    };
    const written = await writeLedger(clients, volume, (current) =>
      !current || startsAnew(volume, current, live.target) ? fresh : { ...current, attempt: volume.attempt, consumers },
    );
    report(clients, volume, written);
    return jobsNeed({ ...written, ...(live.target?.metadata?.uid && { targetUid: live.target.metadata.uid }) });
  },
});

/** Once a cutover has begun, what is to be copied is no question any more; the claims may be anywhere between their old and their new names. */
async function begun(clients: Clients, volume: PreflightVolume, ledger: Ledger): Promise<Prepared> {
  refuseFindings(
    `${called(volume)}: the file and the ledger disagree, and nothing was changed`,
    disagreements(volume, ledger, {
      source: await clients.kubernetes.read(claims, volume.claim, volume.namespace),
      target: await clients.kubernetes.read(claims, volume.newClaim, volume.namespace),
    }),
  );
  const written = await writeLedger(clients, volume, (current) => ({
    ...(current ?? ledger),
    attempt: volume.attempt,
  }));
  clients.log(`${called(volume)}: its cutover has begun (attempt ${written.attempt}, ledger: ${written.phase})`);
  return jobsNeed(written);
}

function jobsNeed({ copiedUid, sourceUid, targetUid }: Ledger): Prepared {
  return { sourceUid: copiedUid ?? sourceUid, ...(targetUid !== undefined && { targetUid }) };
}

async function preflight(kubernetes: KubernetesApi, volume: PreflightVolume) {
  return [
    ...(await namespaceFindings(kubernetes, volume)),
    ...(await clusterFindings(kubernetes, volume)),
    ...(await runningJobFindings(kubernetes, volume)),
  ];
}

function report({ log }: Clients, volume: PreflightVolume, { phase, attempt, consumers }: Ledger): void {
  const users = consumers.length === 0 ? "nobody" : consumers.map(describeConsumer).join(", ");
  log(
    `${called(volume)}: ready to be copied (attempt ${attempt}, ledger in ${ledgerNamespace}: ${phase}); in use by ${users}`,
  );
}
