import type * as pulumi from "@pulumi/pulumi";
import type { NodeSpec, OldNodeSpec } from "../../environment/schema";
import { accessFor, ask, type AccessInput } from "../../operations/declare";
import { checkVmIds } from "../../operations/nodes/check-vm-ids";

export interface VmIdsArgs {
  /** The cluster's name, which is in the tag of its machines. */
  readonly cluster: string;
  readonly nodes: readonly NodeSpec[];
  readonly oldNodes: readonly OldNodeSpec[];
  readonly access: AccessInput;
}

/** What marks a machine as one of this cluster's, beside its name. */
export function clusterTag(cluster: string): string {
  return `home-cluster-${cluster}`;
}

/**
 * Asks Proxmox, at every preview and update, whether the ids of the file are free or ours, and gives each node its id from the answer: without the answer no
 * machine is registered, so that a refused id can never reach the provider, which would adopt the stranger.
 */
export function checkedVmIds(
  { cluster, nodes, oldNodes, access }: VmIdsArgs,
  opts: pulumi.InvokeOutputOptions,
): (node: NodeSpec) => pulumi.Output<number> {
  const answer = ask(
    checkVmIds,
    accessFor(access, checkVmIds),
    {
      nodes: nodes.map(({ name, host, vmId }) => ({ name, host, vmId })),
      tag: clusterTag(cluster),
      oldNodes: oldNodes.filter((node) => !node.retired).map((node) => node.name),
    },
    opts,
  );
  return (node) =>
    answer.apply(({ vmIds }) => {
      const vmId = vmIds[node.name];
      if (vmId === undefined) throw new Error(`check-vm-ids did not answer for ${node.name}`);
      return vmId;
    });
}
