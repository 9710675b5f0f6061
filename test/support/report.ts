import { summarize } from "../../diff/compare";
import type { Report } from "../../diff/report";

/** A report of nothing, for tests that fill in what they are about. */
export const emptyReport: Report = {
  version: 1,
  base: { ref: "main", commit: "1111111111111111111111111111111111111111" },
  head: { ref: "the working tree", commit: undefined },
  failures: [],
  notes: [],
  stacks: [],
  secrets: { changes: [], encryptedAnew: [] },
  dangers: [],
  summary: summarize([], []),
};
