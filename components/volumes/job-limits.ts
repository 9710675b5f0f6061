import { createHash } from "node:crypto";
import type * as pulumi from "@pulumi/pulumi";
import { toMebibytes } from "../../environment/quantity";
import type { MigrationJobArgs } from "./migration-environment";

/** What a migration's Jobs are called, and how long they may take. */

/**
 * `volume-migration-<name>`, behind a fence `volume-final-migration-<name>`, from the second attempt on with its number. The phase stands in front, where no
 * volume's name can be taken for it. A name that its pods' labels could not take (63) is cut, and told apart by a hash.
 */
export function jobName(
  kind: MigrationJobArgs["kind"],
  name: string,
  attempt: number,
  phase: "warm" | "final" | "finalize" = "warm",
): string {
  const suffix = attempt > 1 ? `-attempt-${attempt}` : "";
  const full = `volume-${phase === "warm" ? "" : `${phase}-`}${kind}-${name}${suffix}`;
  if (full.length <= 63) return full;
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${full.slice(0, 63 - suffix.length - digest.length - 1)}-${digest}${suffix}`;
}

/**
 * Seconds after which a Job is given up: an hour, and five minutes for each GiB of the old volume. That is 3.4 MiB/s; one rsync alone, the slowest measured on
 * small files with 1 ms an operation, made 2.5 and eight made 19 (measured). It ends before the engine stops waiting, or the engine would go on without it.
 */
export function jobDeadline(oldSize: string): number {
  return 3600 + 300 * Math.ceil(toMebibytes(oldSize) / 1024);
}

/** How long the engine waits for such a Job: ten minutes more. For updates too, since a Job that was not awaited to its end is awaited by the next update. */
export function jobTimeouts(oldSize: string): pulumi.CustomTimeouts {
  const seconds = `${jobDeadline(oldSize) + 600}s`;
  return { create: seconds, update: seconds };
}
