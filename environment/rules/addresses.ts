import { contains, networkRange, reservedIn, toNumber } from "../address";
import { repeated } from "../duplicates";
import { dhcpRanges, machineAddresses, named, serviceAddresses, type Holder } from "../machines";
import { at, whole } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** Where addresses may be, and what they may not be. Pools of addresses are in pools.ts. */

export function duplicateAddresses(environment: Environment): readonly Finding[] {
  return repeated(
    machineAddresses(environment).map((holder) => ({ ...holder, value: holder.address })),
    "address",
    "choose an address that nothing else has or had",
  );
}

/** A card with an address of another network reaches nobody there. */
export function addressOutsideNetwork(environment: Environment): readonly Finding[] {
  return environment.nodes
    .flatMap((node) => node.cards)
    .flatMap((card) => {
      const network = named(environment.networks, card.network);
      if (!network || contains(networkRange(network.cidr), toNumber(card.address))) return [];
      return [
        {
          path: at(card, "address"),
          value: card.address,
          why: `lies outside network ${network.name} (${network.cidr})`,
          remedy: `choose an address in ${network.cidr}, or name the network that it is in`,
        },
      ];
    });
}

/** An old node is recorded without a network: one that is in none is a slip of the pen, or a network that the file does not describe yet. */
export function oldNodeOutsideNetworks(environment: Environment): readonly Finding[] {
  if (!whole(environment.networks)) return [];
  return environment.oldNodes
    .filter((node) => !node.retired)
    .filter((node) => !environment.networks.some(({ cidr }) => contains(networkRange(cidr), toNumber(node.address))))
    .map((node) => ({
      path: at(node, "address"),
      value: node.address,
      why: "lies in none of the networks of this file, so nothing keeps its address free of others",
      remedy: "correct it, or add the network that the old node is in",
    }));
}

/** The first and the last address of a network are nobody's. */
export function addressOfNetworkItself(environment: Environment): readonly Finding[] {
  const networks = environment.networks;
  return live(holders(environment)).flatMap((holder) =>
    networks
      .filter(({ cidr }) => reservedIn(cidr).includes(holder.number))
      .map(({ name, cidr }) => ({
        path: holder.path,
        value: holder.address,
        why: `is the ${holder.number === reservedIn(cidr)[0] ? "network" : "broadcast"} address of ${name} (${cidr})`,
        remedy: "choose another address in it",
      })),
  );
}

/** A machine with the address of a gateway, DNS server or backup server cuts everybody off from it. A Proxmox host may be its network's gateway or DNS server itself. */
export function addressOfService(environment: Environment): readonly Finding[] {
  const services = serviceAddresses(environment);
  return live(machineAddresses(environment))
    .filter((machine) => machine.kind !== "host")
    .flatMap((machine) => {
      const service = services.find((other) => other.number === machine.number);
      if (!service) return [];
      return [
        {
          path: machine.path,
          value: machine.address,
          why: `is the address of ${service.who} (${service.path})`,
          remedy: "choose an address that nothing else has",
        },
      ];
    });
}

/**
 * A DHCP server may hand a fixed address out a second time. Old nodes and DNS servers only warn: they are as they are, and may have got their address by a
 * reservation.
 */
export function addressInsideDhcp(environment: Environment): readonly Finding[] {
  const ranges = environment.networks.flatMap((network) =>
    dhcpRanges(network).map((dhcp) => ({ ...dhcp, network: network.name })),
  );
  return live(holders(environment)).flatMap((holder) => {
    const found = ranges.find(({ range }) => contains(range, holder.number));
    if (!found) return [];
    const given = holder.kind === "old" || holder.kind === "dns";
    return [
      {
        severity: given ? ("warning" as const) : ("error" as const),
        path: holder.path,
        value: holder.address,
        why: `lies in ${found.text}, which DHCP hands out in ${found.network}`,
        remedy: given
          ? "see that it is reserved there"
          : "choose an address outside it, or shorten the range there and here",
      },
    ];
  });
}

function holders(environment: Environment): readonly Holder[] {
  return [...serviceAddresses(environment).filter(({ kind }) => kind !== "backup"), ...machineAddresses(environment)];
}

function live(all: readonly Holder[]): readonly Holder[] {
  return all.filter((holder) => !holder.retired);
}
