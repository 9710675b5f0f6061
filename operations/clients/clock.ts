import type { Clock } from "../clients";

/** The machine's own clock, the one place that reads it. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};
