import type { Operation } from "../operation";
import { checkIngressChart } from "./check-ingress-chart";
import { checkIngressPods } from "./check-ingress-pods";
import { ingressAnswers } from "./ingress-answers";
import { recordIngressService, restoreIngressService } from "./record-ingress-service";
import { webhookReady } from "./webhook-ready";

/** The operations of this part. */
export const loadBalancerOperations: readonly Operation[] = [
  webhookReady,
  checkIngressPods,
  checkIngressChart,
  recordIngressService,
  restoreIngressService,
  ingressAnswers,
];
