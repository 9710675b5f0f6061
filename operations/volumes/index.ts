import type { Operation } from "../operation";
import { concludeCopy } from "./conclude-copy";
import { observeConsumers } from "./observe-consumers";
import { prepareVolume } from "./prepare-volume";
import { readLedgers } from "./read-ledgers";

/** The operations of this part. */
export const volumesOperations: readonly Operation[] = [readLedgers, prepareVolume, observeConsumers, concludeCopy];
