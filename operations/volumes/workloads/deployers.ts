import type { KubernetesApi, StoredObject } from "../../clients";
import type { Finding } from "../agreement";
import { levers } from "./levers";
import { pause, type Found } from "./pause";
import { ownerName, type OwnerRecord } from "./record";
import { describeSource, pausedByHand, pausedByHandCommand, type Source } from "./sources";
import type { Workload } from "./template";

export interface Kept {
  readonly owner: OwnerRecord;
  readonly live: Workload;
  readonly source: Source;
}

/** What deploys the owner by itself is paused or refused; what a person deploys with is only told. */
export async function lookAtSource(kubernetes: KubernetesApi, kept: Kept, found: Found): Promise<void> {
  const { owner, live, source } = kept;
  // What it left at rest before we came it does not start now.
  if (owner.kind !== "Pod" && levers[owner.kind].wasAtRest(owner.original)) return;
  if (pausedByHand(live, source.tool)) {
    found.notes.push(`${ownerName(owner)}: ${describeSource(source)} is paused, as its annotation says`);
    return;
  }
  switch (source.tool) {
    case "Argo CD":
      return lookAtArgo(kept, source, found);
    case "Flux":
      return lookAtFlux(kubernetes, kept, source, found);
    case "Fleet":
      return lookAtFleet(kubernetes, kept, source, found);
    case "Helm":
    case "K3s":
      // Both deploy when a person changes something, not by themselves.
      found.notes.push(`${ownerName(owner)}: deploy nothing from ${describeSource(source)} until it runs again`);
  }
}

/** Any automated sync: without selfHeal the next commit, to whatever file of it, brings the workload back as well. */
function lookAtArgo(kept: Kept, { live: application }: Extract<Source, { tool: "Argo CD" }>, found: Found): void {
  const what = `${ownerName(kept.owner)}: ${describeSource(kept.source)}`;
  if (!application) {
    found.findings.push(elsewhere(kept, "switch off its automated sync there"));
    return;
  }
  const automated = application.spec?.syncPolicy?.automated;
  if (!automated || automated.enabled === false) {
    found.notes.push(`${what} syncs when told to: do not, until it runs again`);
    return;
  }
  const { name, namespace } = application.metadata ?? {};
  const patch = JSON.stringify({ spec: { syncPolicy: { automated: null } } });
  found.findings.push({
    why: `${what} would start it again: automated sync${automated.selfHeal ? " with selfHeal" : ", at the next commit"}`,
    next: `\`kubectl -n ${namespace} patch applications.argoproj.io ${name} --type merge -p '${patch}'\`, or where the Application itself comes from`,
  });
}

const fluxKinds = {
  Kustomization: ["v1", "v1beta2"].map((version) => `kustomize.toolkit.fluxcd.io/${version}`),
  HelmRelease: ["v2", "v2beta2", "v2beta1"].map((version) => `helm.toolkit.fluxcd.io/${version}`),
};

/** `spec.suspend` is what `flux suspend` sets; it stays, unless the file of the object itself says otherwise. */
async function lookAtFlux(
  kubernetes: KubernetesApi,
  kept: Kept,
  { kind, namespace, name }: Extract<Source, { tool: "Flux" }>,
  found: Found,
): Promise<void> {
  for (const apiVersion of fluxKinds[kind]) {
    const live = await kubernetes.read<Workload>({ apiVersion, kind }, name, namespace);
    if (!live) continue;
    const writer = live.metadata?.managedFields?.find(
      ({ manager, fieldsV1 }) =>
        manager === "kustomize-controller" && JSON.stringify(fieldsV1 ?? {}).includes('"f:suspend"'),
    );
    if (!writer) {
      pause({ ...live, apiVersion, kind }, kind, found);
      return;
    }
    found.findings.push({
      why: `${ownerName(kept.owner)}: ${describeSource(kept.source)} would start it again, and its own file says whether it is suspended`,
      next: `write suspend: true in that file; once it rests, ${pausedByHandCommand(kept.live, kept.source.tool)}`,
    });
    return;
  }
  found.findings.push(
    elsewhere(kept, `suspend it there (\`flux suspend ${kind.toLowerCase()} ${name} -n ${namespace}\`)`),
  );
}

interface BundleDeployment extends StoredObject {
  spec?: { paused?: boolean };
}
const bundleDeployments = { apiVersion: "fleet.cattle.io/v1alpha1", kind: "BundleDeployment" };

/** Bundles are in Rancher's own cluster, which this one only is when Rancher runs in it. With or without correctDrift: the next commit deploys it whole. */
async function lookAtFleet(
  kubernetes: KubernetesApi,
  kept: Kept,
  { id }: Extract<Source, { tool: "Fleet" }>,
  found: Found,
): Promise<void> {
  const live = (await kubernetes.list<BundleDeployment>(bundleDeployments)).find(({ metadata }) =>
    `-${id}-`.includes(`-${metadata?.name}-`),
  );
  if (live?.spec?.paused) return;
  const bundle = live?.metadata?.labels?.["fleet.cattle.io/bundle-name"] ?? id;
  const namespace = live?.metadata?.labels?.["fleet.cattle.io/bundle-namespace"] ?? "fleet-default";
  const patch = JSON.stringify({ spec: { paused: true } });
  const command = `\`kubectl -n ${namespace} patch bundles.fleet.cattle.io ${bundle} --type merge -p '${patch}'\``;
  if (!live) {
    found.findings.push(elsewhere(kept, `pause it in Rancher's own cluster, at its GitRepo (spec.paused)`));
    return;
  }
  found.findings.push({
    why: `${ownerName(kept.owner)}: ${describeSource(kept.source)} would start it again, at the next commit or by correctDrift`,
    next: `pause it at its GitRepo (spec.paused), or, where it has none, ${command}`,
  });
}

/** What deploys into this cluster from another one, where nothing can be read. */
function elsewhere({ owner, live, source }: Kept, how: string): Finding {
  return {
    why: `${ownerName(owner)}: ${describeSource(source)} is not in this cluster, so nobody here knows whether it would start it again`,
    next: `${how}, then say so: ${pausedByHandCommand(live, source.tool)}`,
  };
}
