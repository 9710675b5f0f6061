import type { Operation } from "../operation";

/** The operations of this part. */
export const storageOperations: readonly Operation[] = [];
