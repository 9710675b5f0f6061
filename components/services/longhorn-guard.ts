import * as pulumi from "@pulumi/pulumi";
import { declare, type AccessInput } from "../../operations/declare";
import { guardLonghorn, leaveLonghorn } from "../../operations/storage/leave-longhorn";

export interface LonghornGuardArgs {
  /** The switch `longhorn.leaving`. */
  readonly leaving: boolean;
  /** To the Kubernetes API. */
  readonly access: AccessInput;
}

/**
 * Stands before the removal of Longhorn. Give it `dependsOn` with everything of the layer: what depends on all is deleted first, so that a refused
 * `destroy` has touched nothing. Once it let a destroy pass it is gone; what then stands before the data is Longhorn's own confirmation flag.
 */
export class LonghornGuard extends pulumi.ComponentResource {
  constructor(name: string, args: LonghornGuardArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:LonghornGuard", name, args, opts);
    declare(
      `${name}-guard`,
      {
        create: guardLonghorn,
        // Records the switch, which `destroy` can read only from the state.
        update: guardLonghorn,
        delete: leaveLonghorn,
        access: args.access,
        input: { leaving: args.leaving },
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({});
  }
}
