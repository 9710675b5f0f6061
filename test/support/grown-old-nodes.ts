import type { EnvironmentFile } from "../../environment/schema";

/** As many of the old nodes as are wanted, in the way of the first. */
export function grownOldNodes(
  { oldNodes: [first] = [] }: EnvironmentFile,
  count: number,
): NonNullable<EnvironmentFile["oldNodes"]> {
  if (!first) throw new Error("no old node to take after");
  return Array.from({ length: count }, (_, index) => ({
    ...first,
    name: `rancheros-${index + 1}`,
    vmId: 101 + index,
    memory: 1,
    mac: `BC:24:11:00:10:${index + 1 + 0x40}`,
    address: `192.168.10.${51 + index}`,
  }));
}
