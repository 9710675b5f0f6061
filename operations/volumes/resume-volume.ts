import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called, rollbackCommand, rollbackHint } from "./agreement";
import { cutoverInput, downMessage, inCutover, requireCutover } from "./cutover-input";
import { hasReached, writeLedger, type Ledger } from "./ledger";
import { probe } from "./workloads/probe";
import { resume } from "./workloads/resume";

/** Seconds for pods to become Ready on the new volume: images may have to come to another node first. */
const readySeconds = 900;

/** Puts back what the quiesce stopped, on the claim that the switch gave it. Once: a workload that lives on the new volume already is nobody's business here. */
export const resumeVolume = defineOperation({
  verb: "resume-volume",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, clients) {
    const { phase, cutover } = await requireCutover(clients.kubernetes, volume);
    if (hasReached(phase, "switched")) return { restored: [], left: [] };
    if (!cutover.live) {
      throw new Refusal({
        what: `${called(volume)}: not started on the new volume`,
        why: `the ledger says ${phase}, and the switch has not come to its end`,
        next: downMessage(volume, "run `pulumi up` again"),
      });
    }
    const { restored, left } = await resume(clients, cutover.workload, { claim: cutover.live.claim });
    for (const line of [...restored, ...left]) clients.log(`${called(volume)}: ${line}`);
    return { restored, left };
  },
});

/** Waits until the workload is Ready on the new volume; then the ledger says `switched`, which later steps and the retirement of the old nodes rely on. */
export const probeVolume = defineOperation({
  verb: "probe-volume",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, clients) {
    const { phase, cutover } = await requireCutover(clients.kubernetes, volume);
    if (hasReached(phase, "switched")) return { phase };
    const { live } = cutover;
    if (!live) {
      throw new Refusal({
        what: `${called(volume)}: nothing to look at on the new volume`,
        why: `the ledger says ${phase}, and the switch has not come to its end`,
        next: downMessage(volume, "run `pulumi up` again"),
      });
    }
    const { ready, silent } = await probe(clients, cutover.workload, {
      claim: live.claim,
      timeoutSeconds: readySeconds,
      rollback: rollbackCommand(volume),
    });
    for (const line of [...ready, ...silent]) clients.log(`${called(volume)}: ${line}`);
    const written = await writeLedger(clients, volume, (current): Ledger => {
      const now = inCutover(current, volume);
      return hasReached(now.phase, "switched") ? now : { ...now, phase: "switched" };
    });
    clients.log(`${called(volume)}: switched; back, as long as it is not finalized: ${rollbackHint(volume)}`);
    return { phase: written.phase };
  },
});
