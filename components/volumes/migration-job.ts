import type * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
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
import { copyEnvironment, phaseOf, verifyEnvironment, type MigrationJobArgs } from "./migration-environment";
import { jobDeadline, jobName } from "./job-limits";

export { jobDeadline, jobName, jobTimeouts } from "./job-limits";
export type { MigrationJobArgs } from "./migration-environment";

/** The migration's own folder in the new volume (docs/decisions/copy-and-verify.md). */
const stateFolder = ".home-cluster-migration";

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
