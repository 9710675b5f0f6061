import * as pulumi from "@pulumi/pulumi";
import type { Environment, NodeSpec } from "../../environment/schema";
import { accessFor, declare, type AccessInput } from "../../operations/declare";
import { debianLabels } from "../../operations/kinds";
import { join } from "../../operations/nodes/join";
import { refreshMembership } from "../../operations/nodes/refresh-membership";
import { leave } from "../../operations/rancheros/leave";
import { firstCard } from "./node-provisioning";

export interface NodeMembershipArgs {
  readonly node: NodeSpec;
  readonly distribution: Environment["cluster"]["distribution"];
  /** The verified host key. */
  readonly hostKey: pulumi.Input<string>;
  /** Which machine it is (its UUID); when another takes its place, the old one leaves first and the new one joins. */
  readonly machine: pulumi.Input<string>;
  readonly access: AccessInput;
}

/** The node's membership in the cluster: creating it joins, deleting it leaves in order, and nothing else does either. */
export class NodeMembership extends pulumi.ComponentResource {
  /** The Kubernetes node's name, once it is Ready as declared. */
  readonly member: pulumi.Output<string>;

  constructor(name: string, args: NodeMembershipArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:NodeMembership", name, args, opts);
    const { node } = args;
    const membership = declare(
      `${name}-member`,
      {
        create: join,
        // Joining must happen once; labels converge, and the delete below works on what this recorded last.
        update: refreshMembership,
        delete: leave,
        access: accessFor(args.access, join, refreshMembership, leave),
        input: pulumi.all([args.hostKey, args.machine]).apply(([hostKey, uuid]) => ({
          node: node.name,
          roles: node.roles,
          labels: labelsOf(node),
          address: firstCard(node).address,
          distribution: args.distribution,
          hostKey,
          vm: { host: node.host, vmId: node.vmId, mac: firstCard(node).mac, uuid },
          protect: node.protect,
        })),
        triggers: [args.machine],
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.member = membership.result.apply((result) => result.node);
    this.registerOutputs({ member: this.member });
  }
}

/** Labels of the file, ours, and on storage nodes the one that makes Longhorn use the data disk. */
function labelsOf(node: NodeSpec): Record<string, string> {
  return {
    ...node.labels,
    ...debianLabels,
    ...(node.dataDisk !== undefined && { "node.longhorn.io/create-default-disk": "true" }),
  };
}
