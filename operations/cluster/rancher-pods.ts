import type { V1Pod } from "@kubernetes/client-node";
import type { Finding } from "./finding";
import { hasEnded, nameOf } from "./placement";
import { takesPods } from "./selector";
import type { Snapshot } from "./snapshot";

/** Where Rancher's chart and its documentation put it. */
const namespace = "cattle-system";
/** Its server's image, from whatever registry; not that of its agent, which is on every cluster. */
const image = /(^|\/)rancher\/rancher([:@]|$)/;

/**
 * Rancher itself, where it runs in this cluster and nowhere but on nodes that go: the drain would stop what has to remove the node, and an etcd member would
 * stay behind. Elsewhere it is found by the address that its name leads to.
 */
export function rancherFindings(
  { nodes, pods }: Pick<Snapshot, "nodes" | "pods">,
  node: string,
  leaving: readonly string[],
): Finding[] {
  const servers = pods.filter((pod) => isServer(pod) && !hasEnded(pod));
  const here = servers.filter(({ spec }) => spec?.nodeName === node);
  const staying = nodes.filter(({ metadata }) => ![node, ...leaving].includes(metadata?.name ?? "")).filter(takesPods);
  const elsewhere = servers.some(
    (pod) => isReady(pod) && staying.some(({ metadata }) => metadata?.name === pod.spec?.nodeName),
  );
  if (here.length === 0 || elsewhere) return [];
  const [first] = here;
  return [
    {
      what: `${node}: Rancher itself runs on it (pod ${here.map(nameOf).join(", ")}) and on no node that stays, and only Rancher can take the node out`,
      remedy:
        `\`kubectl cordon ${[node, ...leaving.filter((other) => other !== node)].join(" ")}\`, ` +
        `\`kubectl -n ${namespace} delete pod ${first?.metadata?.name}\`, and wait until Rancher answers from a node that stays`,
    },
  ];
}

function isServer({ metadata, spec }: V1Pod): boolean {
  return metadata?.namespace === namespace && (spec?.containers ?? []).some((one) => image.test(one.image ?? ""));
}

function isReady({ status }: V1Pod): boolean {
  return (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
}
