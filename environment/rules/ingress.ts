import { contains, parseRange, toNumber } from "../address";
import { repeated } from "../duplicates";
import { named } from "../machines";
import { at, usable, whole } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** The ingress controller's Service: its address, its ports, and whether the distribution has what it stands before. */

export function ingressPoolUnknown(environment: Environment): readonly Finding[] {
  const { pool } = environment.ingress;
  const { pools } = environment.loadBalancer;
  if (!whole(pools) || named(pools, pool)) return [];
  return [
    {
      path: at(environment.ingress, "pool"),
      value: pool,
      why: "is no pool of this file",
      remedy: `choose one of ${pools.map(({ name }) => name).join(", ")}`,
    },
  ];
}

export function ingressAddressOutsidePool(environment: Environment): readonly Finding[] {
  const { address, pool: name } = environment.ingress;
  const pool = named(environment.loadBalancer.pools, name);
  const range = pool && parseRange(pool.addresses);
  if (!pool || !range || contains(range, toNumber(address))) return [];
  return [
    {
      path: at(environment.ingress, "address"),
      value: address,
      why: `is not in pool ${pool.name} (${pool.addresses}), so MetalLB would never give it out`,
      remedy: `choose an address of ${pool.addresses}`,
    },
  ];
}

/** With `automatic`, any Service of type LoadBalancer may take the address first, and the ingress controller waits for ever. */
export function ingressAddressForAnyone(environment: Environment): readonly Finding[] {
  const pool = named(environment.loadBalancer.pools, environment.ingress.pool);
  if (pool?.allocation !== "automatic") return [];
  return [
    {
      path: at(pool, "allocation"),
      value: pool.allocation,
      why: `any LoadBalancer Service could take ${environment.ingress.address} before the ingress controller does`,
      remedy: "write ingress-only, and make another pool for other Services",
    },
  ];
}

/**
 * With externalTrafficPolicy Local only a node announces that runs a ready controller pod, and those run on workers: there must be a worker with a card in the
 * pool's network (MetalLB, speaker/layer2_controller.go).
 */
export function ingressWithoutAnnouncer(environment: Environment): readonly Finding[] {
  const { pool: name, externalTrafficPolicy } = environment.ingress;
  const pool = named(environment.loadBalancer.pools, name);
  const { nodes } = environment;
  if (!pool || externalTrafficPolicy !== "Local" || !whole(nodes)) return [];
  if (!nodes.every((node) => whole(node.cards) && whole(node.roles))) return [];
  const announcers = nodes.filter((node) => node.cards.some((card) => card.network === pool.network));
  // Without any card in the network, poolWithoutCards says so.
  if (announcers.length === 0 || announcers.some((node) => node.roles.includes("worker"))) return [];
  return [
    {
      path: at(environment.ingress, "pool"),
      value: name,
      why: `no worker has a card in ${pool.network}: the nodes that could announce the address run no ingress controller`,
      remedy: `give a worker a card in ${pool.network}, or make ${announcers[0]?.name ?? "a node there"} a worker`,
    },
  ];
}

interface Port {
  readonly port: number;
  readonly who: string;
  readonly path: string;
}

function ports({ ingress }: Environment): readonly Port[] {
  return [
    ...usable<Port[]>(() => [{ port: ingress.nodePorts.http, who: "http", path: at(ingress.nodePorts, "http") }], []),
    ...usable<Port[]>(
      () => [{ port: ingress.nodePorts.https, who: "https", path: at(ingress.nodePorts, "https") }],
      [],
    ),
    ...usable<Port[]>(() => {
      const { healthCheckNodePort: port } = ingress;
      return port === undefined ? [] : [{ port, who: "the health check", path: at(ingress, "healthCheckNodePort") }];
    }, []),
  ];
}

/** The API server's default `--service-node-port-range`; Rancher's distributions keep it. */
export function nodePortOutsideRange(environment: Environment): readonly Finding[] {
  return ports(environment)
    .filter(({ port }) => port < 30000 || port > 32767)
    .map(({ port, path }) => ({
      path,
      value: String(port),
      why: "lies outside 30000-32767, so the API server refuses it as a node port",
      remedy: "choose a free port of 30000-32767",
    }));
}

export function nodePortsCollide(environment: Environment): readonly Finding[] {
  return repeated(
    ports(environment).map(({ port, who, path }) => ({ value: String(port), who, path })),
    "node port",
    "choose another port of 30000-32767",
  );
}

/** The API server takes a health check port only together with Local, and never lets it be changed afterwards. */
export function healthCheckWithoutLocal(environment: Environment): readonly Finding[] {
  const { healthCheckNodePort, externalTrafficPolicy } = environment.ingress;
  if (healthCheckNodePort === undefined || externalTrafficPolicy === "Local") return [];
  return [
    {
      path: at(environment.ingress, "healthCheckNodePort"),
      value: String(healthCheckNodePort),
      why: `has no meaning with externalTrafficPolicy ${externalTrafficPolicy}, and the API server refuses it`,
      remedy: "write externalTrafficPolicy: Local, or remove the port",
    },
  ];
}

/** RKE1 brings a controller without a Service; the charts of RKE2 and K3s have one, which a HelmChartConfig sets. */
export function serviceForDistribution(environment: Environment): readonly Finding[] {
  const { distribution } = environment.cluster;
  const { service } = environment.ingress;
  const path = at(environment.ingress, "service");
  if (distribution === "rke1") {
    if (service) return [];
    return [
      {
        path,
        value: "(missing)",
        why: "rke1 brings an ingress controller without a Service, so this file must say which one stands before it",
        remedy: "add `service: { name: ingress-nginx, existing: true }`, existing: false if the cluster has none yet",
      },
    ];
  }
  if (!service) return [];
  return [
    {
      path,
      value: service.name,
      why: `${distribution}'s chart has a Service of its own, which is set through a HelmChartConfig`,
      remedy: "remove it",
    },
  ];
}

/**
 * Rancher labels pods with `workloadID_<name of the Service>`, and only for the workload that the Service's annotation names: with another name or in another namespace the
 * selector finds no pod, nobody announces the address, and everything behind it is down.
 */
export function workloadSelectorMatchesNothing(environment: Environment): readonly Finding[] {
  const { service } = environment.ingress;
  if (environment.cluster.distribution !== "rke1" || service?.selector !== "workload") return [];
  return (["name", "namespace"] as const)
    .filter((key) => service[key] !== "ingress-nginx")
    .map((key) => ({
      path: at(service, key),
      value: service[key],
      why: "with selector workload Rancher labels the controller's pods only for ingress-nginx in namespace ingress-nginx",
      remedy: `write ${key}: ingress-nginx, or selector: app`,
    }));
}

/** The controllers that each distribution brings (rancher/kontainer-driver-metadata, rke2-charts, k3s); the program configures these and installs none. */
const controllers: Readonly<Record<Environment["cluster"]["distribution"], readonly string[]>> = {
  rke1: ["nginx"],
  rke2: ["nginx", "traefik"],
  k3s: ["traefik"],
};

export function controllerNotInDistribution(environment: Environment): readonly Finding[] {
  const { distribution } = environment.cluster;
  const { controller } = environment.ingress;
  const brought = controllers[distribution];
  if (brought.includes(controller)) return [];
  return [
    {
      path: at(environment.ingress, "controller"),
      value: controller,
      why: `${distribution} brings ${brought.join(" or ")}, and this program configures what is there`,
      remedy: `write ${brought.join(" or ")}`,
    },
  ];
}
