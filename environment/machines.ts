import { isAddress, parseRange, toNumber, type AddressRange } from "./address";
import { at, atIndex, usable } from "./origin";
import type { Environment } from "./schema";

/** Who has which address in an environment: gathered once, used by the rules about duplicates, networks and pools. */

/** An address that a machine has or that something else answers on. */
export interface Holder {
  readonly address: string;
  /** The address as a number. */
  readonly number: number;
  /** For the operator: `old node rancheros-1`. */
  readonly who: string;
  readonly path: string;
  readonly kind: "host" | "old" | "node" | "gateway" | "dns" | "backup";
  /** A retired node: gone, but what it had stays taken, since the ledger and DNS still name it. */
  readonly retired: boolean;
}

type Network = Environment["networks"][number];

function holder(address: string, who: string, path: string, kind: Holder["kind"], retired = false): Holder {
  return { address, number: toNumber(address), who, path, kind, retired };
}

/** Every machine's address: Proxmox hosts, then old nodes, then the cards of the new ones, so that a clash is reported where it can be mended. */
export function machineAddresses(environment: Environment): readonly Holder[] {
  const hosts = usable(() => environment.proxmox.hosts, []);
  const oldNodes = usable(() => environment.oldNodes, []);
  return [
    ...hosts.map((host) => holder(host.address, `Proxmox host ${host.name}`, at(host, "address"), "host")),
    ...oldNodes.map((node) => holder(node.address, oldNodeName(node), at(node, "address"), "old", node.retired)),
    ...usable(() => environment.nodes, []).flatMap((node) =>
      node.cards.map((card) => holder(card.address, `node ${node.name}`, at(card, "address"), "node")),
    ),
  ];
}

/** Every other address that something answers on: gateways, DNS servers, and the backup target where the file gives it as an address. */
export function serviceAddresses(environment: Environment): readonly Holder[] {
  const networks = usable(() => environment.networks, []);
  const backup = usable(() => environment.longhorn.backup, undefined);
  const server = usable(() => /^nfs:\/\/(\d+\.\d+\.\d+\.\d+):/.exec(backup?.target ?? "")?.[1], undefined);
  return [
    ...networks.flatMap((network) =>
      network.gateway === undefined
        ? []
        : [holder(network.gateway, `the gateway of ${network.name}`, at(network, "gateway"), "gateway")],
    ),
    ...networks.flatMap((network) =>
      network.dns.map((address, index) =>
        holder(address, `the DNS server of ${network.name}`, atIndex(network.dns, index), "dns"),
      ),
    ),
    ...(backup !== undefined && server !== undefined && isAddress(server)
      ? [holder(server, "the backup server", at(backup, "target"), "backup")]
      : []),
  ];
}

/** `old node x`, or `retired node x`. */
export function oldNodeName(node: Environment["oldNodes"][number]): string {
  return `${node.retired ? "retired" : "old"} node ${node.name}`;
}

/** The ranges that a network's DHCP server hands out; those that run backwards have a rule of their own. */
export function dhcpRanges(network: Network): readonly { readonly text: string; readonly range: AddressRange }[] {
  return network.dhcp.flatMap((text) => {
    const range = parseRange(text);
    return range ? [{ text, range }] : [];
  });
}

/** The entry with that name; undefined when there is none. */
export function named<T extends { readonly name: string }>(list: readonly T[], name: string): T | undefined {
  return list.find((entry) => entry.name === name);
}
