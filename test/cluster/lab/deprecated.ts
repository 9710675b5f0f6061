import type { ApiClient } from "./api-client";

/** `v1 endpoints`, `autoscaling/v2beta2 horizontalpodautoscalers`: versions of kinds that anybody asked this server for and that it calls deprecated. */
export async function deprecatedApis(api: ApiClient): Promise<string[]> {
  const { status, body } = await api.send("GET", "/metrics");
  if (status !== 200) throw new Error(`/metrics: ${status}`);
  return deprecatedIn(String(body));
}

export function deprecatedIn(metrics: string): string[] {
  const found = [...metrics.matchAll(/^apiserver_requested_deprecated_apis\{([^}]*)\} 1$/gm)].map(([, labels = ""]) => {
    const label = (name: string): string => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
    const group = label("group");
    return `${group === "" ? "" : `${group}/`}${label("version")} ${label("resource")}`;
  });
  return [...new Set(found)].sort();
}
