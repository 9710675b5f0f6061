import type { Operation } from "../operation";
import { checkHosts } from "./check-hosts";
import { checkMachine } from "./check-machine";
import { checkVmIds } from "./check-vm-ids";
import { identifyMachine } from "./identify-machine";
import { join } from "./join";
import { checkPending } from "./pending";
import { provision } from "./provision";
import { refreshMembership } from "./refresh-membership";
import { restartNode } from "./restart";
import { startMachine } from "./start-machine";
import { verifyHostKey } from "./verify-host-key";

/** The operations of this part. */
export const nodesOperations: readonly Operation[] = [
  checkHosts,
  checkVmIds,
  identifyMachine,
  startMachine,
  checkMachine,
  provision,
  verifyHostKey,
  join,
  refreshMembership,
  checkPending,
  restartNode,
];
