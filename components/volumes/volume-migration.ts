import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { VolumeSpec } from "../../environment/schema";
import { newClaimName } from "../../environment/volume-name";
import { declare, type AccessInput } from "../../operations/declare";
import { keep } from "../../operations/keep";
import { concludeCopy } from "../../operations/volumes/conclude-copy";
import { migrationLabels, volumeAnnotation, volumeId } from "../../operations/volumes/migration-pod";
import { observeConsumers } from "../../operations/volumes/observe-consumers";
import { prepareVolume } from "../../operations/volumes/prepare-volume";
import { jobName, jobTimeouts, migrationJob } from "./migration-job";

export interface VolumeMigrationArgs {
  readonly volume: VolumeSpec;
  /** The class that the old claim must be of. */
  readonly oldStorageClass: string;
  /** The class of the new claim, known once its storage is ready. */
  readonly storageClass: pulumi.Input<string>;
  /** ConfigMap with the scripts, in the volume's namespace. */
  readonly scripts: pulumi.Input<string>;
  readonly access: AccessInput;
}

/**
 * One volume on its way to the new storage: preflight → new claim → copy → a look at who uses the old one → verification → verdict, each behind the one before
 * and behind nothing of another volume. Its name is the volume's among the environment's. Give it `dependsOn` with what has to hold before anything of it is
 * registered.
 */
export class VolumeMigration extends pulumi.ComponentResource {
  /** The new claim's name. */
  readonly claim: pulumi.Output<string>;
  /** Done once the ledger says how the copy went. */
  readonly verdict: pulumi.Resource;

  constructor(name: string, args: VolumeMigrationArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:volumes:VolumeMigration", name, args, opts);
    const { volume, access } = args;
    const { namespace, claim, attempt } = volume;
    const newClaim = newClaimName(volume);
    const preflight = declare(
      `${name}-prepare`,
      {
        create: prepareVolume,
        // Looks again, and takes note of a raised attempt.
        update: prepareVolume,
        access,
        input: pulumi.output(args.storageClass).apply((storageClass) => ({
          namespace,
          claim,
          newClaim,
          accessMode: volume.accessMode,
          stage: volume.stage,
          attempt,
          oldStorageClass: args.oldStorageClass,
          storageClass,
          oldSize: volume.oldSize,
        })),
      },
      // The component's own dependencies too: its children do not wait for them by themselves once it is registered.
      { parent: this, dependsOn: opts?.dependsOn },
    );
    const target = new kubernetes.core.v1.PersistentVolumeClaim(
      `${name}-claim`,
      {
        metadata: {
          name: newClaim,
          namespace,
          labels: migrationLabels,
          annotations: {
            [volumeAnnotation]: volumeId(volume),
            // The provider's own wait ends after five minutes whatever customTimeouts says, and cannot say why.
            "pulumi.com/waitFor": "jsonpath={.status.phase}=Bound",
          },
        },
        spec: {
          accessModes: [volume.accessMode],
          storageClassName: args.storageClass,
          resources: { requests: { storage: volume.size } },
        },
      },
      {
        parent: this,
        dependsOn: preflight.resource,
        // A volume that leaves the file, or a stack that is destroyed, lets go of the claim and leaves it. Not `protect` as well: it would refuse exactly that.
        // What it would guard against, a change of class or access mode, is refused by the preflight before the engine replaces anything.
        retainOnDelete: true,
        customTimeouts: { create: "15m", update: "15m" },
      },
    );
    const job = (kind: "migration" | "verification", dependsOn: pulumi.Resource): kubernetes.batch.v1.Job =>
      new kubernetes.batch.v1.Job(
        attemptName(`${name}-${kind === "migration" ? "copy" : "verify"}`, attempt),
        migrationJob({
          kind,
          name,
          namespace,
          claim,
          attempt,
          oldSize: volume.oldSize,
          scripts: args.scripts,
          newClaim: target.metadata.name,
          sourceUid: preflight.result.sourceUid,
          targetUid: target.metadata.uid,
        }),
        {
          parent: this,
          dependsOn,
          // A Job's spec cannot be changed, only run again: a bumped image or setting is for volumes that are yet to come. `attempt` runs it again.
          ignoreChanges: ["spec"],
          customTimeouts: jobTimeouts(volume.oldSize),
        },
      );
    const copy = job("migration", target);
    const look = { namespace, claim, newClaim, attempt };
    const observed = declare(
      attemptName(`${name}-observe`, attempt),
      // Once an attempt: later it would say nothing of what was there before the verification.
      { create: observeConsumers, update: keep, access, input: look },
      { parent: this, dependsOn: copy },
    );
    const verify = job("verification", observed.resource);
    const verdict = declare(
      attemptName(`${name}-conclude`, attempt),
      // Once an attempt: it judges by who uses the volume right after the verification.
      {
        create: concludeCopy,
        update: keep,
        access,
        input: { ...look, job: jobName("verification", name, attempt) },
      },
      { parent: this, dependsOn: verify },
    );
    this.claim = target.metadata.name;
    this.verdict = verdict.resource;
    this.registerOutputs({ claim: this.claim, verdict: verdict.result });
  }
}

/** What a higher attempt must run again is another resource: made anew before the old one goes. */
function attemptName(name: string, attempt: number): string {
  return attempt > 1 ? `${name}-attempt-${attempt}` : name;
}
