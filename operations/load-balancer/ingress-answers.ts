import type { V1EndpointSlice, V1Service } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import { services } from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { ingressInput, nameOf, type IngressInput } from "./ingress-input";
import { anyOf } from "./ingress-pods";
import { addressAnnotation, endpointSlices, isOurs } from "./names";

/** Seconds. A packaged chart is installed again by a Job, and K3s's pods come to the announcing nodes after it. */
const timeoutSeconds = 600;

/**
 * Waits until the Service is what was declared, has its address, and has a ready endpoint where one is needed. The engine sees none of it: it takes
 * no endpoint at all for success, and knows nothing of what a HelmChartConfig brings about.
 */
export const ingressAnswers = defineOperation({
  verb: "ingress-answers",
  needs: ["kubernetes"],
  schema: ingressInput,
  async run(input, { kubernetes, clock }) {
    await waitFor(
      clock,
      {
        what: `Service ${nameOf(input)} on ${input.address}`,
        timeoutSeconds,
        next: hint(input),
      },
      async () => {
        const live = await kubernetes.read(services, input.service, input.namespace);
        if (!live) throw new NotYet("it does not exist");
        const missing = [...differences(input, live), ...(await missingEndpoints(kubernetes, input))];
        if (missing.length > 0) throw new NotYet(missing.join("; "));
        return true;
      },
    );
    return { address: input.address };
  },
});

/** Events say what MetalLB refused, the Job's log what the chart did. */
function hint({ namespace, service, origin }: IngressInput): string {
  const look = `kubectl -n ${namespace} describe service ${service}`;
  return origin === "chart"
    ? `\`${look}\` and \`kubectl -n ${namespace} get helmchart,jobs,pods\`, then \`pulumi up\` again`
    : `\`${look}\`, then \`pulumi up\` again`;
}

/** What of the live Service is not as declared. */
function differences(input: IngressInput, { metadata, spec, status }: V1Service): readonly string[] {
  const nodePort = (port: number) => spec?.ports?.find((entry) => entry.port === port)?.nodePort;
  const addresses = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? "");
  const pairs: readonly (readonly [what: string, is: string | number | undefined, wanted: string | number])[] = [
    ["type", spec?.type, "LoadBalancer"],
    ["externalTrafficPolicy", spec?.externalTrafficPolicy, input.externalTrafficPolicy],
    [`annotation ${addressAnnotation}`, metadata?.annotations?.[addressAnnotation], input.address],
    ["node port of 80", nodePort(80), input.nodePorts.http],
    ["node port of 443", nodePort(443), input.nodePorts.https],
    // Kubernetes chooses one when none is declared.
    ...(input.healthCheckNodePort === undefined
      ? []
      : [["healthCheckNodePort", spec?.healthCheckNodePort, input.healthCheckNodePort] as const]),
    ["address", addresses.join(", "), input.address],
  ];
  return [
    ...pairs
      .filter(([, is, wanted]) => is !== wanted)
      .map(([what, is, wanted]) => `${what} is ${is === undefined || is === "" ? "missing" : is}, not ${wanted}`),
    ...(isOurs({ metadata }) ? [] : ["it lacks the label by which the pool knows it"]),
  ];
}

/** Endpoints that get traffic, as MetalLB sees them. */
async function missingEndpoints(kubernetes: KubernetesApi, input: IngressInput): Promise<readonly string[]> {
  const slices = await kubernetes.list(endpointSlices, {
    namespace: input.namespace,
    labels: { "kubernetes.io/service-name": input.service },
  });
  const nodes = new Set(slices.flatMap(readyNodes));
  if (nodes.size === 0) return ["no endpoint is ready"];
  if (input.externalTrafficPolicy === "Cluster" || input.announcers.some((node) => nodes.has(node))) return [];
  return [`endpoints are ready on ${[...nodes].sort().join(", ")}, and none on ${anyOf(input.announcers)}`];
}

/** Nodes of the slice's ready endpoints; none of a slice without ports, whose Service asks for a port that no pod names. */
function readyNodes({ endpoints, ports }: V1EndpointSlice): readonly string[] {
  if ((ports ?? []).length === 0) return [];
  // Go writes an empty list as null.
  return (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .map(({ nodeName }) => nodeName ?? "an unknown node");
}
