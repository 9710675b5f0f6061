import { createHash } from "node:crypto";
import type * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { toMebibytes } from "../../environment/quantity";
import { debianLabels } from "../../operations/kinds";
import {
  attemptAnnotation,
  copyCapabilities,
  migrationLabels,
  verifyCapabilities,
  volumeAnnotation,
  volumeId,
} from "../../operations/volumes/migration-pod";
import { imageReference, versions } from "../../versions";

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

/** The migration's own folder in the new volume (docs/decisions/copy-and-verify.md). */
const stateFolder = ".home-cluster-migration";

/** Copies side by side in one pod, and readers in one verification: on a source that takes 1 ms an operation, 8 took an eighth of one's time (measured). */
const workers = "8";

/** The copy or the verification of one volume, as a Job. */
export function migrationJob(args: MigrationJobArgs): kubernetes.batch.v1.JobArgs {
  const { kind, namespace, claim, attempt } = args;
  const name = jobName(kind, args.name, attempt, phaseOf(args));
  const labels = { ...migrationLabels, "app.kubernetes.io/component": kind };
  const annotations = { [volumeAnnotation]: volumeId({ namespace, claim }), [attemptAnnotation]: String(attempt) };
  return {
    metadata: { name, namespace, labels, annotations },
    // No ttlSecondsAfterFinished: a Job that Kubernetes cleans up is made anew by the next `up --refresh`.
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 3,
      activeDeadlineSeconds: jobDeadline(args.oldSize),
      template: { metadata: { labels, annotations }, spec: pod(args, name) },
    },
  };
}

function pod(args: MigrationJobArgs, job: string): kubernetes.types.input.core.v1.PodSpec {
  const copies = args.kind === "migration";
  const phase = phaseOf(args);
  const withOld = phase !== "finalize";
  // Of all verifications only the warm one leaves something: the hashes, in the migration's own folder, which is all of the volume that it may write to.
  const keepsHashes = !copies && phase === "warm";
  // Never `false`, which the API server drops: a refresh would show it as a change.
  const readOnly = copies || keepsHashes ? {} : { readOnly: true };
  const unlessOver = <T>(value: T, over: T): T | pulumi.Output<pulumi.Unwrap<T>> =>
    args.over === undefined
      ? value
      : pulumi.all([args.over, value, over] as const).apply(([is, one, other]) => (is ? other : one));
  const volumes = [
    { name: "scripts", configMap: { name: args.scripts } },
    { name: "tmp", emptyDir: {} },
  ];
  const mounts = [
    { name: "scripts", mountPath: "/scripts", readOnly: true },
    { name: "tmp", mountPath: "/tmp" },
  ];
  return {
    // A failed pod stays, and with it its log.
    restartPolicy: "Never",
    // Both volumes can be mounted there: old nodes have no Longhorn.
    nodeSelector: args.nodeSelector ?? debianLabels,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Root, to read and write everybody's files. No fsGroup: the kubelet would change groups and modes of the volume.
    securityContext: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: args.kind,
        image: imageReference(copies ? versions.images.copy : versions.images.verify),
        command: unlessOver(copies ? ["sh", "/scripts/copy.sh"] : ["python3", "/scripts/verify.py"], nothingToDo),
        env: Object.entries(copies ? copyEnvironment(args, job) : verifyEnvironment(args)).map(([name, value]) => ({
          name,
          value,
        })),
        // What a volume takes of a node; how many move at once follows from these.
        resources: { requests: { cpu: "500m", memory: "256Mi" }, limits: { cpu: "2", memory: "1Gi" } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"], add: [...(copies ? copyCapabilities : verifyCapabilities)] },
        },
        // The verification's findings are its termination message; of what failed, the end of the log.
        terminationMessagePolicy: "FallbackToLogsOnError",
        volumeMounts: unlessOver(
          [
            ...(withOld ? [{ name: "old", mountPath: "/old", readOnly: true }] : []),
            { name: "new", mountPath: "/new", ...(copies ? {} : { readOnly: true }) },
            ...(keepsHashes ? [{ name: "new", mountPath: "/state", subPath: stateFolder }] : []),
            ...mounts,
          ],
          mounts,
        ),
      },
    ],
    volumes: unlessOver<kubernetes.types.input.core.v1.Volume[]>(
      [
        // Read-only here and not only in the container: the node then mounts it so.
        ...(withOld ? [{ name: "old", persistentVolumeClaim: { claimName: args.claim, readOnly: true } }] : []),
        { name: "new", persistentVolumeClaim: { claimName: args.newClaim, ...readOnly } },
        ...volumes,
      ],
      volumes,
    ),
  };
}

const nothingToDo = ["sh", "-c", "echo the ledger says that this is done: nothing is mounted, nothing is written"];

function copyEnvironment(args: MigrationJobArgs, job: string): Record<string, pulumi.Input<string>> {
  return {
    SOURCE: "/old",
    TARGET: "/new",
    SOURCE_UID: args.sourceUid,
    TARGET_UID: args.targetUid,
    VOLUME: volumeId(args),
    JOB: job,
    PHASE: phaseOf(args),
    ...(args.phase === "final" && { FENCE: args.fence, SUPERSEDES: args.supersedes ?? "" }),
    WORKERS: workers,
  };
}

function verifyEnvironment(args: MigrationJobArgs): Record<string, pulumi.Input<string>> {
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

function phaseOf(args: PhaseArgs): "warm" | "final" | "finalize" {
  return args.phase ?? "warm";
}

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
