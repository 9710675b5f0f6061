import type { Operation } from "../operation";
import { checkLonghornRelease } from "./check-longhorn-release";
import { defaultClass, restoreDefaultClass } from "./default-class";
import { guardLonghorn, leaveLonghorn } from "./leave-longhorn";
import { storageReady } from "./storage-ready";

/** The operations of this part. */
export const storageOperations: readonly Operation[] = [
  checkLonghornRelease,
  defaultClass,
  restoreDefaultClass,
  storageReady,
  guardLonghorn,
  leaveLonghorn,
];
