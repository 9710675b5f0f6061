import { stringify } from "yaml";
import type { Environment } from "../../environment/schema";
import { addressAnnotation, ingressLabels, poolAnnotation } from "../../operations/load-balancer/names";
import type { PackagedChart } from "./ingress-target";

type Ingress = Environment["ingress"];

/** What tells MetalLB which address, and from which pool: the second makes a wrong pool an error instead of another address. */
export function addressAnnotations({ address, pool }: Ingress): Record<string, string> {
  return { [addressAnnotation]: address, [poolAnnotation]: pool };
}

/**
 * The values by which a packaged chart makes the Service. Helm ignores keys that it does not know, so each was looked up: ingress-nginx 4.15.1 and
 * rke2-ingress-nginx's patch of it; traefik 27 to 41 and rke2-traefik's patch of it.
 */
export function ingressValues(ingress: Ingress, chart: PackagedChart, typeInSpec: boolean): string {
  // Sorted, and without anchors, so that the same settings are the same text.
  return stringify(chart.controller === "nginx" ? nginxValues(ingress) : traefikValues(ingress, chart, typeInSpec), {
    sortMapEntries: true,
    aliasDuplicateObjects: false,
  });
}

function nginxValues(ingress: Ingress): object {
  const { externalTrafficPolicy, healthCheckNodePort, nodePorts } = ingress;
  return {
    controller: {
      // The Ingress objects then show the address and not those of the nodes.
      publishService: { enabled: true },
      service: {
        enabled: true,
        type: "LoadBalancer",
        annotations: addressAnnotations(ingress),
        labels: ingressLabels,
        externalTrafficPolicy,
        sessionAffinity: "None",
        nodePorts,
        ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
      },
    },
  };
}

function traefikValues(ingress: Ingress, { becomesDaemonSet }: PackagedChart, typeInSpec: boolean): object {
  const { externalTrafficPolicy, healthCheckNodePort, nodePorts } = ingress;
  const type = { type: "LoadBalancer" };
  return {
    // K3s runs one pod, somewhere; with Local only the node that has it can announce, and that may be one without a card in the network.
    ...(becomesDaemonSet && { deployment: { kind: "DaemonSet" } }),
    service: {
      annotations: addressAnnotations(ingress),
      labels: ingressLabels,
      // Not in both places: before version 40 the Service would have the key twice.
      ...(!typeInSpec && type),
      spec: {
        ...(typeInSpec && type),
        externalTrafficPolicy,
        sessionAffinity: "None",
        ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
      },
    },
    ports: { web: { nodePort: nodePorts.http }, websecure: { nodePort: nodePorts.https } },
  };
}
