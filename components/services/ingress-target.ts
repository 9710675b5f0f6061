import type { Distribution, Environment } from "../../environment/schema";
import type { IngressInput } from "../../operations/load-balancer/ingress-input";

type Ingress = Environment["ingress"];

/** The ingress controller's Service as each distribution has it. */
export interface IngressTarget {
  readonly namespace: string;
  readonly service: string;
  readonly origin: IngressInput["origin"];
  readonly selector: Readonly<Record<string, string>>;
  /** Labels of the pods by their own template. */
  readonly podLabels: Readonly<Record<string, string>>;
  /** The packaged chart whose values make the Service. */
  readonly chart?: PackagedChart;
}

export interface PackagedChart {
  readonly name: string;
  readonly controller: Ingress["controller"];
  /** The chart runs a pod on any one node by itself, and has to be told to run one on each. */
  readonly becomesDaemonSet: boolean;
}

/** RKE1's controller by the labels of its DaemonSet's template (kontainer-driver-metadata, nginx-v1.11.2-rancher2). */
const rke1Pods = { app: "ingress-nginx" };

/** The packaged controllers: chart, Service, and the labels of the pods. */
const packaged = {
  rke2: {
    nginx: {
      chart: "rke2-ingress-nginx",
      service: "rke2-ingress-nginx-controller",
      labels: { "app.kubernetes.io/name": "rke2-ingress-nginx", "app.kubernetes.io/component": "controller" },
    },
    traefik: {
      chart: "rke2-traefik",
      service: "rke2-traefik",
      labels: { "app.kubernetes.io/name": "rke2-traefik" },
    },
  },
  k3s: {
    traefik: { chart: "traefik", service: "traefik", labels: { "app.kubernetes.io/name": "traefik" } },
    nginx: undefined,
  },
} as const;

/** Where packaged charts live. */
const chartNamespace = "kube-system";

/** What the file and the distribution make of the Service. The environment's rules have refused what has no row here. */
export function ingressTarget(ingress: Ingress, distribution: Distribution): IngressTarget {
  if (distribution === "rke1") {
    const { service } = ingress;
    if (!service) throw new Error("ingress.service: missing; the environment's rules ask for it on rke1");
    return {
      namespace: service.namespace,
      service: service.name,
      origin: service.existing ? "existing" : "created",
      // Rancher names its label after the Service, and knows no other.
      selector: service.selector === "app" ? rke1Pods : { [`workloadID_${service.name}`]: "true" },
      podLabels: rke1Pods,
    };
  }
  const row = packaged[distribution][ingress.controller];
  if (!row) throw new Error(`${distribution} brings no ${ingress.controller}; the environment's rules refuse it`);
  return {
    namespace: chartNamespace,
    service: row.service,
    origin: "chart",
    selector: row.labels,
    podLabels: row.labels,
    chart: { name: row.chart, controller: ingress.controller, becomesDaemonSet: distribution === "k3s" },
  };
}

/**
 * Names of the nodes that have a card in one of the networks: the only ones that clients of its addresses can reach. Sorted: their order means
 * nothing.
 */
export function announcers(nodes: Environment["nodes"], ...networks: readonly string[]): string[] {
  return nodes
    .filter((node) => node.cards.some((card) => networks.includes(card.network)))
    .map((node) => node.name)
    .sort();
}

/** The nodes that announce addresses of any pool. */
export function poolAnnouncers({ nodes, loadBalancer }: Environment): string[] {
  return announcers(nodes, ...loadBalancer.pools.map((pool) => pool.network));
}

/** The nodes that can announce the ingress controller's address. */
export function ingressAnnouncers({ nodes, loadBalancer, ingress }: Environment): string[] {
  const pools = loadBalancer.pools.filter((pool) => pool.name === ingress.pool);
  return announcers(nodes, ...pools.map((pool) => pool.network));
}

/** The file's ingress settings in the form that operations take. */
export function ingressSettings(ingress: Ingress, target: IngressTarget, nodes: readonly string[]): IngressInput {
  const { address, externalTrafficPolicy, nodePorts, healthCheckNodePort } = ingress;
  return {
    namespace: target.namespace,
    service: target.service,
    origin: target.origin,
    selector: { ...target.selector },
    podLabels: { ...target.podLabels },
    podsFollow: target.chart?.becomesDaemonSet ?? false,
    address,
    externalTrafficPolicy,
    nodePorts,
    ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
    announcers: [...nodes],
  };
}
