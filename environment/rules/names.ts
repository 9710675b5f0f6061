import { repeated, type Entry } from "../duplicates";
import { oldNodeName } from "../machines";
import { at, usable } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** What must be unique, and names that Kubernetes refuses although they have the form of a name. */

/** Names within one kind of thing. Proxmox hosts, old nodes and new nodes are one kind: they share DNS, and Kubernetes knows old and new ones side by side. */
export function duplicateNames(environment: Environment): readonly Finding[] {
  const entries = <T extends { readonly name: string }>(list: () => readonly T[], who: (item: T) => string): Entry[] =>
    usable(list, []).map((item) => ({ value: item.name, who: who(item), path: at(item, "name") }));
  const groups = [
    [
      ...entries(
        () => environment.proxmox.hosts,
        (host) => `Proxmox host ${host.name}`,
      ),
      ...usable(() => environment.oldNodes, []).map((node) => ({
        value: node.name,
        who: oldNodeName(node),
        path: at(node, "name"),
        retired: node.retired,
      })),
      ...entries(
        () => environment.nodes,
        (node) => `node ${node.name}`,
      ),
    ],
    entries(
      () => environment.networks,
      (network) => `network ${network.name}`,
    ),
    entries(
      () => environment.loadBalancer.pools,
      (pool) => `pool ${pool.name}`,
    ),
    entries(
      () => environment.longhorn.recurringJobs,
      (job) => `recurring job ${job.name}`,
    ),
  ];
  return groups.flatMap((group) => repeated(group, "name", "choose a name that nothing else in this file has"));
}

/** A vmId that two machines claim: the provider silently adopts the machine that has it, and a later `up` deletes it (tried). */
export function duplicateVmIds(environment: Environment): readonly Finding[] {
  return repeated(
    [
      ...usable(() => environment.oldNodes, []).map((node) => ({
        value: String(node.vmId),
        who: oldNodeName(node),
        path: at(node, "vmId"),
        retired: node.retired,
      })),
      ...usable(() => environment.nodes, []).map((node) => ({
        value: String(node.vmId),
        who: `node ${node.name}`,
        path: at(node, "vmId"),
      })),
    ],
    "vmId",
    "choose an id that no machine in this file has or had",
  );
}

export function duplicateMacs(environment: Environment): readonly Finding[] {
  return repeated(
    [
      ...usable(() => environment.oldNodes, []).map((node) => ({
        value: node.mac,
        who: oldNodeName(node),
        path: at(node, "mac"),
        retired: node.retired,
      })),
      ...usable(() => environment.nodes, []).flatMap((node) =>
        node.cards.map((card) => ({ value: card.mac, who: `node ${node.name}`, path: at(card, "mac") })),
      ),
    ],
    "MAC address",
    "choose another one",
  );
}

/** The lowest bit of the first byte marks a group of cards; no card may have such an address of its own. */
export function macOfGroup(environment: Environment): readonly Finding[] {
  return environment.nodes
    .flatMap((node) => node.cards)
    .filter((card) => Number.parseInt(card.mac.slice(0, 2), 16) % 2 === 1)
    .map((card) => ({
      path: at(card, "mac"),
      value: card.mac,
      why: "is a multicast address: its first byte is odd, so no network delivers to it",
      remedy: "choose one with an even first byte, such as Proxmox's own BC:24:11",
    }));
}

const labelName = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelPrefix = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Labels by the rules of the Kubernetes API ("Labels and Selectors": syntax and character set). */
export function labelRefusedByKubernetes(environment: Environment): readonly Finding[] {
  return labels(environment).flatMap(({ key, value, path }) => {
    const [name = "", ...prefix] = key.split("/").reverse();
    const keyFits =
      labelName.test(name) && (prefix.length === 0 || (prefix.length === 1 && labelPrefix.test(prefix[0] ?? "")));
    return [
      ...(keyFits
        ? []
        : [
            {
              path,
              value: key,
              why: "is no label key that Kubernetes takes",
              remedy:
                "write `name` or `dns.prefix/name`, at most 63 letters, digits, hyphens, underscores and dots after the slash",
            },
          ]),
      ...(value === "" || labelName.test(value)
        ? []
        : [
            {
              path,
              value,
              why: "is no label value that Kubernetes takes",
              remedy: "write at most 63 letters, digits, hyphens, underscores and dots, a letter or digit at both ends",
            },
          ]),
    ];
  });
}

/** Labels that follow from other fields: a second source of truth would win or lose by the order in which they are written. */
export function labelSetByProgram(environment: Environment): readonly Finding[] {
  const sources: readonly (readonly [RegExp, string])[] = [
    [/^home-cluster\//, "the program keeps its own marks there"],
    [/^node\.longhorn\.io\/create-default-disk$/, "it follows from dataDisk"],
    [/^node-role\.kubernetes\.io\//, "it follows from roles"],
  ];
  return labels(environment).flatMap(({ key, path }) =>
    sources
      .filter(([pattern]) => pattern.test(key))
      .map(([, source]) => ({ path, value: key, why: `is set by the program: ${source}`, remedy: "remove it" })),
  );
}

function labels(
  environment: Environment,
): readonly { readonly key: string; readonly value: string; readonly path: string }[] {
  return environment.nodes.flatMap((node) =>
    Object.entries(node.labels).map(([key, value]) => ({ key, value, path: at(node.labels, key) })),
  );
}

/** Services are the one kind here whose names must start with a letter (DNS-1035). */
export function serviceNameRefused(environment: Environment): readonly Finding[] {
  const { service } = environment.ingress;
  if (!service || /^[a-z]/.test(service.name)) return [];
  return [
    {
      path: at(service, "name"),
      value: service.name,
      why: "Kubernetes refuses a Service whose name starts with a digit",
      remedy: "start it with a letter",
    },
  ];
}
