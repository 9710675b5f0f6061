import { inside } from "./inside";

/** What is measured of the services and volumes layers, each with its own bar. */
const parts: readonly (() => Promise<boolean>)[] = [
  // Objects and API calls, on a real API server without engine.
  () => inside("services", ["cluster"], "services-calls-inside.ts"),
  // Wall time of `up` over the longest chain of its gates, by the real engine.
  () => inside("services", ["cluster", "engine"], "services-time-inside.ts"),
];

/** Runs every part. False when one is above its bar, or cannot run here. */
export async function services(): Promise<boolean> {
  let below = true;
  for (const part of parts) below = (await part()) && below;
  return below;
}
