import * as pulumi from "@pulumi/pulumi";
import type { Environment, NodeSpec } from "../../environment/schema";
import { defaultSnapshotHours } from "../../operations/cluster/etcd-snapshots";
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
  /** How old the newest snapshot of etcd may be when the node leaves, in hours. */
  readonly snapshotHours: number;
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
          // Only where there are some: membership inputs stand in the state, and what no node needs would show as a change of all of them.
          ...(node.storageTags.length > 0 && { annotations: { [storageTags]: JSON.stringify(node.storageTags) } }),
          address: firstCard(node).address,
          distribution: args.distribution,
          hostKey,
          vm: { host: node.host, vmId: node.vmId, mac: firstCard(node).mac, uuid },
          protect: node.protect,
          ...(args.snapshotHours !== defaultSnapshotHours && { snapshotHours: args.snapshotHours }),
        })),
        triggers: [args.machine],
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.member = membership.result.apply((result) => result.node);
    this.registerOutputs({ member: this.member });
  }
}

/** Longhorn's node tags, a JSON list (longhorn-manager v1.12.1, types.GetNodeTagsFromAnnotation), taken while its own node has none. */
const storageTags = "node.longhorn.io/default-node-tags";

/**
 * Labels of the file, ours, and on storage nodes the one that makes Longhorn use the data disk. Its value `true` takes path and reserve from Longhorn's settings,
 * which are those of the file; `config` would take them from an annotation, which one wrong field makes void (longhorn-manager v1.12.1, syncDefaultDisks).
 */
function labelsOf(node: NodeSpec): Record<string, string> {
  return {
    ...node.labels,
    ...debianLabels,
    ...(node.dataDisk !== undefined && { "node.longhorn.io/create-default-disk": "true" }),
  };
}
