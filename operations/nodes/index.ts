import type { Operation } from "../operation";

/** The operations of this part. */
export const nodesOperations: readonly Operation[] = [];
