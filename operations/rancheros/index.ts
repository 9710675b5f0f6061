import type { Operation } from "../operation";
import { checkRetirement, guardRetirement } from "./check-retirement";
import { leave } from "./leave";
import { recordOldNode } from "./record-old-node";
import { retireOldNode } from "./retire-old-node";

/** The operations of this part. */
export const rancherosOperations: readonly Operation[] = [
  recordOldNode,
  retireOldNode,
  leave,
  guardRetirement,
  checkRetirement,
];
