import * as pulumi from "@pulumi/pulumi";
import { accessFor, declare, type AccessInput } from "../../operations/declare";
import { checkRetirement, guardRetirement } from "../../operations/rancheros/check-retirement";
import type { RetirementInput } from "../../operations/rancheros/retirement-input";

export interface RetirementGateArgs {
  /** The stack's name, for the commands that its report names. */
  readonly stack: string;
  readonly retirements: readonly RetirementInput[];
  /** To Proxmox, Rancher and the Kubernetes API. */
  readonly access: AccessInput;
}

/**
 * Gives the whole report before the first node is touched. Give it `dependsOn` with every old node: what depends on all is deleted first, so a
 * destroy that it refuses has touched nothing. Only a convenience: once it let a destroy pass it is gone, and each retirement looks for itself.
 */
export class RetirementGate extends pulumi.ComponentResource {
  constructor(name: string, args: RetirementGateArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:rancheros:RetirementGate", name, args, opts);
    declare(
      `${name}-check`,
      {
        create: guardRetirement,
        // Records what the delete will look at; there is no other effect.
        update: guardRetirement,
        delete: checkRetirement,
        access: accessFor(args.access, guardRetirement, checkRetirement),
        input: { stack: args.stack, nodes: [...args.retirements] },
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({});
  }
}
