import { inside } from "./inside";

/** `up` of 30 nodes on the real engine, in namespaces of its own. False above the bar, or where it cannot run. */
export async function nodes(): Promise<boolean> {
  return inside("nodes", ["engine"], "nodes-inside.ts");
}
