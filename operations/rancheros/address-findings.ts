import type { V1Ingress, V1Service } from "@kubernetes/client-node";
import type { Clients, Kind, StoredObject } from "../clients";
import type { Finding } from "../cluster/finding";
import type { Snapshot } from "../cluster/snapshot";
import { services } from "../kinds";
import { ingressLabels } from "../load-balancer/names";
import type { RetirementInput } from "./retirement-input";

const ingresses: Kind<V1Ingress> = { apiVersion: "networking.k8s.io/v1", kind: "Ingress" };

/** MetalLB's own word on which node answers for a Service's address (since 0.14.6). */
interface Announcement extends StoredObject {
  status?: { node?: string; serviceName?: string; serviceNamespace?: string };
}
const announcements: Kind<Announcement> = { apiVersion: "metallb.io/v1beta1", kind: "ServiceL2Status" };

/** What leads somewhere by an address, read once for all nodes. */
export interface Ways {
  /** What leads there, in words that go on "… leads to", the addresses, and what mends it. */
  readonly leads: readonly { readonly what: string; readonly addresses: readonly string[]; readonly remedy: string }[];
  readonly services: readonly V1Service[];
  readonly announcements: readonly Announcement[];
}

/** What is declared of it in the file, by the last `up`. */
export type AddressFacts = Pick<RetirementInput, "stack" | "ingressAddress" | "hosts">;

/** Where everything leads that hangs on an address: by live objects and by names as they resolve now. */
export async function lookAtWays(
  { kubernetes, network }: Pick<Clients, "kubernetes" | "network">,
  { volumes }: Pick<Snapshot, "volumes">,
  { stack, ingressAddress, hosts }: AddressFacts,
): Promise<Ways> {
  const mended = `then \`pulumi up -s ${stack}\``;
  const known: { what: string; host: string; remedy: string }[] = [
    {
      what: `the kubeconfig's server (${network.urlOf("kubernetes")})`,
      host: new URL(network.urlOf("kubernetes")).hostname,
      remedy: `make a kubeconfig that leads to a node that stays or to Rancher, \`pulumi config set --secret kubeconfig\`, ${mended}`,
    },
    {
      what: `Rancher (${network.urlOf("rancher")})`,
      host: new URL(network.urlOf("rancher")).hostname,
      remedy: "move Rancher, or point its name at what stays: every agent of the cluster reports to it",
    },
    ...hosts.map(({ what, host }) => ({
      what: `${what} in the environment file (${host})`,
      host,
      remedy: `move it to what stays and correct the file, ${mended}`,
    })),
    ...volumes.flatMap((volume) => {
      const server = volume.spec?.nfs?.server ?? volume.spec?.csi?.volumeAttributes?.server;
      if (server === undefined) return [];
      const claim = volume.spec?.claimRef;
      const user = claim ? ` of claim ${claim.namespace}/${claim.name}` : "";
      return [
        {
          what: `the NFS server of volume ${volume.metadata?.name}${user} (${server})`,
          host: server,
          remedy: "its data is on that machine: move it elsewhere, or delete the volume if nobody needs it any more",
        },
      ];
    }),
    ...[...new Set((await kubernetes.list(ingresses)).flatMap(hostsOf))].map((host) => ({
      what: `the name ${host} of an Ingress`,
      host,
      remedy: `point it, or the router's forward behind it, at the ingress address ${ingressAddress ?? ""}`.trim(),
    })),
  ];
  const found = await kubernetes.list(services);
  // Each name once, however many volumes or Ingresses have it.
  const resolved = new Map(
    await Promise.all(
      [...new Set(known.map(({ host }) => host))].map(async (host): Promise<[string, readonly string[]]> => [
        host,
        await network.addressesOf(host),
      ]),
    ),
  );
  return {
    leads: [
      ...known.map(({ what, host, remedy }) => ({ what, remedy, addresses: resolved.get(host) ?? [] })),
      ...found
        .filter(({ spec }) => (spec?.externalIPs ?? []).length > 0)
        .map(({ metadata, spec }) => ({
          what: `Service ${metadata?.namespace}/${metadata?.name} (externalIPs)`,
          addresses: spec?.externalIPs ?? [],
          remedy: "give it an address of a pool (type LoadBalancer), or of a node that stays",
        })),
    ],
    services: found,
    announcements: await kubernetes.list(announcements),
  };
}

/** What would lead nowhere without the node, and whether the ingress address is answered for by a node that stays. */
export function addressFindings(
  ways: Ways,
  {
    node,
    address,
    oldNodes,
    ingressAddress,
  }: Pick<RetirementInput, "node" | "address" | "oldNodes" | "ingressAddress">,
): Finding[] {
  const hanging = ways.leads
    .filter(({ addresses }) => addresses.includes(address))
    .map(({ what, remedy }) => ({ what: `${node}: ${what} leads to its address ${address}`, remedy }));
  return [...hanging, ...ingressFindings(ways, oldNodes, ingressAddress)];
}

/** Until the ingress controller has its own address, clients come by some node's ports, and nobody knows by which. */
function ingressFindings(ways: Ways, oldNodes: readonly string[], address: string | undefined): Finding[] {
  if (address === undefined) return [];
  const remedy = "`pulumi up` of the services layer, and let clients and the router's forward come by that address";
  const service = ways.services.find(
    ({ metadata, status }) =>
      Object.entries(ingressLabels).every(([key, value]) => metadata?.labels?.[key] === value) &&
      status?.loadBalancer?.ingress?.some(({ ip }) => ip === address),
  );
  if (!service) return [{ what: `ingress: no Service of this program has the address ${address}`, remedy }];
  const name = `${service.metadata?.namespace}/${service.metadata?.name}`;
  const announcers = ways.announcements
    .filter(({ status }) => `${status?.serviceNamespace}/${status?.serviceName}` === name)
    .flatMap(({ status }) => status?.node ?? []);
  const announcer = announcers.find((node) => oldNodes.includes(node));
  if (announcer !== undefined) {
    return [
      {
        what: `ingress: ${announcer}, which is to go, answers for the address ${address} of Service ${name}`,
        remedy: "`pulumi up` of the services layer, which lets only nodes that stay announce it",
      },
    ];
  }
  if (announcers.length > 0) return [];
  return [
    {
      what: `ingress: MetalLB names no node that answers for the address ${address} of Service ${name}`,
      remedy:
        "look at its speakers on the nodes that stay: `kubectl get servicel2statuses -A`, and `kubectl describe` the Service",
    },
  ];
}

function hostsOf({ spec }: V1Ingress): string[] {
  // A wildcard stands for no name that could be asked for.
  return (spec?.rules ?? []).flatMap(({ host }) => (host === undefined || host.startsWith("*") ? [] : [host]));
}
