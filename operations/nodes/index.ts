import type { Operation } from "../operation";
import { checkVmIds } from "./check-vm-ids";
import { join } from "./join";
import { provision } from "./provision";
import { refreshMembership } from "./refresh-membership";
import { verifyHostKey } from "./verify-host-key";

/** The operations of this part. */
export const nodesOperations: readonly Operation[] = [checkVmIds, provision, verifyHostKey, join, refreshMembership];
