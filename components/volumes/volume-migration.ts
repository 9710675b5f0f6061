import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { VolumeSpec } from "../../environment/schema";
import { newClaimName } from "../../environment/volume-name";
import { declare, type AccessInput } from "../../operations/declare";
import { keep } from "../../operations/keep";
import { concludeCopy } from "../../operations/volumes/conclude-copy";
import { observeConsumers } from "../../operations/volumes/observe-consumers";
import { prepareVolume } from "../../operations/volumes/prepare-volume";
import { jobName, jobTimeouts, migrationJob } from "./migration-job";
import { newVolumeClaim } from "./new-claim";

export interface VolumeMigrationArgs {
  readonly volume: VolumeSpec;
  /** The class that the old claim must be of. */
  readonly oldStorageClass: string;
  /** The class of the new claim, known once its storage is ready. */
  readonly storageClass: pulumi.Input<string>;
  /** ConfigMap with the scripts, in the volume's namespace. */
  readonly scripts: pulumi.Input<string>;
  /** Whether the ledger said, before anything of this run, that a cutover is past what is copied and compared here. */
  readonly over: pulumi.Input<boolean>;
  /** For the commands that messages name. */
  readonly environment: string;
  readonly access: AccessInput;
}

/**
 * One volume on its way to the new storage: preflight → new claim → copy → a look at who uses the old one → verification → verdict, each behind the one before
 * and behind nothing of another volume. Its name is the volume's among the environment's. Give it `dependsOn` with what has to hold before anything of it is
 * registered. From stage cutover on, where the new volume takes the old claim's name, its own claim is not declared any more: that one is given up.
 */
export class VolumeMigration extends pulumi.ComponentResource {
  /** The new claim's name. */
  readonly claim: pulumi.Output<string>;
  /** UIDs by which a copy knows both claims. */
  readonly uids: { readonly source: pulumi.Output<string>; readonly target: pulumi.Output<string> };
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
          ...(volume.switch && { switch: volume.switch }),
          environment: args.environment,
          attempt,
          oldStorageClass: args.oldStorageClass,
          storageClass,
          oldSize: volume.oldSize,
        })),
      },
      // The component's own dependencies too: its children do not wait for them by themselves once it is registered.
      { parent: this, dependsOn: opts?.dependsOn },
    );
    const target =
      volume.stage !== "copy" && volume.switch === "same-name"
        ? undefined
        : newVolumeClaim(`${name}-claim`, args, { parent: this, dependsOn: preflight.resource });
    this.claim = target?.metadata.name ?? pulumi.output(newClaim);
    this.uids = {
      source: preflight.result.apply(({ sourceUid }) => sourceUid),
      target: target?.metadata.uid ?? preflight.result.apply(({ targetUid }) => targetUid ?? ""),
    };
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
          newClaim: this.claim,
          sourceUid: this.uids.source,
          targetUid: this.uids.target,
          over: args.over,
        }),
        {
          parent: this,
          dependsOn,
          // A Job's spec cannot be changed, only run again: a bumped image or setting is for volumes that are yet to come. `attempt` runs it again.
          ignoreChanges: ["spec"],
          customTimeouts: jobTimeouts(volume.oldSize),
        },
      );
    const copy = job("migration", target ?? preflight.resource);
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
    this.verdict = verdict.resource;
    this.registerOutputs({ claim: this.claim, verdict: verdict.result });
  }
}

/** What a higher attempt must run again is another resource: made anew before the old one goes. */
export function attemptName(name: string, attempt: number): string {
  return attempt > 1 ? `${name}-attempt-${attempt}` : name;
}
