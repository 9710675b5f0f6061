import { named } from "../machines";
import { at, whole } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** Nodes: on which host, with which cards. */

function list(entries: readonly { readonly name: string }[]): string {
  return entries.map(({ name }) => name).join(", ");
}

/** The host of a retired node may be gone with it. */
export function hostUnknown(environment: Environment): readonly Finding[] {
  const { hosts } = environment.proxmox;
  if (!whole(hosts)) return [];
  return [...environment.nodes, ...environment.oldNodes.filter((node) => !node.retired)]
    .filter((node) => !named(hosts, node.host))
    .map((node) => ({
      path: at(node, "host"),
      value: node.host,
      why: "is no Proxmox host of this file",
      remedy: `choose one of ${list(hosts)}, or add it to proxmox.hosts`,
    }));
}

export function cardNetworkUnknown(environment: Environment): readonly Finding[] {
  const { networks } = environment;
  if (!whole(networks)) return [];
  return environment.nodes
    .flatMap((node) => node.cards)
    .filter((card) => !named(networks, card.network))
    .map((card) => ({
      path: at(card, "network"),
      value: card.network,
      why: "is no network of this file",
      remedy: `choose one of ${list(networks)}, or add it to networks`,
    }));
}

/** Two cards in one network answer for each other's addresses (ARP flux), and replies leave by either. */
export function cardsInOneNetwork(environment: Environment): readonly Finding[] {
  return environment.nodes.flatMap((node) =>
    node.cards
      .filter((card, index) => node.cards.slice(0, index).some((other) => other.network === card.network))
      .map((card) => ({
        path: at(card, "network"),
        value: card.network,
        why: `node ${node.name} has a card in this network already`,
        remedy: "remove one of the two, or put it into another network",
      })),
  );
}

/** The first card carries the default route: without it a new node can fetch neither packages nor images. */
export function firstCardWithoutGateway(environment: Environment): readonly Finding[] {
  return environment.nodes.flatMap((node) => {
    const [card] = node.cards;
    // With an entry left out, the first card here need not be the first of the file.
    if (!card || !whole(node.cards)) return [];
    const network = named(environment.networks, card.network);
    if (!network || network.gateway !== undefined) return [];
    return [
      {
        path: at(card, "network"),
        value: card.network,
        why: `the first card of ${node.name} carries the default route, and ${network.name} has no gateway`,
        remedy: "put the card first whose network has one, or add the gateway to the network",
      },
    ];
  });
}
