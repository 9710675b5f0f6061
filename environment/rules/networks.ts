import { contains, networkOf, networkRange, overlap, parseRange, toNumber, formatRange } from "../address";
import { at, atIndex, usable } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** Networks by themselves and among each other; the pods' and the Services' count as networks. */

interface Network {
  readonly who: string;
  readonly cidr: string;
  readonly path: string;
}

function all(environment: Environment): readonly Network[] {
  const own = (who: string, key: "podNetwork" | "serviceNetwork"): readonly Network[] =>
    usable(() => [{ who, cidr: environment.cluster[key], path: at(environment.cluster, key) }], []);
  return [
    ...own("pod network", "podNetwork"),
    ...own("service network", "serviceNetwork"),
    ...usable(() => environment.networks, []).map((network) => ({
      who: `network ${network.name}`,
      cidr: network.cidr,
      path: at(network, "cidr"),
    })),
  ];
}

/** `192.168.10.5/24` is an address, not a network: which of the two was meant decides what overlaps. */
export function networkWithHostBits(environment: Environment): readonly Finding[] {
  return all(environment)
    .filter(({ cidr }) => networkOf(cidr) !== cidr)
    .map(({ cidr, path }) => ({
      path,
      value: cidr,
      why: "has host bits set: it names an address in a network, not the network",
      remedy: `did you mean ${networkOf(cidr)}?`,
    }));
}

/** Packets to an address in two networks go to whichever route wins. */
export function networksOverlap(environment: Environment): readonly Finding[] {
  const networks = all(environment);
  return networks.flatMap((network, index) =>
    networks
      .slice(0, index)
      .filter((other) => overlap(networkRange(other.cidr), networkRange(network.cidr)))
      .map((other) => ({
        path: network.path,
        value: network.cidr,
        why: `overlaps ${other.who} ${other.cidr} (${other.path})`,
        remedy: "give one of them other addresses",
      })),
  );
}

export function gatewayOutsideNetwork(environment: Environment): readonly Finding[] {
  return environment.networks.flatMap((network) => {
    const { gateway, cidr } = network;
    if (gateway === undefined || contains(networkRange(cidr), toNumber(gateway))) return [];
    return [
      {
        path: at(network, "gateway"),
        value: gateway,
        why: `lies outside ${cidr}, so nobody in the network can reach it`,
        remedy: `write the router's address in ${cidr}`,
      },
    ];
  });
}

export function dhcpOutsideNetwork(environment: Environment): readonly Finding[] {
  return environment.networks.flatMap((network) =>
    network.dhcp.flatMap((text, index) => {
      const path = atIndex(network.dhcp, index);
      const range = parseRange(text);
      if (!range) {
        const turned = parseRange(text.split("-").reverse().join("-"));
        return [
          {
            path,
            value: text,
            why: "runs backwards",
            remedy: turned ? `write ${formatRange(turned)}` : "write the lower address first",
          },
        ];
      }
      if (contains(networkRange(network.cidr), range)) return [];
      return [
        {
          path,
          value: text,
          why: `lies outside network ${network.name} (${network.cidr})`,
          remedy: `write the part of ${network.cidr} that its DHCP server hands out`,
        },
      ];
    }),
  );
}
