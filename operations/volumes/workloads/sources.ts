import type { KubernetesApi, StoredObject } from "../../clients";
import type { Workload } from "./template";

/**
 * What a workload was made from, as the tools mark what they make. From their code and documentation, not tried with the tools themselves: Argo CD "Resource
 * tracking", Flux's kustomize- and helm-controller labels, Fleet's helmdeployer/postrender.go, Helm's release annotations, K3s' deploy controller.
 */
export type Source =
  | { readonly tool: "Argo CD"; readonly application: string; readonly live: Application | undefined }
  | {
      readonly tool: "Flux";
      readonly kind: "Kustomization" | "HelmRelease";
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly tool: "Fleet"; readonly id: string }
  | { readonly tool: "Helm"; readonly namespace: string; readonly release: string }
  | { readonly tool: "K3s"; readonly addon: string };

/** Argo CD's Application, as far as it says whether it syncs by itself. */
export interface Application extends StoredObject {
  spec?: { syncPolicy?: { automated?: { selfHeal?: boolean; enabled?: boolean } | null } };
}
const applications = { apiVersion: "argoproj.io/v1alpha1", kind: "Application" };

/** On a workload: names of what would bring it back and that a person has paused where we cannot see it (`argo-cd,fleet`). */
const pausedByHandAnnotation = "home-cluster/paused-by-hand";
/** On a workload: the claim that its source says by now, without having been deployed. */
export const claimInSourceAnnotation = "home-cluster/claim-in-source";

/** Every tool that brings the workload back to what its own files say; Argo CD's label alone is also Helm's habit, and counts only where there is such an Application. */
export async function sourcesOf(kubernetes: KubernetesApi, workload: Workload): Promise<Source[]> {
  const { labels = {}, annotations = {} } = workload.metadata ?? {};
  const sources: Source[] = [];
  const tracked = annotations["argocd.argoproj.io/tracking-id"]?.split(":")[0];
  const application = tracked ?? labels["argocd.argoproj.io/instance"] ?? labels["app.kubernetes.io/instance"];
  if (application !== undefined) {
    const live = (await kubernetes.list<Application>(applications)).find(
      // An Application of another namespace than Argo CD's own is written `<namespace>_<name>`.
      ({ metadata }) => application === metadata?.name || application === `${metadata?.namespace}_${metadata?.name}`,
    );
    const sure = tracked !== undefined || labels["argocd.argoproj.io/instance"] !== undefined;
    if (live || sure) sources.push({ tool: "Argo CD", application, live });
  }
  for (const [kind, group] of [
    ["Kustomization", "kustomize.toolkit.fluxcd.io"],
    ["HelmRelease", "helm.toolkit.fluxcd.io"],
  ] as const) {
    const [name, namespace] = [labels[`${group}/name`], labels[`${group}/namespace`]];
    if (name !== undefined && namespace !== undefined) sources.push({ tool: "Flux", kind, namespace, name });
  }
  const set = annotations["objectset.rio.cattle.io/id"];
  const addon = annotations["objectset.rio.cattle.io/owner-name"];
  if (addon !== undefined) sources.push({ tool: "K3s", addon });
  else if (set !== undefined) sources.push({ tool: "Fleet", id: set });
  const release = annotations["meta.helm.sh/release-name"];
  const namespace = annotations["meta.helm.sh/release-namespace"] ?? "";
  // Flux and Fleet install by Helm; then they are what deploys.
  if (release !== undefined && sources.length === 0) sources.push({ tool: "Helm", namespace, release });
  return sources;
}

/** `Argo CD's Application web`. */
export function describeSource(source: Source): string {
  switch (source.tool) {
    case "Argo CD":
      return `Argo CD's Application ${source.application}`;
    case "Flux":
      return `Flux's ${source.kind} ${source.namespace}/${source.name}`;
    case "Fleet":
      return `Fleet's bundle ${source.id}`;
    case "Helm":
      return `Helm's release ${source.namespace}/${source.release}`;
    case "K3s":
      return `the server's manifest ${source.addon}`;
  }
}

/** Whether a person said that this keeper of the workload rests. */
export function pausedByHand({ metadata }: StoredObject, keeper: string): boolean {
  const said = metadata?.annotations?.[pausedByHandAnnotation] ?? "";
  return said.split(",").includes(word(keeper));
}

/** How a person says so. */
export function pausedByHandCommand({ kind, metadata }: StoredObject, keeper: string): string {
  const said = metadata?.annotations?.[pausedByHandAnnotation];
  const value = said === undefined ? word(keeper) : `${said},${word(keeper)}`;
  return `\`kubectl -n ${metadata?.namespace} annotate ${kind?.toLowerCase()} ${metadata?.name} --overwrite ${pausedByHandAnnotation}=${value}\``;
}

function word(keeper: string): string {
  return keeper.toLowerCase().replaceAll(" ", "-");
}
