import type { V1Pod, V1Service } from "@kubernetes/client-node";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { ingressInput, nameOf, type IngressInput } from "./ingress-input";
import { anyOf, readyPods, selectorText } from "./ingress-pods";
import { creatorLabel, isOurs, targetWorkloads, targetWorkloadsNoop } from "./names";
import { refuseConflicts } from "./service-conflicts";

/**
 * Refuses the ingress controller's Service while nobody would answer behind it. Runs at every preview and update, since neither the engine nor
 * MetalLB sees it: both call a Service good that has an address and no pod. Returns where the Service belongs, which everything made for it takes
 * from here, and which one is taken over, where one is.
 */
export const checkIngressPods = defineOperation({
  verb: "check-ingress-pods",
  needs: ["kubernetes"],
  schema: ingressInput,
  async run(input, { kubernetes }) {
    const live = await refuseConflicts(kubernetes, input);
    const labels = labelsNow(input, live);
    const ready = await readyPods(kubernetes, input.namespace, labels);
    if (ready.length === 0) throw nobody(input, labels);
    refuseUnreachable(input, ready, live);
    const uid = input.origin === "existing" ? (live?.metadata?.uid ?? "") : "";
    return { namespace: input.namespace, service: input.service, uid };
  },
});

/**
 * What the pods carry before the Service is changed. Rancher's own label comes only once Rancher sees a Service that asks for it: until then the pods
 * are those of the workload.
 */
function labelsNow(input: IngressInput, live: V1Service | undefined): Readonly<Record<string, string>> {
  const byRancher = Object.keys(input.selector).some((key) => key.startsWith("workloadID_"));
  return byRancher && !(live && rancherLabels(live, input.selector)) ? input.podLabels : input.selector;
}

/** Whether Rancher labels pods for this Service already. */
function rancherLabels({ metadata, spec }: V1Service, selector: Readonly<Record<string, string>>): boolean {
  return (
    metadata?.labels?.[creatorLabel] === "norman" &&
    metadata.annotations?.[targetWorkloads] !== undefined &&
    metadata.annotations[targetWorkloadsNoop] !== "true" &&
    Object.entries(selector).every(([key, value]) => spec?.selector?.[key] === value)
  );
}

function nobody(input: IngressInput, labels: Readonly<Record<string, string>>): Refusal {
  return new Refusal({
    what: `Service ${nameOf(input)}: no ready pod has the labels ${selectorText(labels)}`,
    why: `nobody would answer on ${input.address}, and everything behind it would be down`,
    next: `\`kubectl -n ${input.namespace} get pods --show-labels -o wide\`, and run it again once the controller's pods are Ready`,
  });
}

/**
 * With Local a node announces only if it has a ready pod of the Service, and only a node with a card in the network can (MetalLB v0.16.1,
 * speaker/layer2_controller.go, ShouldAnnounce): a pod on every other node does not help.
 */
function refuseUnreachable(input: IngressInput, ready: readonly V1Pod[], live: V1Service | undefined): void {
  if (input.externalTrafficPolicy === "Cluster") return;
  // The chart's values bring the pods to the announcing nodes; once they are in place, `ingress-answers` has seen to it.
  if (input.podsFollow && !(live && isOurs(live))) return;
  if (ready.some((pod) => input.announcers.includes(pod.spec?.nodeName ?? ""))) return;
  const nodes = [...new Set(ready.map((pod) => pod.spec?.nodeName ?? "no node"))].sort();
  throw new Refusal({
    what: `Service ${nameOf(input)}: its ready pods run on ${nodes.join(", ")}, and none on ${anyOf(input.announcers)}`,
    why: `only the latter have a card in the network of ${input.address}, and with externalTrafficPolicy Local only a node with a ready pod announces it`,
    next: `\`kubectl -n ${input.namespace} get pods -o wide\`, and run it again once one is Ready on ${anyOf(input.announcers)} (\`pulumi up\` of the layer nodes makes them)`,
  });
}
