import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { z } from "zod";
import { Refusal } from "../refusal";
import { hasReached, ledgerName, ledgerNamespace, type Ledger } from "./ledger";
import { switches } from "./ledger-form";
import { volumeId } from "./migration-pod";

/** One thing that stands against going on, and the one edit or command that mends it. */
export interface Finding {
  readonly why: string;
  readonly next: string;
}

/** What the file says of a volume, as far as its ledger can contradict it. */
export const declaredVolume = z.strictObject({
  namespace: z.string(),
  claim: z.string(),
  /** The new claim's name. */
  newClaim: z.string(),
  accessMode: z.enum(["ReadWriteOnce", "ReadWriteMany"]),
  stage: z.enum(["copy", "cutover", "finalize"]),
  /** Always there from stage cutover on. */
  switch: z.enum(switches).optional(),
  attempt: z.int().min(1),
  /** The environment's name, for the commands that messages name. */
  environment: z.string().optional(),
});
export type DeclaredVolume = z.infer<typeof declaredVolume>;

/** The two claims as they are now; undefined when there is none. */
export interface LiveClaims {
  readonly source: V1PersistentVolumeClaim | undefined;
  readonly target: V1PersistentVolumeClaim | undefined;
}

/** Everything in which the file contradicts the ledger, or either of them the live claims. Without a ledger nothing has begun that could be contradicted. */
export function disagreements(volume: DeclaredVolume, ledger: Ledger | undefined, live: LiveClaims): Finding[] {
  const stage = stageFindings(volume, ledger, live);
  if (stage.length > 0 || !ledger) return stage;
  // In the middle of a switch the claims are where its last step left them, which the switch itself looks at.
  if (hasReached(ledger.phase, "switching")) return switchedClaimChanged(volume, ledger, live);
  return [
    ...attemptWentBack(volume, ledger),
    ...(startsAnew(volume, ledger, live.target)
      ? []
      : [...sourceChanged(ledger, live.source), ...targetChanged(volume, ledger, live.target)]),
    ...accessModeChanged(volume, live.target),
  ];
}

/** The command that takes the workload back to the old volume. */
export function rollbackCommand(volume: Pick<DeclaredVolume, "namespace" | "claim" | "environment">): string {
  return `npm run rollback -- ${volume.environment ?? "<environment>"} ${volumeId(volume)}`;
}

/** The same as messages name it. */
export function rollbackHint(volume: Pick<DeclaredVolume, "namespace" | "claim" | "environment">): string {
  return `\`${rollbackCommand(volume)}\``;
}

/** What the ledger says of the stage that the file wants. */
function stageFindings(volume: DeclaredVolume, ledger: Ledger | undefined, live: LiveClaims): Finding[] {
  if (ledger?.rollback?.state === "begun") {
    return [
      {
        why: `a rollback to the old volume was begun at ${ledger.rollback.at} and did not come to its end`,
        next: `run it again: ${rollbackHint(volume)}`,
      },
    ];
  }
  switch (volume.stage) {
    case "copy":
      return ledger ? copyFindings(volume, ledger) : [];
    case "cutover":
      return cutoverFindings(volume, ledger, live);
    case "finalize":
      if (ledger && hasReached(ledger.phase, "switched")) return switchChanged(volume, ledger);
      return [
        {
          why: `the file says stage finalize, and ${said(ledger)}: nothing shows that the workload lives on the new volume`,
          next: "write stage: cutover and run `pulumi up` first",
        },
      ];
  }
}

function copyFindings(volume: DeclaredVolume, ledger: Ledger): Finding[] {
  if (ledger.phase === "finalized") {
    return [
      {
        why: "the ledger says finalized, and the file says stage copy: a copy would go over the volume that the workload lives on",
        next: "write stage: finalize, or take the volume out of the file: its Jobs go, its data and its ledger stay",
      },
    ];
  }
  if (hasReached(ledger.phase, "quiesced") || ledger.cutover) {
    const where = hasReached(ledger.phase, "switched")
      ? "its workload lives on the new volume"
      : "its workload may be stopped";
    return [
      {
        why: `the ledger says ${ledger.phase} with a cutover begun, and the file says stage copy: ${where}`,
        next: `write stage: cutover to go on, or go back to the old volume: ${rollbackHint(volume)}`,
      },
    ];
  }
  return usedTarget(volume, ledger);
}

