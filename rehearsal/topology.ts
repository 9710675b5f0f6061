import type { V1Node, V1Pod, V1Service, V1StorageClass } from "@kubernetes/client-node";
import type { Environment } from "../environment/schema";
import { newClaimName } from "../environment/volume-name";
import type { HomeState } from "./home/state";

/** A virtual machine, and what it is to the cluster. */
export interface Machine {
  readonly vmId: number;
  readonly name: string;
  readonly running: boolean;
  /** Roles first, then what else there is to say. */
  readonly facts: readonly string[];
}

/** The home as what is drawn of it: machines per Proxmox host, who is in the cluster and with which roles, where traffic comes in, where the volumes lie. */
export interface Topology {
  /** How clients come in. */
  readonly entry: string;
  readonly hosts: readonly { readonly name: string; readonly machines: readonly Machine[] }[];
  readonly classes: readonly string[];
  readonly volumes: readonly { readonly name: string; readonly where: string }[];
}

export function topologyOf(environment: Environment, home: HomeState): Topology {
  const objects = home.kubernetes.objects;
  const pods = objects.filter((object): object is V1Pod => object.kind === "Pod");
  const services = objects.filter((object): object is V1Service => object.kind === "Service");
  const classes = objects.filter((object): object is V1StorageClass => object.kind === "StorageClass");
  const balancer = services.find((service) => service.status?.loadBalancer?.ingress?.[0]?.ip !== undefined);
  const address = balancer?.status?.loadBalancer?.ingress?.[0]?.ip;

  const machineOf = (vm: HomeState["proxmox"]["vms"][number]): Machine => {
    const member = home.rancher.nodes.find((node) => node.vmId === vm.vmId);
    const node = objects.find(
      (object): object is V1Node =>
        object.kind === "Node" && object.apiVersion === "v1" && object.metadata?.name === member?.nodeName,
    );
    const here = pods.filter((pod) => pod.spec?.nodeName === member?.nodeName && pod.status?.phase === "Running");
    const workloads = here.filter((pod) => pod.spec?.volumes?.some((volume) => volume.persistentVolumeClaim)).length;
    const ingress = here.some((pod) => pod.metadata?.name?.startsWith("ingress-controller"));
    const facts = member
      ? [
          member.roles.join("+"),
          node?.status?.conditions?.[0]?.status === "True" ? "Ready" : "not Ready",
          ...(node?.spec?.unschedulable ? ["cordoned"] : []),
          ...(ingress ? ["ingress"] : []),
          ...(node?.metadata?.labels?.["node.longhorn.io/create-default-disk"] === "true" ? ["Longhorn disk"] : []),
          ...(workloads > 0 ? [`${workloads} stateful`] : []),
        ]
      : ["not in the cluster"];
    return { vmId: vm.vmId, name: vm.name, running: vm.status === "running", facts };
  };

  const whereIs = (volume: Environment["volumes"][number]): string => {
    const newClaim = newClaimName(volume);
    const mounted = pods.some(
      (pod) =>
        pod.metadata?.namespace === volume.namespace &&
        pod.status?.phase === "Running" &&
        pod.spec?.volumes?.some((entry) => entry.persistentVolumeClaim?.claimName === newClaim),
    );
    const copied = objects.some(
      (object) =>
        object.kind === "PersistentVolumeClaim" &&
        object.metadata?.name === newClaim &&
        object.metadata.namespace === volume.namespace,
    );
    if (mounted) return `${newClaim} on longhorn (old kept)`;
    const { storageClass } = environment.oldStorage;
    return copied ? `${storageClass}, copy on longhorn` : storageClass;
  };

  return {
    entry:
      address === undefined
        ? "node ports of every node"
        : `${address} (MetalLB, ${balancer?.spec?.externalTrafficPolicy === "Local" ? "client addresses kept" : "client addresses replaced"})`,
    hosts: [...new Set(home.proxmox.vms.map((vm) => vm.host))].sort().map((name) => ({
      name,
      machines: home.proxmox.vms
        .filter((vm) => vm.host === name)
        .sort((a, b) => a.vmId - b.vmId)
        .map(machineOf),
    })),
    classes: classes.map(
      ({ metadata }) =>
        `${metadata?.name}${metadata?.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true" ? " (default)" : ""}`,
    ),
    volumes: environment.volumes.map((volume) => ({
      name: `${volume.namespace}/${volume.claim}`,
      where: whereIs(volume),
    })),
  };
}

/** The topology as a text picture. */
export function topology(environment: Environment, home: HomeState): string {
  const { entry, hosts, classes, volumes } = topologyOf(environment, home);
  return [
    "clients",
    `  │ ${entry}`,
    "  ▼",
    ...hosts.flatMap(({ name, machines }) => [
      `┌─ Proxmox ${name}`,
      ...machines.map(
        ({ vmId, name: machine, running, facts }) =>
          `│  ${running ? "●" : "○"} ${String(vmId).padEnd(5)}${machine.padEnd(16)}${facts.join(", ")}`,
      ),
      "└─",
    ]),
    `storage classes: ${classes.join(", ")}`,
    ...volumes.map(({ name, where }) => `  ${name.padEnd(40)}${where}`),
  ].join("\n");
}
