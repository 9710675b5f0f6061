import { createHash } from "node:crypto";
import type * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
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

/** What one of the two Jobs of a volume is made from. */
export interface MigrationJobArgs {
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
}

/** Copies side by side in one pod, and readers in one verification: on a source that takes 1 ms an operation, 8 took an eighth of one's time (measured). */
const workers = "8";

/** The copy or the verification of one volume, as a Job. */
export function migrationJob(args: MigrationJobArgs): kubernetes.batch.v1.JobArgs {
  const { kind, namespace, claim, attempt } = args;
  const name = jobName(kind, args.name, attempt);
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
  // Never `false`, which the API server drops: a refresh would show it as a change.
  const readOnly = copies ? {} : { readOnly: true };
  return {
    // A failed pod stays, and with it its log.
    restartPolicy: "Never",
    // Both volumes can be mounted there: old nodes have no Longhorn.
    nodeSelector: debianLabels,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Root, to read and write everybody's files. No fsGroup: the kubelet would change groups and modes of the volume.
    securityContext: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: args.kind,
        image: imageReference(copies ? versions.images.copy : versions.images.verify),
        command: copies ? ["sh", "/scripts/copy.sh"] : ["python3", "/scripts/verify.py"],
        env: Object.entries(copies ? copyEnvironment(args, job) : verifyEnvironment).map(([name, value]) => ({
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
        volumeMounts: [
          { name: "old", mountPath: "/old", readOnly: true },
          { name: "new", mountPath: "/new", ...readOnly },
          { name: "scripts", mountPath: "/scripts", readOnly: true },
          { name: "tmp", mountPath: "/tmp" },
        ],
      },
    ],
    volumes: [
      // Read-only here and not only in the container: the node then mounts it so.
      { name: "old", persistentVolumeClaim: { claimName: args.claim, readOnly: true } },
      { name: "new", persistentVolumeClaim: { claimName: args.newClaim, ...readOnly } },
      { name: "scripts", configMap: { name: args.scripts } },
      { name: "tmp", emptyDir: {} },
    ],
  };
}

function copyEnvironment(args: MigrationJobArgs, job: string): Record<string, pulumi.Input<string>> {
  return {
    SOURCE: "/old",
    TARGET: "/new",
    SOURCE_UID: args.sourceUid,
    TARGET_UID: args.targetUid,
    VOLUME: volumeId(args),
    JOB: job,
    PHASE: "warm",
    WORKERS: workers,
  };
}

const verifyEnvironment = { SOURCE: "/old", TARGET: "/new", RESULT: "/dev/termination-log", WORKERS: workers };

/** `volume-migration-<name>`, from the second attempt on with its number. A name that its pods' labels could not take (63) is cut, and told apart by a hash. */
export function jobName(kind: MigrationJobArgs["kind"], name: string, attempt: number): string {
  const suffix = attempt > 1 ? `-attempt-${attempt}` : "";
  const full = `volume-${kind}-${name}${suffix}`;
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
