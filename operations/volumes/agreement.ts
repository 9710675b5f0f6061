import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { z } from "zod";
import { Refusal } from "../refusal";
import { hasReached, ledgerName, ledgerNamespace, type Ledger } from "./ledger";
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
  stage: z.enum(["copy"]),
  attempt: z.int().min(1),
});
export type DeclaredVolume = z.infer<typeof declaredVolume>;

/** The two claims as they are now; undefined when there is none. */
export interface LiveClaims {
  readonly source: V1PersistentVolumeClaim | undefined;
  readonly target: V1PersistentVolumeClaim | undefined;
}

/** Everything in which the file contradicts the ledger, or either of them the live claims. Without a ledger nothing has begun that could be contradicted. */
export function disagreements(volume: DeclaredVolume, ledger: Ledger | undefined, live: LiveClaims): Finding[] {
  if (!ledger) return [];
  if (hasReached(ledger.phase, "switched")) {
    return [
      {
        why: `the ledger says ${ledger.phase}, and the file says stage ${volume.stage}: a copy would go over the volume that the workload lives on`,
        next: "take the volume out of the file: its Jobs go, its data and its ledger stay",
      },
    ];
  }
  return [
    ...attemptWentBack(volume, ledger),
    ...(startsAnew(volume, ledger, live.target)
      ? []
      : [...sourceChanged(ledger, live.source), ...targetChanged(volume, ledger, live.target)]),
    ...accessModeChanged(volume, live.target),
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
