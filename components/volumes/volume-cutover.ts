import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { VolumeSpec } from "../../environment/schema";
import { newClaimName } from "../../environment/volume-name";
import { declare, type AccessInput, type Declared } from "../../operations/declare";
import { keep } from "../../operations/keep";
import type { Operation } from "../../operations/operation";
import { concludeCutover } from "../../operations/volumes/conclude-cutover";
import type { Switch } from "../../operations/volumes/ledger-form";
import type { CutoverVolume } from "../../operations/volumes/cutover-input";
import { prepareCutover } from "../../operations/volumes/prepare-cutover";
import { quiesceVolume } from "../../operations/volumes/quiesce-volume";
import { probeVolume, resumeVolume } from "../../operations/volumes/resume-volume";
import { switchVolume } from "../../operations/volumes/switch-volume";
import { jobName, jobTimeouts, migrationJob } from "./migration-job";
import { attemptName } from "./volume-migration";

export interface VolumeCutoverArgs {
  readonly volume: VolumeSpec;
  /** How the workload comes to the new volume. */
  readonly switch: Switch;
  /** The volume's name among the environment's, for the Jobs. */
  readonly name: string;
  /** For the commands that messages name. */
  readonly environment: string;
  /** UIDs by which the copy knows both claims. */
  readonly uids: { readonly source: pulumi.Input<string>; readonly target: pulumi.Input<string> };
  /** ConfigMap with the scripts, in the volume's namespace. */
  readonly scripts: pulumi.Input<string>;
  /** Whether the ledger said, before anything of this run, that the comparison behind the fence found no difference. */
  readonly over: pulumi.Input<boolean>;
  readonly access: AccessInput;
}

/**
 * The workload of one volume on its way to the new one: checks → stopped behind a fence → last changes copied → everything compared → verdict → switch →
 * started → answered. Each behind the one before; give it `dependsOn` with the verdict on the warm copy. What fails in between leaves the workload stopped and
 * says so; `pulumi up` goes on from the ledger, and `npm run rollback` goes back.
 */
export class VolumeCutover extends pulumi.ComponentResource {
  /** Done once the workload has answered on the new volume. */
  readonly done: pulumi.Resource;

  constructor(name: string, args: VolumeCutoverArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:volumes:VolumeCutover", name, args, opts);
    const { volume, environment, access } = args;
    const { namespace, claim, attempt } = volume;
    const newClaim = newClaimName(volume);
    const input = { environment, namespace, claim, newClaim, switch: args.switch, attempt };
    const step = <Result>(
      suffix: string,
      operation: Operation<CutoverVolume, Result>,
      dependsOn: pulumi.CustomResourceOptions["dependsOn"],
      // Once a cutover: run later, with other input or access, it would stop or start what lives on the new volume.
      update: Operation<CutoverVolume, Result> | typeof keep = keep,
    ): Declared<Result> =>
      declare(
        attemptName(`${name}-${suffix}`, attempt),
        { create: operation, update, access, input },
        { parent: this, dependsOn },
      );
    const prepared = step("prepare", prepareCutover, opts?.dependsOn, prepareCutover);
    const quiesced = step("quiesce", quiesceVolume, prepared.resource);
    const job = (kind: "migration" | "verification", dependsOn: pulumi.Resource): kubernetes.batch.v1.Job =>
      new kubernetes.batch.v1.Job(
        attemptName(`${name}-${kind === "migration" ? "copy" : "verify"}`, attempt),
        migrationJob({
          ...{ kind, phase: "final", name: args.name, namespace, claim, attempt, newClaim, over: args.over },
          oldSize: volume.oldSize,
          hash: volume.hash,
          scripts: args.scripts,
          sourceUid: args.uids.source,
          targetUid: args.uids.target,
          fence: quiesced.result.apply(({ fence }) => fence),
          supersedes: quiesced.result.apply(({ supersedes }) => supersedes),
        }),
        {
          parent: this,
          dependsOn,
          // As for the warm copy: another image or setting is for volumes that are yet to come.
          ignoreChanges: ["spec"],
          customTimeouts: jobTimeouts(volume.oldSize),
        },
      );
    const verified = job("verification", job("migration", quiesced.resource));
    const settled = declare(
      attemptName(`${name}-conclude`, attempt),
      {
        create: concludeCutover,
        // Once: it judges by what has happened since the fence.
        update: keep,
        access,
        input: { ...input, job: jobName("verification", args.name, attempt, "final") },
      },
      { parent: this, dependsOn: verified },
    );
    const switched = step("switch", switchVolume, settled.resource);
    const resumed = step("resume", resumeVolume, switched.resource);
    const probed = step("probe", probeVolume, resumed.resource);
    this.done = probed.resource;
    this.registerOutputs({ claim: switched.result.apply(({ claim: live }) => live), phase: probed.result });
  }
}
