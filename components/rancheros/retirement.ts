import type { Environment } from "../../environment/schema";
import type { RetirementInput } from "../../operations/rancheros/retirement-input";

/** What is recorded of every old node that is not retired yet; a retired one has nothing left to read or to delete. */
export function retirements(
  file: Pick<Environment, "oldNodes" | "oldStorage" | "volumes" | "networks" | "ingress" | "longhorn" | "retirement">,
  stack: string,
): readonly RetirementInput[] {
  const standing = file.oldNodes.filter((node) => !node.retired);
  return standing.map((node) => ({
    node: node.name,
    roles: node.roles,
    address: node.address,
    vm: { host: node.host, vmId: node.vmId, mac: node.mac },
    stack,
    oldNodes: standing.map((other) => other.name),
    oldStorageClass: file.oldStorage.storageClass,
    volumes: file.volumes.map(({ namespace, claim }) => ({ namespace, claim })),
    ingressAddress: file.ingress.address,
    hosts: hostsOf(file),
    snapshotHours: file.retirement.snapshotHours,
    machines: file.retirement.machines,
  }));
}

/** What the file relies on by address, as far as no rule of the file keeps an old node from being it. */
function hostsOf({ networks, longhorn }: Pick<Environment, "networks" | "longhorn">): RetirementInput["hosts"] {
  const backup = longhorn.backup?.target.startsWith("nfs://") ? new URL(longhorn.backup.target).hostname : undefined;
  return [
    ...networks.flatMap(({ name, dns }) => dns.map((host) => ({ what: `a DNS server of network ${name}`, host }))),
    ...networks.flatMap(({ name, gateway }) =>
      gateway === undefined ? [] : [{ what: `the gateway of network ${name}`, host: gateway }],
    ),
    ...(backup === undefined ? [] : [{ what: "Longhorn's backup target", host: backup }]),
  ];
}