function cutoverFindings(volume: DeclaredVolume, ledger: Ledger | undefined, live: LiveClaims): Finding[] {
  if (!ledger || !hasReached(ledger.phase, "warm")) {
    return [
      {
        why: `the file says stage cutover, and ${said(ledger)}: there is no warm copy to begin with`,
        next: "write stage: copy and run `pulumi up` first",
      },
    ];
  }
  if (ledger.phase === "finalized") {
    return [
      {
        why: "the ledger says finalized, and the file says stage cutover",
        next: "write stage: finalize, or take the volume out of the file: its data and its ledger stay",
      },
    ];
  }
  const { rollback } = ledger;
  if (rollback && !ledger.cutover && volume.attempt <= rollback.attempt) {
    return [
      {
        why: `the cutover of attempt ${rollback.attempt} was rolled back at ${rollback.at}, and the file still says stage cutover`,
        next: `write stage: copy to stay on the old volume, or attempt: ${rollback.attempt + 1}${rollback.used ? " and another newClaim with stage: copy first" : ""} to cut over again`,
      },
    ];
  }
  if (startsAnew(volume, ledger, live.target)) {
    return [
      {
        why: "the file asks for another copy and for its cutover at once",
        next: "write stage: copy and run `pulumi up` first",
      },
    ];
  }
  return [...switchChanged(volume, ledger), ...usedTarget(volume, ledger)];
}

/** A cutover that has begun goes on as it began. */
function switchChanged(volume: DeclaredVolume, { cutover }: Ledger): Finding[] {
  if (!cutover || cutover.switch === volume.switch) return [];
  return [
    {
      why: `the cutover began with switch ${cutover.switch}, and the file says ${volume.switch ?? "none"}`,
      next: `write switch: ${cutover.switch}, or go back to the old volume: ${rollbackHint(volume)}`,
    },
  ];
}

/** After a rollback the new volume may hold what the workload wrote on it: another attempt is never a copy over that. */
function usedTarget(volume: DeclaredVolume, ledger: Ledger): Finding[] {
  const { rollback } = ledger;
  if (!rollback?.used || volume.attempt <= rollback.attempt || volume.newClaim !== ledger.targetClaim) return [];
  return [
    {
      why: `the new claim ${volume.newClaim} was in use until the rollback at ${rollback.at}, and what was written there then is nowhere else`,
      next: "write another newClaim with the higher attempt, and stage: copy",
    },
  ];
}

function said(ledger: Ledger | undefined): string {
  return ledger ? `the ledger says ${ledger.phase}` : "there is no ledger";
}

/** Behind a switch, the claim that the workload lives on. What became of the old one then is the operator's. */
function switchedClaimChanged(volume: DeclaredVolume, { phase, cutover }: Ledger, live: LiveClaims): Finding[] {
  if (phase !== "switched" || !cutover?.live) return [];
  const { claim, uid } = cutover.live;
  const found = claim === volume.claim ? live.source : live.target;
  if (found?.metadata?.uid === uid) return [];
  return [
    {
      why: `the claim ${claim} that the workload was switched to (UID ${uid}) ${found ? "was made anew" : "is gone"}`,
      next: `see what became of it: \`kubectl -n ${volume.namespace} get persistentvolumeclaims\`; if that was you, take the volume out of the file`,
    },
  ];
}

/**
 * Whether this attempt is another copy altogether: into a claim of another name, or one made anew under the same name. Never once the old copy was verified:
 * that is a person's decision.
 */
export function startsAnew(
  volume: Pick<DeclaredVolume, "newClaim" | "attempt">,
  ledger: Ledger,
  target: V1PersistentVolumeClaim | undefined,
): boolean {
  return (
    volume.attempt > ledger.attempt &&
    !hasReached(ledger.phase, "verified") &&
    (volume.newClaim !== ledger.targetClaim || targetGone(ledger, target))
  );
}

