import type * as pulumi from "@pulumi/pulumi";
import { volumeId } from "../../operations/volumes/migration-pod";

/** What one of the Jobs of a volume is made from. */
export type MigrationJobArgs = CommonArgs & PhaseArgs;

/** Which pass it is; `warm` where nothing is said: the workload runs. */
export type PhaseArgs =
  | { readonly phase?: "warm" }
  | {
      /** Behind a fence, the workload stopped. */
      readonly phase: "final";
      /** Its id, for the marker and the result. */
      readonly fence: pulumi.Input<string>;
      /** Earlier fences that it takes the place of, separated by spaces; often empty. */
      readonly supersedes?: pulumi.Input<string>;
    }
  /** A migration Job that takes the marker away; it mounts the new claim alone, and has to land on the node where that is attached. */
  | { readonly phase: "finalize" };

interface CommonArgs {
  readonly kind: "migration" | "verification";
  /** The volume's name among the environment's. */
  readonly name: string;
  readonly namespace: string;
  readonly claim: string;
  readonly attempt: number;
  /** Size of the old volume, as claimed. */
  readonly oldSize: string;
  readonly newClaim: pulumi.Input<string>;
  /** UIDs of both claims, for the marker. */
  readonly sourceUid: pulumi.Input<string>;
  readonly targetUid: pulumi.Input<string>;
  /** ConfigMap with the scripts. */
  readonly scripts: pulumi.Input<string>;
  /** `all`: the final verification believes no hash that was made while the workload ran. Default `changed`: it does where nothing was touched since. */
  readonly hash?: "changed" | "all";
  /**
   * Whether the ledger says that what this Job is for is done. One that comes back then (deleted by hand, a lost state) mounts nothing and ends at once: the claims
   * may have other names by then, and a volume that the workload uses can often not be mounted beside it. Default false.
   */
  readonly over?: pulumi.Input<boolean>;
  /** Where its pod may run. Default every Debian node. */
  readonly nodeSelector?: pulumi.Input<Record<string, string>>;
}

/** Copies side by side in one pod, and readers in one verification: on a source that takes 1 ms an operation 16 took two thirds of the time of 8 (measured). */
const workers = "16";

/** What copy.sh is told; the names and what they mean are in docs/decisions/copy-and-verify.md. */
export function copyEnvironment(args: MigrationJobArgs, job: string): Record<string, pulumi.Input<string>> {
  return {
    SOURCE: "/old",
    TARGET: "/new",
    SOURCE_UID: args.sourceUid,
    TARGET_UID: args.targetUid,
    VOLUME: volumeId(args),
    JOB: job,
    PHASE: phaseOf(args),
    ...(args.phase === "final" && {
      FENCE: args.fence,
      SUPERSEDES: args.supersedes ?? "",
      HASH: args.hash ?? "changed",
    }),
    WORKERS: workers,
  };
}

/** What verify.py is told. */
export function verifyEnvironment(args: MigrationJobArgs): Record<string, pulumi.Input<string>> {
  return {
    SOURCE: "/old",
    TARGET: "/new",
    SOURCE_UID: args.sourceUid,
    VOLUME: volumeId(args),
    PHASE: phaseOf(args),
    ...(args.phase === "final" ? { FENCE: args.fence, HASH: args.hash ?? "changed" } : { STATE: "/state" }),
    RESULT: "/dev/termination-log",
    WORKERS: workers,
  };
}

/** The pass; `warm` where nothing is said. */
export function phaseOf(args: PhaseArgs): "warm" | "final" | "finalize" {
  return args.phase ?? "warm";
}
