import {
  contains,
  formatRange,
  networkRange,
  overlap,
  parseRange,
  reservedIn,
  toAddress,
  type AddressRange,
} from "../address";
import { dhcpRanges, machineAddresses, named, serviceAddresses } from "../machines";
import { at, whole } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** MetalLB's pools: addresses that the cluster answers for by itself, so that nothing else may. */

type PoolSpec = Environment["loadBalancer"]["pools"][number];

interface Pool {
  readonly pool: PoolSpec;
  readonly range: AddressRange;
  readonly path: string;
}

function pools(environment: Environment): readonly Pool[] {
  return environment.loadBalancer.pools.flatMap((pool) => {
    const range = parseRange(pool.addresses);
    return range ? [{ pool, range, path: at(pool, "addresses") }] : [];
  });
}

export function poolRunsBackwards(environment: Environment): readonly Finding[] {
  return environment.loadBalancer.pools
    .filter((pool) => !parseRange(pool.addresses))
    .map((pool) => ({
      path: at(pool, "addresses"),
      value: pool.addresses,
      why: "runs backwards",
      remedy: `write ${pool.addresses.split("-").reverse().join("-")}`,
    }));
}

export function poolNetworkUnknown(environment: Environment): readonly Finding[] {
  const { networks } = environment;
  if (!whole(networks)) return [];
  return environment.loadBalancer.pools
    .filter((pool) => !named(networks, pool.network))
    .map((pool) => ({
      path: at(pool, "network"),
      value: pool.network,
      why: "is no network of this file",
      remedy: `choose one of ${networks.map(({ name }) => name).join(", ")}`,
    }));
}

/** Layer 2 announces an address by ARP: outside the network nobody asks for it, and its own and broadcast address are nobody's. */
export function poolOutsideNetwork(environment: Environment): readonly Finding[] {
  return pools(environment).flatMap(({ pool, range, path }) => {
    const network = named(environment.networks, pool.network);
    if (!network) return [];
    if (!contains(networkRange(network.cidr), range)) {
      return [
        {
          path,
          value: pool.addresses,
          why: `does not lie in network ${network.name} (${network.cidr})`,
          remedy: `choose addresses in ${network.cidr}`,
        },
      ];
    }
    return reservedIn(network.cidr)
      .filter((address) => contains(range, address))
      .map((address) => ({
        path,
        value: pool.addresses,
        why: `holds ${toAddress(address)}, the ${address === range.first ? "network" : "broadcast"} address of ${network.name}`,
        remedy: "leave it out",
      }));
  });
}

export function poolOverlapsDhcp(environment: Environment): readonly Finding[] {
  return pools(environment).flatMap(({ pool, range, path }) =>
    environment.networks.flatMap((network) =>
      dhcpRanges(network).flatMap((dhcp) => {
        const both = overlap(range, dhcp.range);
        if (!both) return [];
        return [
          {
            path,
            value: pool.addresses,
            why: `DHCP hands out ${formatRange(both)} of it in ${network.name} (${dhcp.text})`,
            remedy: "choose addresses outside the range, or shorten the range there and here",
          },
        ];
      }),
    ),
  );
}

/** Machines, retired ones included, gateways, DNS and backup servers. */
export function poolOverlapsMachines(environment: Environment): readonly Finding[] {
  const holders = [...machineAddresses(environment), ...serviceAddresses(environment)];
  return pools(environment).flatMap(({ pool, range, path }) =>
    holders
      .filter(({ number }) => contains(range, number))
      .map(({ address, who, path: other }) => ({
        path,
        value: pool.addresses,
        why: `holds ${address}, which ${who} has (${other})`,
        remedy: "choose addresses that nothing else has",
      })),
  );
}

export function poolsOverlap(environment: Environment): readonly Finding[] {
  const known = pools(environment);
  return known.flatMap(({ pool, range, path }, index) =>
    known.slice(0, index).flatMap((other) => {
      const both = overlap(range, other.range);
      if (!both) return [];
      return [
        {
          path,
          value: pool.addresses,
          why: `shares ${formatRange(both)} with pool ${other.pool.name} (${other.path}); MetalLB refuses that`,
          remedy: "give each address to one pool",
        },
      ];
    }),
  );
}

/** An address can be announced by a node only that has a card in its network. That the network exists at all is another rule's business. */
export function poolWithoutCards(environment: Environment): readonly Finding[] {
  if (!whole(environment.nodes) || !environment.nodes.every((node) => whole(node.cards))) return [];
  return environment.loadBalancer.pools
    .filter(({ network }) => named(environment.networks, network))
    .filter(({ network }) => !environment.nodes.some((node) => node.cards.some((card) => card.network === network)))
    .map((pool) => ({
      path: at(pool, "network"),
      value: pool.network,
      why: "no node has a card in this network, so nobody could announce the pool's addresses",
      remedy: "give the nodes a card in it, or take a network in which they have one",
    }));
}
