import type { V1Pod, V1PodDisruptionBudget } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { disruptionBudgets, pods } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { evictable, nameOf } from "./placement";
import { selects } from "./selector";

/** Seconds for all pods to be gone: a database that shuts down cleanly, and the ready replacement that its budget asks for, take minutes. */
const drainSeconds = 900;

/**
 * Evicts every pod that does not belong to the node itself, through the eviction API, which honours disruption budgets; emptyDir data goes with its
 * pod. A refused pod is tried again until the deadline, since its budget may have room once others are running elsewhere; then each is named with
 * the budget that blocks it. Nothing is ever forced.
 */
export async function drain({ kubernetes, clock, log }: Clients, node: string): Promise<void> {
  let left = -1;
  await waitFor(
    clock,
    {
      what: `${node}: drain`,
      timeoutSeconds: drainSeconds,
      next: `give those pods room to move (\`kubectl get poddisruptionbudgets -A\`, \`kubectl get pods -A --field-selector spec.nodeName=${node}\`)`,
    },
    async () => {
      const remaining = evictable(await kubernetes.list(pods), node);
      if (remaining.length !== left) log(`${node}: ${remaining.length} pods to move`);
      left = remaining.length;
      if (left === 0) return true;
      const waiting: string[] = [];
      for (const pod of remaining) {
        const refusal = pod.metadata?.deletionTimestamp ? "is shutting down" : await evict(kubernetes, pod);
        if (refusal !== undefined) waiting.push(`${nameOf(pod)} ${refusal}`);
      }
      throw new NotYet(waiting.join("; ") || "the last pods are shutting down");
    },
  );
}

/** Why the pod was not evicted; undefined when it was. */
async function evict(kubernetes: Clients["kubernetes"], pod: V1Pod): Promise<string | undefined> {
  const { name = "", namespace = "", labels } = pod.metadata ?? {};
  const answer = await kubernetes.evict(name, namespace);
  if (answer.evicted) return undefined;
  // The API's message does not always name the budget.
  const budgets = (await kubernetes.list<V1PodDisruptionBudget>(disruptionBudgets, { namespace }))
    .filter((budget) => selects(budget.spec?.selector, labels) && (budget.status?.disruptionsAllowed ?? 0) === 0)
    .map((budget) => budget.metadata?.name);
  return budgets.length > 0
    ? `is held by the disruption budget ${budgets.join(" and ")}`
    : `was not evicted: ${answer.reason}`;
}
