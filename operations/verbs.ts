import { keep } from "./keep";
import type { Operation } from "./operation";

/** Every operation there is. Verbs stand in states that exist: renaming one breaks their deletes. */
export const operations: readonly Operation[] = [keep];
