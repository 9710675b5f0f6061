import type { Clients } from "../clients";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called, refuseFindings, rollbackCommand } from "./agreement";
import { arrangeClaims, asBefore } from "./arrange-claims";
import { cutoverInput, type CutoverLedger, type CutoverVolume } from "./cutover-input";
import { hasReached, readLedger, writeLedger, type Ledger } from "./ledger";
import { ledgerPhases } from "./ledger-form";
import { existing } from "./observe-consumers";
import { pairOf } from "./switch-volume";
import { awaitNoMount } from "./workloads/await-no-mount";
import { observeWorkloads } from "./workloads/observe";
import { pointTo } from "./workloads/point-to";
import { ownerName, withObserved, type WorkloadRecord } from "./workloads/record";
import { resume } from "./workloads/resume";
import { stop } from "./workloads/stop";
import { undoers } from "./workloads/undoers";

/** What the file says of it does not matter: the ledger knows how the cutover was begun. */
const input = cutoverInput.pick({ environment: true, namespace: true, claim: true });
type Input = Pick<CutoverVolume, "environment" | "namespace" | "claim">;

/** What a rollback would do, or did. */
export interface RolledBack {
  /** `nothing`: no cutover has begun, or it was rolled back already. */
  readonly state: "nothing" | "planned" | "done";
  readonly steps: readonly string[];
}

/** Seconds for pods to end, as in the quiesce. */
const stopSeconds = 900;

/** Says what a rollback would do, for the operator to agree to. Reads only. */
export const planRollback = defineOperation({
  verb: "plan-rollback",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<RolledBack> {
    const ledger = await cutoverOf(clients, volume);
    if (!ledger) return { state: "nothing", steps: [] };
    return { state: "planned", steps: planned(volume, ledger) };
  },
});

/**
 * Takes the workload back to the old volume with its replicas, from any point before finalize. Nothing is copied or deleted: what was written to the new
 * volume stays there. The ledger says first that it goes back, so that no step of the cutover goes on beside it; stopped anywhere, the same command goes on.
 */
export const rollbackVolume = defineOperation({
  verb: "rollback-volume",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<RolledBack> {
    const found = await cutoverOf(clients, volume);
    if (!found) {
      clients.log(`${called(volume)}: nothing to roll back`);
      return { state: "nothing", steps: [] };
    }
    const steps = planned(volume, found);
    const ledger = await begin(clients, volume, found);
    const as = asBegun(volume, ledger);
    const record = ledger.cutover.back ?? ledger.cutover.workload;
    if (ledger.cutover.back && !ledger.rollback?.returned) {
      await stopAgain(clients, as, record);
      if (as.switch === "new-claim") tell(clients, as, await pointTo(clients, record, as.newClaim, as.claim));
      else {
        const pair = pairOf(as, ledger.cutover);
        await arrangeClaims(clients, as, pair, asBefore(as, pair), async () => undefined);
      }
    }
    // From here on what runs is the old volume's workload: a run that goes on after a kill must not stop it again.
    await writeLedger(clients, volume, (current): Ledger => {
      const now = existing(current, volume);
      return now.rollback ? { ...now, rollback: { ...now.rollback, returned: true } } : now;
    });
    const { restored, left } = await resume(clients, record, { claim: volume.claim });
    tell(clients, as, [...restored, ...left]);
    await end(clients, as);
    clients.log(`${called(volume)}: back on its old volume`);
    return { state: "done", steps };
  },
});

/** The ledger with the cutover that is to be taken back; undefined when there is none. */
async function cutoverOf({ kubernetes }: Clients, volume: Input): Promise<CutoverLedger | undefined> {
  const ledger = await readLedger(kubernetes, volume);
  if (ledger?.phase === "finalized") {
    throw new Refusal({
      what: `${called(volume)}: not rolled back, it is finalized`,
      why: "the file said that there is no way back any more, and the old volume may be gone",
      next: "what the old volume still holds can be copied by hand: `kubectl get persistentvolumes`",
    });
  }
  if (ledger?.cutover) return { ...ledger, cutover: ledger.cutover };
  if (!ledger || !hasReached(ledger.phase, "quiesced")) return undefined;
  throw new Refusal({
    what: `${called(volume)}: not rolled back`,
    why: `the ledger says ${ledger.phase}, and not how the workload was before`,
    next: "somebody has changed the ledger: put the workload on its old claim by hand",
  });
}

/** Whether the workload may have been started on the new volume. */
function wasUsed({ phase, cutover, rollback }: CutoverLedger): boolean {
  return rollback?.state === "begun" ? rollback.used : hasReached(phase, "switched") || cutover.live !== undefined;
}

function planned(volume: Input, ledger: CutoverLedger): readonly string[] {
  const { cutover } = ledger;
  const from = ledger.rollback?.state === "begun" ? ledger.rollback.from : ledger.phase;
  const owners = cutover.workload.owners.map(ownerName).join(", ");
  const switching = hasReached(from, "switching");
  const used = wasUsed(ledger);
  return [
    ...(used && owners !== "" ? [`stop ${owners}`] : []),
    ...(switching && cutover.switch === "new-claim"
      ? [`point it from claim ${ledger.targetClaim} to ${volume.claim}`]
      : []),
    ...(switching && cutover.switch === "same-name"
      ? [
          `give claim ${volume.claim} its old volume ${cutover.claims?.source.volume ?? ledger.sourceVolume} back, and the new volume the claim ${ledger.targetClaim}`,
        ]
      : []),
    owners === ""
      ? "start nothing: nobody was stopped"
      : `start ${owners} on the old volume, with the replicas of before`,
    ...(used
      ? [
          `leave what was written since the switch on the new volume (claim ${ledger.targetClaim}); it does not come along`,
        ]
      : []),
    "delete no data, and leave both volumes on Retain",
  ];
}

