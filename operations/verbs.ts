import { keep } from "./keep";
import { loadBalancerOperations } from "./load-balancer";
import { nodesOperations } from "./nodes";
import type { Operation } from "./operation";
import { rancherosOperations } from "./rancheros";
import { storageOperations } from "./storage";
import { volumesOperations } from "./volumes";

/** Every operation there is. Verbs stand in states that exist: renaming one breaks their deletes. */
export const operations: readonly Operation[] = [
  keep,
  ...nodesOperations,
  ...storageOperations,
  ...loadBalancerOperations,
  ...volumesOperations,
  ...rancherosOperations,
];
