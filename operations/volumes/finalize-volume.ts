import { z } from "zod";
import { keptClaimName } from "../../environment/volume-name";
import type { Clients } from "../clients";
import { claims, debianLabels, nodes, volumes } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called } from "./agreement";
import { consumersOf } from "./consumers";
import { requireCutover, cutoverInput, inCutover, type CutoverLedger, type CutoverVolume } from "./cutover-input";
import { hasReached, writeLedger, type Ledger } from "./ledger";
import { setReclaimPolicy } from "./reclaim";

/** What the Job that removes the migration's own folder from the new volume is made from. */
export interface Released {
  /** The claim that the workload lives on. */
  readonly claim: string;
  readonly uid: string;
  /** UID under which the folder's marker knows the old claim. */
  readonly sourceUid: string;
  /** Where the Job's pod can mount it: on the node of the workload, while that runs. */
  readonly nodeSelector: Readonly<Record<string, string>>;
}

/** By which a pod is kept to one node; its value need not be the node's name. */
const hostnameLabel = "kubernetes.io/hostname";

/** Before the old volume is let go of: a verified switch, and the workload's claim as the switch left it. Changes nothing. */
export const prepareFinalize = defineOperation({
  verb: "prepare-finalize",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, { kubernetes, log }): Promise<Released> {
    const ledger = await requireSwitched(kubernetes, volume);
    const { live } = ledger.cutover;
    const found = live && (await kubernetes.read(claims, live.claim, volume.namespace));
    if (!hasReached(ledger.phase, "finalized") && (!live || found?.metadata?.uid !== live.uid)) {
      throw new Refusal({
        what: `${called(volume)}: not finalized`,
        why: `the claim that the workload was switched to (${live?.claim ?? "none"}) is ${found ? "not the same any more" : "gone"}`,
        next: `see what became of it: \`kubectl -n ${volume.namespace} get persistentvolumeclaims\``,
      });
    }
    const users = await consumersOf(kubernetes, volume.namespace, live?.claim ?? "");
    const node = users.find((user) => user.node !== undefined)?.node;
    const hostname =
      node === undefined ? undefined : (await kubernetes.read(nodes, node))?.metadata?.labels?.[hostnameLabel];
    log(`${called(volume)}: ${node === undefined ? "nobody uses the new volume now" : `in use on ${node}`}`);
    return {
      claim: live?.claim ?? "",
      uid: live?.uid ?? "",
      sourceUid: ledger.copiedUid ?? ledger.sourceUid,
      // A volume of Longhorn that one node has attached can be mounted on no other.
      nodeSelector: node === undefined ? { ...debianLabels } : { [hostnameLabel]: hostname ?? node },
    };
  },
});

const input = z.strictObject({ ...cutoverInput.shape });

/** What was let go of, and what is still there. */
export interface Finalized {
  /** What stays until a person deletes it. */
  readonly kept: readonly string[];
}

/**
 * There is no way back from here. Deletes nothing: both volumes get the reclaim policies back that they had, where they are bound to a claim, so that the old
 * data goes once a person deletes the claim that keeps it. Of a volume without a claim the policy stays `Retain`: with `Delete` it would go at once.
 */
export const finalizeVolume = defineOperation({
  verb: "finalize-volume",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Finalized> {
    const ledger = await requireSwitched(clients.kubernetes, volume);
    const kept = await letGo(clients, volume, ledger);
    await writeLedger(clients, volume, (current): Ledger => {
      const now = inCutover(current, volume);
      return hasReached(now.phase, "finalized") ? now : { ...now, phase: "finalized" };
    });
    for (const line of kept) clients.log(`${called(volume)}: ${line}`);
    return { kept };
  },
});

async function requireSwitched(kubernetes: Clients["kubernetes"], volume: CutoverVolume): Promise<CutoverLedger> {
  const ledger = await requireCutover(kubernetes, volume);
  const { comparison, fence } = ledger.cutover;
  if (hasReached(ledger.phase, "switched") && comparison?.differences === 0 && comparison.fence === fence?.id)
    return ledger;
  throw new Refusal({
    what: `${called(volume)}: not finalized, and nothing was let go of`,
    why: `the ledger says ${ledger.phase}: nothing shows that the workload lives on a new volume without a difference`,
    next: "write stage: cutover and run `pulumi up` first",
  });
}

async function letGo(clients: Clients, volume: CutoverVolume, ledger: CutoverLedger): Promise<string[]> {
  const { reclaim, cutover } = ledger;
  const old = cutover.switch === "same-name" ? keptClaimName(volume) : volume.claim;
  const kept: string[] = [];
  for (const [record, claim] of [
    [reclaim?.source, old],
    [reclaim?.target, cutover.live?.claim ?? ""],
  ] as const) {
    if (!record) continue;
    const isOld = record === reclaim?.source;
    const found = await clients.kubernetes.read(volumes, record.volume);
    if (!found) {
      kept.push(`${isOld ? "the old" : "the new"} PersistentVolume ${record.volume} is gone already`);
      continue;
    }
    const holder = await clients.kubernetes.read(claims, claim, volume.namespace);
    const bound =
      found.status?.phase === "Bound" &&
      holder?.spec?.volumeName === record.volume &&
      // Somebody has deleted it, and only a pod that names it still keeps it: its volume is about to be released.
      holder.metadata?.deletionTimestamp === undefined;
    if (bound && found.spec?.persistentVolumeReclaimPolicy !== record.policy)
      await setReclaimPolicy(clients, record.volume, record.policy);
    if (!isOld) continue;
    kept.push(
      bound
        ? `the old data stays in claim ${claim} (PersistentVolume ${record.volume}, reclaim policy ${record.policy}) until you delete it: \`kubectl -n ${volume.namespace} delete persistentvolumeclaim ${claim}\``
        : `the old data stays in PersistentVolume ${record.volume}, which no claim keeps any more: its reclaim policy stays Retain`,
    );
  }
  return kept;
}