/** One refusal that lists everything found. */
export function refuseFindings(what: string, findings: readonly Finding[]): void {
  if (findings.length === 0) return;
  const list = (pick: (finding: Finding) => string): string => findings.map(pick).join("\n        ");
  throw new Refusal({ what, why: list(({ why }) => why), next: list(({ next }) => next) });
}

function targetGone(ledger: Ledger, target: V1PersistentVolumeClaim | undefined): boolean {
  return ledger.targetUid !== undefined && target?.metadata?.uid !== ledger.targetUid;
}

function attemptWentBack(volume: DeclaredVolume, ledger: Ledger): Finding[] {
  if (volume.attempt >= ledger.attempt) return [];
  return [
    {
      why: `attempt is ${volume.attempt}, and the ledger has seen ${ledger.attempt}`,
      next: `write attempt: ${ledger.attempt}, or ${ledger.attempt + 1} to run the copy again`,
    },
  ];
}

function sourceChanged(ledger: Ledger, source: V1PersistentVolumeClaim | undefined): Finding[] {
  if (source?.metadata?.uid === ledger.sourceUid) return [];
  return [
    {
      why: source
        ? `the old claim was made anew: its UID is ${source.metadata?.uid}, and the copy is of ${ledger.sourceUid}`
        : `the old claim is gone, and the copy of it is only ${ledger.phase}`,
      next: source
        ? anotherCopy(ledger)
        : `look for its data in PersistentVolume ${ledger.sourceVolume}: \`kubectl get persistentvolume ${ledger.sourceVolume} -o yaml\``,
    },
  ];
}

function targetChanged(volume: DeclaredVolume, ledger: Ledger, target: V1PersistentVolumeClaim | undefined): Finding[] {
  if (volume.newClaim !== ledger.targetClaim) {
    return [
      {
        why: `the new claim is called ${volume.newClaim} in the file, and the copy is in ${ledger.targetClaim}`,
        next: `write newClaim: ${ledger.targetClaim}${hasReached(ledger.phase, "verified") ? "" : `, or also attempt: ${ledger.attempt + 1} to copy anew`}`,
      },
    ];
  }
  if (!targetGone(ledger, target)) return [];
  return [
    {
      why: `the ledger says ${ledger.phase}, and the new claim ${ledger.targetClaim} with the copy in it (UID ${ledger.targetUid}) ${target ? "was made anew" : "is gone"}`,
      next: anotherCopy(ledger),
    },
  ];
}

/** `PersistentVolumeClaim.spec` cannot be changed: the engine would let go of the claim and fail to make another of its name. */
function accessModeChanged(volume: DeclaredVolume, target: V1PersistentVolumeClaim | undefined): Finding[] {
  const modes = target?.spec?.accessModes ?? [volume.accessMode];
  if (modes.length === 1 && modes[0] === volume.accessMode) return [];
  return [
    {
      why: `accessMode is ${volume.accessMode}, and the new claim ${volume.newClaim} has ${modes.join(", ")}, which no claim can change`,
      next: `write accessMode: ${modes.join(", ")}, or another newClaim and a higher attempt to copy anew`,
    },
  ];
}

function anotherCopy(ledger: Ledger): string {
  if (!hasReached(ledger.phase, "verified")) {
    return `write attempt: ${ledger.attempt + 1} and another newClaim to copy anew`;
  }
  const [namespace = "", claim = ""] = ledger.volume.split("/");
  return (
    `once you know that nothing uses the new claim, \`kubectl -n ${ledgerNamespace} delete configmap ${ledgerName({ namespace, claim })}\`, ` +
    `then write attempt: ${ledger.attempt + 1} and another newClaim to copy anew`
  );
}

/** `volume games/valheim-server-data`. */
export function called(volume: { readonly namespace: string; readonly claim: string }): string {
  return `volume ${volumeId(volume)}`;
}
