import * as pulumi from "@pulumi/pulumi";
import { accessFor, declare, type AccessInput } from "../../operations/declare";
import { recordOldNode } from "../../operations/rancheros/record-old-node";
import { retireOldNode } from "../../operations/rancheros/retire-old-node";
import type { RetirementInput } from "../../operations/rancheros/retirement-input";

export interface OldNodeArgs {
  /** Who it is and what its retirement must see; see `retirements`. */
  readonly retirement: RetirementInput;
  /** To Proxmox, Rancher and the Kubernetes API: creating reads Proxmox only, deleting needs all three. */
  readonly access: AccessInput;
}

/**
 * A node of the retired operating system. Creating and updating it read who its machine is and change nothing; deleting it is the whole retirement.
 * The machine is never put under the provider: importing a running one stops and starts it unless every argument is ignored, and a later edit can
 * do it again.
 */
export class OldNode extends pulumi.ComponentResource {
  /** The machine as Proxmox showed it: what the retirement will look for. */
  readonly identity: { readonly vmId: pulumi.Output<number>; readonly mac: pulumi.Output<string> };

  constructor(name: string, args: OldNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:rancheros:OldNode", name, args, opts);
    const { result } = declare(
      `${name}-machine`,
      {
        create: recordOldNode,
        // Reading again converges, and records rotated credentials for the delete.
        update: recordOldNode,
        delete: retireOldNode,
        access: accessFor(args.access, recordOldNode, retireOldNode),
        input: args.retirement,
      },
      // Never retainOnDelete: the retirement is the delete, and retained it would silently not happen.
      { parent: this },
    );
    this.identity = { vmId: result.apply(({ vmId }) => vmId), mac: result.apply(({ mac }) => mac) };
    this.registerOutputs({ identity: this.identity });
  }
}
