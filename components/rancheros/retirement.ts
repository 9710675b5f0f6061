import type { Environment } from "../../environment/schema";
import type { RetirementInput } from "../../operations/rancheros/retirement-input";

/** What is recorded of every old node that is not retired yet; a retired one has nothing left to read or to delete. */
export function retirements(
  file: Pick<Environment, "oldNodes" | "oldStorage" | "volumes">,
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
  }));
}
