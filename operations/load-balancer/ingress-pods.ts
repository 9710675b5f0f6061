import type { V1Pod } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import { pods } from "../kinds";

/** Pods that would get traffic: ready, and not on their way out. */
export async function readyPods(
  kubernetes: KubernetesApi,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): Promise<readonly V1Pod[]> {
  return (await kubernetes.list(pods, { namespace, labels })).filter(
    (pod) =>
      pod.metadata?.deletionTimestamp === undefined &&
      pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
  );
}

/** `a=b,c=d`, as kubectl takes it. */
export function selectorText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** `a, b or c`. */
export function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