/** Looks first whether it can be done, then writes down that it is being done, before anything is touched. */
async function begin(clients: Clients, volume: Input, found: CutoverLedger): Promise<CutoverLedger> {
  const { kubernetes, clock } = clients;
  const from = found.rollback?.state === "begun" ? found.rollback.from : found.phase;
  // What was never given the new volume is only started again.
  const back =
    hasReached(from, "switching") && !found.rollback?.returned ? await whoUses(clients, volume, found) : undefined;
  const at = new Date(clock.now()).toISOString();
  const written = await writeLedger({ kubernetes, clock }, volume, (current): Ledger => {
    const now = existing(current, volume);
    if (!now.cutover) return now;
    const cutover = { ...now.cutover, ...(back && { back: withObserved(now.cutover.back, back) }) };
    if (now.rollback?.state === "begun") return { ...now, cutover };
    const used = wasUsed({ ...now, cutover: now.cutover });
    return {
      ...now,
      phase: "warm",
      cutover,
      rollback: { state: "begun", at, from: now.phase, attempt: now.attempt, used },
      // Those of a way that was not gone to its end; another cutover reaches them anew.
      times: Object.fromEntries(
        Object.entries(now.times).filter(
          ([phase]) => !ledgerPhases.slice(ledgerPhases.indexOf("quiesced")).some((other) => other === phase),
        ),
      ),
    };
  });
  if (written.cutover) return { ...written, cutover: written.cutover };
  throw new Refusal({
    what: `${called(volume)}: somebody else has just rolled it back`,
    why: "its ledger has no cutover any more",
    next: "see that nobody runs the same command, then run it again",
  });
}

/** Everybody that uses either claim now: the new one may have owners that came after the switch. */
async function whoUses(clients: Clients, volume: Input, ledger: CutoverLedger): Promise<WorkloadRecord> {
  const { kubernetes } = clients;
  const { cutover } = ledger;
  const claim = cutover.switch === "same-name" ? volume.claim : ledger.targetClaim;
  const observed = await observeWorkloads(kubernetes, { namespace: volume.namespace, claim });
  const looked = await undoers(kubernetes, observed.record);
  refuseFindings(`${called(volume)}: not rolled back, the workload cannot be stopped, and nothing of it was touched`, [
    ...observed.findings,
    ...looked.findings,
  ]);
  // Owners that were not pointed at the new claim yet, or are stopped: the quiesce's own record knows them.
  return withOthers({ ...observed.record, paused: [...looked.paused] }, cutover.workload);
}

/** The first record, with those of the other that it does not have. */
function withOthers(record: WorkloadRecord, other: WorkloadRecord): WorkloadRecord {
  const names = new Set(record.owners.map(ownerName));
  const paused = new Set(record.paused.map(ownerName));
  return {
    ...record,
    owners: [...record.owners, ...other.owners.filter((owner) => !names.has(ownerName(owner)))],
    paused: [...record.paused, ...other.paused.filter((one) => !paused.has(ownerName(one)))],
  };
}

async function stopAgain(clients: Clients, volume: CutoverVolume, record: WorkloadRecord): Promise<void> {
  const rollback = rollbackCommand(volume);
  tell(clients, volume, await stop(clients, record, { rollback }));
  for (const claim of [volume.claim, volume.newClaim])
    await awaitNoMount(clients, { namespace: volume.namespace, claim }, { timeoutSeconds: stopSeconds, rollback });
}

/** The cutover is over; what another one may build on stays. */
async function end(clients: Clients, volume: CutoverVolume): Promise<void> {
  const { kubernetes } = clients;
  const source = (await kubernetes.read(claims, volume.claim, volume.namespace))?.metadata?.uid;
  const target = (await kubernetes.read(claims, volume.newClaim, volume.namespace))?.metadata?.uid;
  await writeLedger(clients, volume, (current): Ledger => {
    const { cutover, ...now } = existing(current, volume);
    if (!cutover || !now.rollback) return { ...now, ...(cutover && { cutover }) };
    const fence = now.rollback.used ? undefined : cutover.fence?.id;
    return {
      ...now,
      ...(fence !== undefined && { fencesBefore: [...(now.fencesBefore ?? []), fence] }),
      ...(source !== undefined &&
        source !== now.sourceUid && { sourceUid: source, copiedUid: now.copiedUid ?? now.sourceUid }),
      ...(target !== undefined && { targetUid: target }),
      rollback: { ...now.rollback, state: "done" },
    };
  });
}

/** The volume as its cutover was begun, whatever the file says now. */
function asBegun(volume: Input, { cutover, targetClaim, attempt }: CutoverLedger): CutoverVolume {
  return { ...volume, newClaim: targetClaim, switch: cutover.switch, attempt };
}

function tell({ log }: Clients, volume: CutoverVolume, lines: readonly string[]): void {
  for (const line of lines) log(`${called(volume)}: ${line}`);
}
