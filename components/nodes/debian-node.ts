import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import type { AccessInput } from "../../operations/declare";
import { DebianVm, type DebianVmArgs } from "./debian-vm";
import { MachineIdentity } from "./machine-identity";
import { NodeMembership } from "./node-membership";
import { firstCard, NodeProvisioning } from "./node-provisioning";
import { NodeRestart } from "./node-restart";

export interface DebianNodeArgs extends DebianVmArgs {
  readonly distribution: Environment["cluster"]["distribution"];
  /** How old the newest snapshot of etcd may be when the node leaves, in hours. */
  readonly snapshotHours: number;
  /** Ways into all four systems; each operation gets those that it needs. */
  readonly access: AccessInput;
}

/** What others need to reach the node; known once it is a member, Ready as declared. */
export interface Reach {
  readonly vmId: pulumi.Output<number>;
  readonly address: pulumi.Output<string>;
  readonly hostKey: pulumi.Output<string>;
}

/** One Debian node of the cluster: its machine, what is in it, its membership; taken out of the file it goes in the opposite order. */
export class DebianNode extends pulumi.ComponentResource {
  readonly reach: Reach;

  constructor(name: string, args: DebianNodeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:DebianNode", name, args, opts);
    const { distribution, snapshotHours, access, ...machine } = args;
    const { node, networks, cluster } = machine;
    const vm = new DebianVm(`${name}-vm`, machine, { parent: this });
    const identity = new MachineIdentity(
      `${name}-identity`,
      { node, cluster, machine: vm.machine, access },
      { parent: this },
    );
    const { uuid } = identity;
    // Deleted before the guard looks at the machine, and with it before the machine.
    const onMachine = { parent: this, dependsOn: identity };
    const provisioning = new NodeProvisioning(
      `${name}-provisioning`,
      { node, networks, distribution, machine: uuid, access },
      onMachine,
    );
    const membership = new NodeMembership(
      `${name}-membership`,
      { node, distribution, hostKey: provisioning.hostKey, machine: uuid, snapshotHours, access },
      onMachine,
    );
    // Behind the machine too: its changed settings must be in Proxmox before anything can wait for a restart.
    new NodeRestart(
      `${name}-restart`,
      { node, networks, domain: machine.domain, sshPublicKey: machine.sshPublicKey, access },
      { parent: this, dependsOn: [vm, membership] },
    );
    const { member } = membership;
    this.reach = {
      vmId: pulumi.all([vm.vmId, member]).apply(([vmId]) => vmId),
      address: member.apply(() => firstCard(node).address),
      hostKey: pulumi.all([provisioning.hostKey, member]).apply(([hostKey]) => hostKey),
    };
    this.registerOutputs({ ...this.reach });
  }
}
