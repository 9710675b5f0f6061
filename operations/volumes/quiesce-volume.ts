import { randomUUID } from "node:crypto";
import type { Clients } from "../clients";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called, refuseFindings, rollbackCommand, rollbackHint } from "./agreement";
import { cutoverInput, downMessage, inCutover, type CutoverLedger, type CutoverVolume } from "./cutover-input";
import { fenceMarks, sinceFence } from "./fence";
import { hasReached, writeLedger, type Ledger } from "./ledger";
import { existing, requireLedger } from "./observe-consumers";
import { awaitNoMount } from "./workloads/await-no-mount";
import { observeWorkloads } from "./workloads/observe";
import { ownerName, withObserved, type WorkloadRecord } from "./workloads/record";
import { stop } from "./workloads/stop";
import { undoers } from "./workloads/undoers";

/** What the final pass and its verification carry. */
export interface Quiesced {
  readonly fence: string;
  /** Earlier fences that this one takes the place of, separated by spaces; often empty. */
  readonly supersedes: string;
}

/** Seconds for pods to end: Kubernetes kills one after its own grace period, and some databases are given ten minutes. */
const stopSeconds = 900;

/**
 * Stops the workload: who uses the old claim and how each was is in the ledger before the first of them is touched, and once no pod mounts either claim the
 * fence is. Run again it goes on with the record that is there (a fresh one would say that everything has no replicas), and with the fence, as long
 * as that one stands.
 */
export const quiesceVolume = defineOperation({
  verb: "quiesce-volume",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, clients): Promise<Quiesced> {
    const ledger = await requireLedger(clients.kubernetes, volume);
    if (ledger.rollback?.state === "begun") inCutover(ledger, volume);
    if (hasReached(ledger.phase, "quiesced")) return standing(clients, volume, inCutover(ledger, volume));
    if (!hasReached(ledger.phase, "warm")) {
      throw new Refusal({
        what: `${called(volume)}: its workload is not stopped`,
        why: `the ledger says ${ledger.phase}: there is no warm copy to begin with`,
        next: "write stage: copy and run `pulumi up` first",
      });
    }
    const record = await recorded(clients, volume, ledger);
    for (const line of await stop(clients, record, { rollback: rollbackCommand(volume) }))
      clients.log(`${called(volume)}: ${line}`);
    for (const claim of [volume.claim, volume.newClaim])
      await awaitNoMount(
        clients,
        { namespace: volume.namespace, claim },
        { timeoutSeconds: stopSeconds, rollback: rollbackCommand(volume) },
      );
    const marks = await fenceMarks(clients.kubernetes, volume, record);
    const fence = {
      id: `${volume.attempt}-${randomUUID()}`,
      at: new Date(clients.clock.now()).toISOString(),
      ...marks,
    };
    const written = await writeLedger(clients, volume, (current): Ledger => {
      const now = inCutover(current, volume);
      return now.cutover.fence ? now : { ...now, phase: "quiesced", cutover: { ...now.cutover, fence } };
    });
    clients.log(
      `${called(volume)}: stopped, fence ${fence.id}; next: ${downMessage(volume, "let this `pulumi up` go on, or run it again")}`,
    );
    return carried(inCutover(written, volume));
  },
});

/** The fence of an earlier run. Behind the comparison nothing asks for it any more; before it, it has to stand still. */
async function standing(clients: Clients, volume: CutoverVolume, ledger: CutoverLedger): Promise<Quiesced> {
  if (!hasReached(ledger.phase, "settled")) {
    const since = await sinceFence(clients.kubernetes, volume, ledger.cutover);
    if (since.length > 0) refuseBrokenFence(volume, since);
  }
  return carried(ledger);
}

/** What was copied and compared behind a fence that something has crossed proves nothing. */
export function refuseBrokenFence(volume: CutoverVolume, since: readonly string[]): never {
  throw new Refusal({
    what: `${called(volume)}: the fence does not stand any more, and nothing was switched`,
    why: `something may have written since the workload was stopped: ${since.join("; ")}`,
    next:
      `${rollbackHint(volume)}, which starts the workload on the old volume; ` +
      `then write attempt: ${volume.attempt + 1} to cut over again`,
  });
}

function carried({ cutover, fencesBefore }: CutoverLedger): Quiesced {
  return { fence: cutover.fence?.id ?? "", supersedes: (fencesBefore ?? []).join(" ") };
}

/** Looks who uses the claim, refuses what cannot be stopped or would be undone, and writes the record down. */
async function recorded(clients: Clients, volume: CutoverVolume, ledger: Ledger): Promise<WorkloadRecord> {
  const { kubernetes } = clients;
  const observed = await observeWorkloads(kubernetes, volume);
  const known = ledger.cutover?.workload;
  const looked = await undoers(kubernetes, observed.record);
  refuseFindings(
    known
      ? `${called(volume)}: the workload may be stopped in part, and it cannot be stopped whole. To start it again: ${rollbackHint(volume)}`
      : `${called(volume)}: the workload cannot be stopped, and nothing of it was touched`,
    [...observed.findings, ...looked.findings],
  );
  const workload = withObserved(known, { ...observed.record, paused: [...looked.paused] });
  const at = new Date(clients.clock.now()).toISOString();
  const written = await writeLedger(clients, volume, (current): Ledger => {
    // A rollback that is done makes room for another cutover; one that goes on does not.
    const { rollback, ...now } = existing(current, volume);
    if (rollback?.state === "begun") inCutover({ ...now, rollback }, volume);
    const begun = now.cutover ?? { at, attempt: volume.attempt, switch: volume.switch };
    return { ...now, cutover: { ...begun, workload } };
  });
  clients.log(
    `${called(volume)}: stopping ${workload.owners.length === 0 ? "nothing: nobody uses it" : workload.owners.map(ownerName).join(", ")}`,
  );
  return inCutover(written, volume).cutover.workload;
}
