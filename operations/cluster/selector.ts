import type {
  V1LabelSelector,
  V1Node,
  V1NodeSelector,
  V1NodeSelectorRequirement,
  V1NodeSelectorTerm,
  V1Taint,
  V1Toleration,
} from "@kubernetes/client-node";

/** Kubernetes' own matching rules, as far as leaving needs them. No library has them: they live in the scheduler's and the eviction API's Go code. */

type Labels = Readonly<Record<string, string>>;

const cordonTaint = "node.kubernetes.io/unschedulable";

/** Whether a label selector selects the labels. An absent selector selects nothing, an empty one everything (policy/v1). */
export function selects(selector: V1LabelSelector | undefined, labels: Labels | undefined): boolean {
  if (!selector) return false;
  const own = labels ?? {};
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => own[key] === value) &&
    (selector.matchExpressions ?? []).every((requirement) => meets(own, requirement))
  );
}

/** Whether a node fits what a pod or a volume requires. Terms are alternatives; requirements within one all count; an empty term fits nothing. */
export function fitsNode(required: V1NodeSelector | undefined, node: V1Node): boolean {
  return required === undefined || required.nodeSelectorTerms.some((term) => fitsTerm(term, node));
}

function fitsTerm({ matchExpressions = [], matchFields = [] }: V1NodeSelectorTerm, node: V1Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { "metadata.name": node.metadata?.name ?? "" };
  return (
    matchExpressions.every((requirement) => meets(node.metadata?.labels ?? {}, requirement)) &&
    matchFields.every((requirement) => meets(fields, requirement))
  );
}

function meets(labels: Labels, { key, operator, values = [] }: V1NodeSelectorRequirement): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return Number(value) > Number(values[0]);
    case "Lt":
      return Number(value) < Number(values[0]);
    default:
      // An operator of a later Kubernetes: whoever uses it has to be looked at by a person.
      return false;
  }
}

/**
 * Whether the pod may run beside the node's taints. That of a cordon is no such: the node controller writes and removes it some time after
 * `spec.unschedulable`, which says it first (`takesPods`).
 */
export function tolerates(tolerations: readonly V1Toleration[] | undefined, node: V1Node): boolean {
  return (node.spec?.taints ?? [])
    .filter(({ key, effect }) => effect !== "PreferNoSchedule" && key !== cordonTaint)
    .every((taint) => (tolerations ?? []).some((toleration) => covers(toleration, taint)));
}

function covers(toleration: V1Toleration, taint: V1Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.operator === "Exists") return !toleration.key || toleration.key === taint.key;
  return toleration.key === taint.key && (toleration.value ?? "") === (taint.value ?? "");
}

/** Whether a node works and takes pods. */
export function takesPods(node: V1Node): boolean {
  return isReady(node) && !node.spec?.unschedulable;
}

export function isReady(node: V1Node): boolean {
  return (
    node.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false
  );
}
