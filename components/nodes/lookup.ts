import type { Environment, NodeSpec } from "../../environment/schema";

export type NetworkSpec = Environment["networks"][number];
export type HostSpec = Environment["proxmox"]["hosts"][number];

/** The network of that name. The environment's rules have refused cards on networks that do not exist. */
export function networkOf(networks: readonly NetworkSpec[], name: string): NetworkSpec {
  const found = networks.find((network) => network.name === name);
  if (found) return found;
  throw new Error(`network ${name}: not one of ${networks.map((network) => network.name).join(", ")}`);
}

/** Where the node's host keeps disks. The environment's rules have refused hosts that do not exist. */
export function diskDatastore(hosts: readonly HostSpec[], node: NodeSpec): string {
  const found = hosts.find((host) => host.name === node.host);
  if (found) return found.diskDatastore;
  throw new Error(`${node.name}: host ${node.host} is not one of ${hosts.map((host) => host.name).join(", ")}`);
}
