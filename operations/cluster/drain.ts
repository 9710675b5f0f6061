import type { V1Pod, V1PodDisruptionBudget } from "@kubernetes/client-node";
import { ApiRefusal, type Clients } from "../clients";
import { disruptionBudgets, pods } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
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
      firstSeconds: 1,
      next: `give those pods room to move (\`kubectl get poddisruptionbudgets -A\`, \`kubectl get pods -A --field-selector spec.nodeName=${node}\`)`,
    },
    async () => {
      const remaining = evictable(await kubernetes.list(pods, { onNode: node }), node);
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
  const over = async (): Promise<V1PodDisruptionBudget[]> =>
    (await kubernetes.list<V1PodDisruptionBudget>(disruptionBudgets, { namespace })).filter((budget) =>
      selects(budget.spec?.selector, labels),
    );
  const named = (budgets: readonly V1PodDisruptionBudget[]): string =>
    budgets.map((budget) => budget.metadata?.name).join(" and ");
  const answer = await kubernetes.evict(name, namespace).catch(async (error: unknown) => {
    // The eviction API answers 500 to a pod under two budgets, names neither it nor them, and would do so for ever (tried).
    const budgets = error instanceof ApiRefusal && error.status === 500 ? await over() : [];
    if (budgets.length < 2) throw error;
    throw new Refusal({
      what: `${nameOf(pod)} cannot be evicted`,
      why: `the disruption budgets ${named(budgets)} both select it, and the eviction API refuses a pod with more than one`,
      next: `leave it one of them (\`kubectl -n ${namespace} get poddisruptionbudgets\`)`,
    });
  });
  if (answer.evicted) return undefined;
  // The API's message does not always name the budget.
  const full = (await over()).filter(({ status }) => (status?.disruptionsAllowed ?? 0) === 0);
  return full.length > 0 ? `is held by the disruption budget ${named(full)}` : `was not evicted: ${answer.reason}`;
}
