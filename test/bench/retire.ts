import Table from "cli-table3";
import { retirementCalls, type RetirementCalls } from "../support/retirement-calls";
import { inside } from "./inside";

const pods = 4;
const counts = [3, 10] as const;

/** What the calls of a retirement are, and how long it takes, as there are more nodes. False above a bar, or where a part cannot run here. */
export async function retire(): Promise<boolean> {
  const same = await calls();
  // Wall time of `pulumi destroy`, by the real engine on a real API server.
  return (await inside("retire", ["cluster", "engine"], "retire-inside.ts")) && same;
}

/** Exact, for time is pretended: what a wait asks depends on its length alone. */
async function calls(): Promise<boolean> {
  const table = new Table({
    head: ["old nodes", "API calls of each node", "reads and writes of the Lease, all nodes", "bar"],
    style: { head: [], border: [] },
  });
  const measured: RetirementCalls[][] = [];
  for (const count of counts) measured.push([...(await retirementCalls(count, pods))]);
  const [of3 = [], of10 = []] = measured;
  const each = (found: readonly RetirementCalls[]): number[] => [...new Set(found.map((one) => one.calls))];
  const lease = (found: readonly RetirementCalls[]): number => found.reduce((sum, one) => sum + one.lease, 0);
  const same = new Set([...each(of3), ...each(of10)]).size === 1;
  table.push(
    [counts[0], each(of3).join(" or "), lease(of3), ""],
    [counts[1], `${each(of10).join(" or ")}${same ? "" : "  ABOVE"}`, lease(of10), "the same for every node"],
  );
  process.stdout.write(
    `Calls of a retirement with ${pods} pods a node, all nodes deleted side by side, on the pretend home; a waiting node only reads the Lease\n${table.toString()}\n`,
  );
  return same;
}
