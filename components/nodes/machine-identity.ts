import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../environment/schema";
import { accessFor, ask, declare, type AccessInput } from "../../operations/declare";
import { checkMachine } from "../../operations/nodes/check-machine";
import { identifyMachine } from "../../operations/nodes/identify-machine";
import { startMachine } from "../../operations/nodes/start-machine";
import { clusterTag } from "./checks";
import { firstCard } from "./node-provisioning";

export interface MachineIdentityArgs {
  readonly node: NodeSpec;
  /** The cluster's name. */
  readonly cluster: string;
  /** The machine's id in the engine. */
  readonly machine: pulumi.Input<string>;
  readonly access: AccessInput;
}

/**
 * Which machine the node runs on, asked at every preview and update, and the look that its deletion must pass. Give `dependsOn` with it to everything else of
 * the node: then the look is the last thing that happens before the engine deletes the machine. docs/decisions/machine-identity.md
 */
export class MachineIdentity extends pulumi.ComponentResource {
  /** The machine's SMBIOS UUID. Unknown while another machine takes its place, so what depends on it is replaced with it. */
  readonly uuid: pulumi.Output<string>;

  constructor(name: string, args: MachineIdentityArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:MachineIdentity", name, args, opts);
    const { node, cluster, machine } = args;
    const input = {
      node: node.name,
      tag: clusterTag(cluster),
      vm: { host: node.host, vmId: node.vmId, mac: firstCard(node).mac },
    };
    const access = accessFor(args.access, startMachine, identifyMachine, checkMachine);
    // An invoke and not the guard's result: a Command with unchanged inputs asks nobody, and a machine made again by hand changes none of them.
    const asked = ask(
      identifyMachine,
      access,
      pulumi.output(machine).apply(() => input),
      { parent: this },
    );
    this.uuid = pulumi.all([asked, machine]).apply(([{ uuid }]) => uuid);
    declare(
      `${name}-guard`,
      {
        create: startMachine,
        // Who powers a node off later has a reason. Reading again records rotated credentials for the delete.
        update: identifyMachine,
        delete: checkMachine,
        access,
        input,
        // A machine that was made again may be off, too; and one that is replaced is deleted as well.
        triggers: [this.uuid],
      },
      { parent: this },
    );
    this.registerOutputs({ uuid: this.uuid });
  }
}
