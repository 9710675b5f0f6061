/** What pods of a namespace may do (Kubernetes, "Pod Security Standards"). */
export type PodSecurityLevel = "privileged" | "baseline" | "restricted";

/** What the API server goes by when a pod is created. */
export const enforceLabel = "pod-security.kubernetes.io/enforce";

/**
 * The labels by which a namespace states its level. All three: `audit` and `warn` follow the cluster's default where they are not said, and speak of pods that
 * were let in. Said even where nothing runs, since the default is the cluster's own and differs (RKE2 with its CIS profile: restricted).
 */
export function podSecurity(level: PodSecurityLevel): Record<string, string> {
  return {
    [enforceLabel]: level,
    "pod-security.kubernetes.io/audit": level,
    "pod-security.kubernetes.io/warn": level,
  };
}
