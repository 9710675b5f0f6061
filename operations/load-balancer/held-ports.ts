import type { V1Service } from "@kubernetes/client-node";
import { ApiRefusal, type KubernetesApi } from "../clients";
import { services } from "../kinds";
import { Refusal } from "../refusal";
import { nameOf, type IngressInput } from "./ingress-input";

/** How Kubernetes refuses a node port, whoever has it and whichever port of the Service it is for. */
const allocated = "provided port is already allocated";

/** Whether a write was refused over a node port that is not free. */
export function isPortTaken(error: unknown): error is ApiRefusal {
  return error instanceof ApiRefusal && error.message.includes(allocated);
}

/**
 * Refuses ports that no Service has and the API server does not give out all the same. An update that asks for a port and meets another write is tried again
 * by the server, which by then holds the port for its own first try (Kubernetes 1.25 to 1.36, registry/generic/registry/store.go, Update): it fails, and the
 * port stays held until the server's repair has missed its Service three times, every three minutes. Tried on both ends of that range.
 */
export async function refuseHeldPorts(
  kubernetes: KubernetesApi,
  input: IngressInput,
  live: V1Service | undefined,
): Promise<void> {
  const has = [...(live?.spec?.ports ?? []).map(({ nodePort }) => nodePort), live?.spec?.healthCheckNodePort];
  const lacks = (port: number | undefined): port is number => port !== undefined && !has.includes(port);
  const nodePorts = [input.nodePorts.http, input.nodePorts.https].filter(lacks);
  const health = lacks(input.healthCheckNodePort) ? input.healthCheckNodePort : undefined;
  if (nodePorts.length === 0 && health === undefined) return;
  try {
    await kubernetes.create(probe(input.namespace, nodePorts, health), { dryRun: true });
  } catch (error) {
    // Whatever else the server says of a Service that nobody wants is no concern of ours.
    if (error instanceof ApiRefusal && !isPortTaken(error)) return;
    if (!isPortTaken(error)) throw error;
    throw new Refusal({
      what: `Service ${nameOf(input)}: no Service has all of the ports ${[...nodePorts, ...(health === undefined ? [] : [health])].join(", ")}, and the API server does not give them out`,
      why: `it says "${error.message}": an update that met another write leaves its ports held for nobody`,
      next: "run it again in ten minutes, by when the API server has found out, or declare other ports (ingress.nodePorts, ingress.healthCheckNodePort)",
    });
  }
}

/** Only ever tried, never made. */
function probe(namespace: string, nodePorts: readonly number[], healthCheckNodePort: number | undefined): V1Service {
  return {
    apiVersion: services.apiVersion,
    kind: services.kind,
    metadata: { name: "home-cluster-probe", namespace },
    spec: {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
      ports: (nodePorts.length === 0 ? [undefined] : nodePorts).map((nodePort, index) => ({
        name: `port-${index}`,
        port: 80 + index,
        ...(nodePort !== undefined && { nodePort }),
      })),
    },
  };
}
