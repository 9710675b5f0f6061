import type { Clients } from "../clients";
import { claims } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called } from "./agreement";
import { arrangeClaims, kept, switched } from "./arrange-claims";
import {
  cutoverInput,
  downMessage,
  inCutover,
  requireCutover,
  type CutoverLedger,
  type CutoverVolume,
} from "./cutover-input";
import { sinceFence } from "./fence";
import { hasReached, writeLedger, type Ledger } from "./ledger";
import type { Cutover } from "./ledger-form";
import { refuseBrokenFence } from "./quiesce-volume";
import { mounts } from "./workloads/await-no-mount";
import { pointTo } from "./workloads/point-to";

/** The claim that the workload has from now on. */
export type Switched = NonNullable<Cutover["live"]>;

/**
 * Gives the stopped workload the new volume: by its name in the pod templates, or under the old claim's name. Only behind a comparison without a difference
 * whose fence still stands, with nothing mounted since, looked up right before. The ledger says `switching` before the first step of it; run again it goes
 * on from wherever it was.
 */
export const switchVolume = defineOperation({
  verb: "switch-volume",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, clients): Promise<Switched> {
    const ledger = await requireCutover(clients.kubernetes, volume);
    const { live } = ledger.cutover;
    if (live) return live;
    await refuseUnsettled(clients, volume, ledger);
    const begun = await begin(clients, volume);
    const done =
      volume.switch === "same-name" ? await takeName(clients, volume, begun) : await pointAt(clients, volume, begun);
    await writeLedger(clients, volume, (current): Ledger => {
      const now = inCutover(current, volume);
      return { ...now, cutover: { ...now.cutover, live: done } };
    });
    clients.log(
      `${called(volume)}: switched to claim ${done.claim}; next: ${downMessage(volume, "let this `pulumi up` go on, or run it again")}`,
    );
    return done;
  },
});

async function refuseUnsettled(clients: Clients, volume: CutoverVolume, ledger: CutoverLedger): Promise<void> {
  const { phase, cutover } = ledger;
  const { fence, comparison } = cutover;
  if (!hasReached(phase, "settled") || comparison?.differences !== 0 || comparison.fence !== fence?.id) {
    throw new Refusal({
      what: `${called(volume)}: not switched`,
      why: `the ledger says ${phase}, and ${comparison ? `its comparison is of fence ${comparison.fence ?? "(none)"} with ${comparison.differences} differences` : "there is no comparison"}`,
      next: downMessage(volume, `write attempt: ${volume.attempt + 1} and run \`pulumi up\``),
    });
  }
  if (phase === "settled") {
    const since = await sinceFence(clients.kubernetes, volume, cutover);
    if (since.length > 0) refuseBrokenFence(volume, since);
  }
  // In the middle of a switch its own steps have changed the owners; what counts is that nothing runs.
  const { namespace } = volume;
  for (const claim of [volume.claim, volume.newClaim]) {
    const users = await mounts(clients.kubernetes, { namespace, claim });
    if (users.length > 0) refuseBrokenFence(volume, users);
  }
}

/** Writes down what the switch is about to change. */
async function begin(clients: Clients, volume: CutoverVolume): Promise<CutoverLedger> {
  const { namespace, claim, newClaim } = volume;
  const source = await clients.kubernetes.read(claims, claim, namespace);
  const target = await clients.kubernetes.read(claims, newClaim, namespace);
  const written = await writeLedger(clients, volume, (current): Ledger => {
    const now = inCutover(current, volume);
    if (hasReached(now.phase, "switching")) return now;
    if (!source || source.metadata?.uid !== now.sourceUid || !target || target.metadata?.uid !== now.targetUid) {
      throw new Refusal({
        what: `${called(volume)}: not switched`,
        why: `the claims are not those that were compared: ${claim} has the UID ${source?.metadata?.uid ?? "(gone)"}, ${newClaim} ${target?.metadata?.uid ?? "(gone)"}`,
        next: downMessage(volume, `see what became of them: \`kubectl -n ${namespace} get persistentvolumeclaims\``),
      });
    }
    const pair = { source: kept(source), target: kept(target) };
    return { ...now, phase: "switching", cutover: { ...now.cutover, claims: pair } };
  });
  return inCutover(written, volume);
}

async function takeName(clients: Clients, volume: CutoverVolume, { cutover }: CutoverLedger): Promise<Switched> {
  const pair = pairOf(volume, cutover);
  const guard = async (): Promise<void> => void (await requireCutover(clients.kubernetes, volume));
  const uids = await arrangeClaims(clients, volume, pair, switched(volume, pair), guard);
  return { claim: volume.claim, uid: uids.get(volume.claim) ?? "" };
}

async function pointAt(clients: Clients, volume: CutoverVolume, { cutover }: CutoverLedger): Promise<Switched> {
  for (const line of await pointTo(clients, cutover.workload, volume.claim, volume.newClaim))
    clients.log(`${called(volume)}: ${line}`);
  return { claim: volume.newClaim, uid: pairOf(volume, cutover).target.uid };
}

/** The claims as the switch found them. */
export function pairOf(volume: CutoverVolume, { claims: pair }: Cutover): NonNullable<Cutover["claims"]> {
  if (pair) return pair;
  throw new Refusal({
    what: `${called(volume)}: its ledger does not say how the claims were before the switch`,
    why: "it is written before the first of them is touched, so somebody has changed the ledger",
    next: "look at both PersistentVolumes (`kubectl get persistentvolumes`): the data of both is kept there; put the claims right by hand",
  });
}
