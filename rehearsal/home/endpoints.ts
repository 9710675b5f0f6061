import type { V1EndpointSlice, V1Pod, V1Service } from "@kubernetes/client-node";
import type { StoredObject } from "../../operations/clients";

/** The endpoint slices that Kubernetes' controller keeps for every Service with a selector: one each here, made anew whenever somebody looks. */
export function endpointSlicesOf(objects: readonly StoredObject[]): V1EndpointSlice[] {
  const services = objects.filter((object): object is V1Service => isCore(object, "Service"));
  const pods = objects.filter((object): object is V1Pod => isCore(object, "Pod"));
  return services.flatMap((service) => {
    const { name = "", namespace } = service.metadata ?? {};
    const selector = Object.entries(service.spec?.selector ?? {});
    if (selector.length === 0) return [];
    const chosen = pods.filter(
      (pod) =>
        pod.metadata?.namespace === namespace &&
        selector.every(([key, value]) => pod.metadata?.labels?.[key] === value),
    );
    return [
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name: `${name}-x2v4q`, namespace, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        ports: (service.spec?.ports ?? []).map(({ name: port, protocol, targetPort }) => ({
          name: port,
          protocol,
          port: Number(targetPort),
        })),
        endpoints: chosen.map((pod) => ({
          addresses: [],
          nodeName: pod.spec?.nodeName,
          targetRef: { kind: "Pod", name: pod.metadata?.name, namespace },
          conditions: {
            ready:
              pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true &&
              pod.metadata?.deletionTimestamp === undefined,
          },
        })),
      },
    ];
  });
}

function isCore(object: StoredObject, kind: string): boolean {
  return object.apiVersion === "v1" && object.kind === kind;
}
