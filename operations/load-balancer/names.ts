import type { V1EndpointSlice } from "@kubernetes/client-node";
import type { Kind, StoredObject } from "../clients";

/** What MetalLB, the charts and Rancher call the things that the load balancer is made of. States and clusters hold these names: never rename one. */

/** On the one Service that may have the ingress address, and on nothing else: MetalLB's pool selects by it, and it tells our Service from another. */
export const ingressLabels: Readonly<Record<string, string>> = { "home-cluster/address": "ingress" };

/** Not `spec.loadBalancerIP`, which is deprecated; MetalLB refuses a Service that has both (v0.16.1, controller/service.go, getDesiredLbIPs). */
export const addressAnnotation = "metallb.io/loadBalancerIPs";
export const poolAnnotation = "metallb.io/address-pool";

/** Rancher's mark of the Services that it serves, and what it is told by on them (rancher v2.11.16, targetworkloadservice). */
export const creatorLabel = "cattle.io/creator";
export const targetWorkloads = "field.cattle.io/targetWorkloadIds";
/** `"true"`: Rancher leaves selector and pods alone. Without it Rancher adds its own selector again, whatever is declared. */
export const targetWorkloadsNoop = "workload.cattle.io/targetWorkloadIdNoop";

/** UID of the Service that was taken over: one that Rancher makes anew is another, and is taken over like the first. */
export const takenOver = "home-cluster/taken-over";

export const endpointSlices: Kind<V1EndpointSlice> = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice" };

/** What RKE2 and K3s install a packaged chart from. */
export interface HelmChart extends StoredObject {
  spec?: { chart?: string };
}
export const helmCharts: Kind<HelmChart> = { apiVersion: "helm.cattle.io/v1", kind: "HelmChart" };
/** Values for such a chart; there can be only one for each. */
export const helmChartConfigs: Kind = { apiVersion: "helm.cattle.io/v1", kind: "HelmChartConfig" };

/** On what RKE2 and K3s apply from a file in server/manifests (Rancher's chartValues are one), also on an object that was there before: the file's Addon. */
export const addonName = "objectset.rio.cattle.io/owner-name";

/** Where the record of a taken-over Service stands, beside the Service. */
export const recordName = "home-cluster-ingress-service";

/** Whether an object carries our mark. */
export function isOurs(object: StoredObject): boolean {
  return Object.entries(ingressLabels).every(([key, value]) => object.metadata?.labels?.[key] === value);
}
