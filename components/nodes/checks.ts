import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec, OldNodeSpec } from "../../environment/schema";
import { accessFor, ask, type AccessInput } from "../../operations/declare";
import { checkHosts } from "../../operations/nodes/check-hosts";
import { checkVmIds } from "../../operations/nodes/check-vm-ids";
import type { HostSpec } from "./lookup";

export interface ChecksArgs {
  /** The cluster's name, which is in the tag of its machines. */
  readonly cluster: string;
  readonly nodes: readonly NodeSpec[];
  readonly hosts: readonly HostSpec[];
  readonly oldNodes: readonly OldNodeSpec[];
  readonly access: AccessInput;
}

/** What creating needs of the answers. Each is known only once every check has passed. */
export interface Checked {
  readonly vmId: (node: NodeSpec) => pulumi.Output<number>;
  /** Where the host of this name takes Debian's image. */
  readonly imageDatastore: (host: string) => pulumi.Output<string>;
}

/** What marks a machine as one of this cluster's, beside its name. */
export function clusterTag(cluster: string): string {
  return `home-cluster-${cluster}`;
}

/** The hosts that a node of the file uses. */
export function usedHosts(hosts: readonly HostSpec[], nodes: readonly NodeSpec[]): readonly HostSpec[] {
  return hosts.filter((host) => nodes.some((node) => node.host === host.name));
}

/**
 * Asks Proxmox, at every preview and update, whether the ids of the file are free or ours and whether its hosts are ready, and gives ids and datastores from
 * the answers: without both, neither an image nor a machine is registered, so that a refused id can never reach the provider, which would adopt the stranger.
 */
export function checkedBeforehand(args: ChecksArgs, opts: pulumi.InvokeOutputOptions): Checked {
  const { cluster, nodes, hosts, oldNodes, access } = args;
  const ids = ask(
    checkVmIds,
    accessFor(access, checkVmIds),
    {
      nodes: nodes.map(({ name, host, vmId }) => ({ name, host, vmId })),
      tag: clusterTag(cluster),
      oldNodes: oldNodes.filter((node) => !node.retired).map((node) => node.name),
    },
    opts,
  );
  const ready = ask(
    checkHosts,
    accessFor(access, checkHosts),
    {
      hosts: usedHosts(hosts, nodes).map(({ name, imageDatastore, diskDatastore }) => ({
        name,
        imageDatastore,
        diskDatastore,
      })),
      nodes: nodes.map(({ name, host, vmId, systemDisk, dataDisk = 0 }) => ({
        name,
        host,
        vmId,
        disks: systemDisk + dataDisk,
      })),
    },
    opts,
  );
  const answers = pulumi.all([ids, ready]);
  return {
    vmId: (node) => answers.apply(([{ vmIds }]) => answered("check-vm-ids", node.name, vmIds[node.name])),
    imageDatastore: (host) =>
      answers.apply(([, { hosts: found }]) => answered("check-hosts", host, found[host]?.imageDatastore)),
  };
}

function answered<T>(verb: string, name: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`${verb} did not answer for ${name}`);
  return value;
}
