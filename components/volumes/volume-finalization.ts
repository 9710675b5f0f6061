import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { VolumeSpec } from "../../environment/schema";
import { newClaimName } from "../../environment/volume-name";
import { declare, type AccessInput } from "../../operations/declare";
import { keep } from "../../operations/keep";
import { finalizeVolume, prepareFinalize } from "../../operations/volumes/finalize-volume";
import type { Switch } from "../../operations/volumes/ledger-form";
import { jobTimeouts, migrationJob } from "./migration-job";
import { attemptName } from "./volume-migration";

export interface VolumeFinalizationArgs {
  readonly volume: VolumeSpec;
  /** How the workload came to the new volume. */
  readonly switch: Switch;
  /** The volume's name among the environment's, for the Job. */
  readonly name: string;
  /** For the commands that messages name. */
  readonly environment: string;
  /** ConfigMap with the scripts, in the volume's namespace. */
  readonly scripts: pulumi.Input<string>;
  /** Whether the ledger said, before anything of this run, that there is no way back any more. */
  readonly over: pulumi.Input<boolean>;
  readonly access: AccessInput;
}

/**
 * The end of one volume's way: a verified switch → the migration's own folder taken out of the new volume → both volumes' reclaim policies as they were. Nothing
 * else of the migration is declared any more, so its Jobs go; no claim and no data does.
 */
export class VolumeFinalization extends pulumi.ComponentResource {
  /** Done once there is no way back. */
  readonly done: pulumi.Resource;

  constructor(name: string, args: VolumeFinalizationArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:volumes:VolumeFinalization", name, args, opts);
    const { volume, environment, access } = args;
    const { namespace, claim, attempt } = volume;
    const input = { environment, namespace, claim, newClaim: newClaimName(volume), switch: args.switch, attempt };
    const prepared = declare(
      attemptName(`${name}-prepare`, attempt),
      // Where the volume is attached is a matter of the moment in which the Job is made.
      { create: prepareFinalize, update: keep, access, input },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    const cleaned = new kubernetes.batch.v1.Job(
      attemptName(`${name}-clean`, attempt),
      migrationJob({
        ...{ kind: "migration", phase: "finalize", name: args.name, namespace, claim, attempt, over: args.over },
        oldSize: volume.oldSize,
        scripts: args.scripts,
        newClaim: prepared.result.apply((released) => released.claim),
        sourceUid: prepared.result.apply((released) => released.sourceUid),
        targetUid: prepared.result.apply((released) => released.uid),
        nodeSelector: prepared.result.apply((released) => released.nodeSelector),
      }),
      {
        parent: this,
        dependsOn: prepared.resource,
        // As of every Job of a migration: another image or setting is for volumes that are yet to come.
        ignoreChanges: ["spec"],
        customTimeouts: jobTimeouts("1Gi"),
      },
    );
    const finalized = declare(
      `${name}-release`,
      // Converges, and says again what is kept.
      { create: finalizeVolume, update: finalizeVolume, access, input },
      { parent: this, dependsOn: cleaned },
    );
    this.done = finalized.resource;
    this.registerOutputs({ kept: finalized.result.apply(({ kept }) => kept) });
  }
}
