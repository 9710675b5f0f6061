import type { V1Node, V1Pod } from "@kubernetes/client-node";
import type { KubernetesApi } from "../../../operations/clients";
import * as kinds from "../../../operations/kinds";
import { simulated } from "./control-plane";
import { until } from "./processes";

/** A node that only exists in the API; kwok answers for it. Nothing runs on it: a pod is ready when kwok says so, a Job is done at once. */
export interface SimulatedNode {
  readonly name: string;
  /** Of the machine. Default 192.0.2.<n>. */
  readonly address?: string;
  /** Its pods' addresses come out of it. Default 10.42.<n>.0/24. */
  readonly podCidr?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  /** Default 8 CPUs, 32 GiB, 110 pods. */
  readonly capacity?: Readonly<Record<string, string>>;
  readonly unschedulable?: boolean;
  /** Default true. */
  readonly ready?: boolean;
}

/** What tells kwok whether a node or a pod is ready (stages.yaml); on pods it can stand in a template. */
export function readiness(ready: boolean): Record<string, string> {
  return { "home-cluster.test/ready": String(ready) };
}

/** What tells kwok, on the pod template of a Job, that it does not complete at once. */
export function jobThat(does: "runs" | "fails"): Record<string, string> {
  return { "home-cluster.test/job": does };
}

/** What tells kwok, on a pod template, that the pod takes the whole of its grace to shut down, and is not gone at once. */
export const usesItsGrace = { "home-cluster.test/shutdown": "takes-its-grace" } as const;

/** Adds nodes and returns once each is as ready as it was asked to be, and schedulers know it. */
export async function addNodes(api: KubernetesApi, nodes: readonly SimulatedNode[]): Promise<void> {
  const before = (await api.list(kinds.nodes)).length;
  for (const [index, node] of nodes.entries()) await api.create(nodeOf(node, before + index + 1));
  await Promise.all(nodes.map(({ name, ready = true }) => nodeIs(api, name, ready)));
}

/** Makes a node ready or not, as its kubelet would say it, and returns once the cluster treats it so. */
export async function setNodeReady(api: KubernetesApi, name: string, ready: boolean): Promise<void> {
  await api.patch(kinds.nodes, name, { metadata: { annotations: readiness(ready) } });
  await nodeIs(api, name, ready);
}

/** Makes a pod ready or not, as its probe would. */
export async function setPodReady(api: KubernetesApi, name: string, namespace: string, ready: boolean): Promise<void> {
  await api.patch(kinds.pods, name, { metadata: { annotations: readiness(ready) } }, namespace);
  await until(`pod ${name} is ${ready ? "ready" : "not ready"}`, async () => {
    const pod = await api.read(kinds.pods, name, namespace);
    if (isReady(pod) !== ready) throw new Error(JSON.stringify(pod?.status?.conditions));
  });
}

/** Waits for so many ready pods with these labels, and returns them by name. */
export async function readyPods(
  api: KubernetesApi,
  count: number,
  of: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): Promise<V1Pod[]> {
  return until(`${count} ready pods in ${of.namespace}`, async () => {
    const pods = (await api.list(kinds.pods, of)).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
    const ready = pods.filter(isReady);
    if (ready.length === count) return ready.sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
    throw new Error(
      `${ready.length} of ${pods.length}: ${JSON.stringify(pods.map(({ status }) => [status?.phase, status?.conditions]))}`,
    );
  });
}

export function isReady(object: V1Node | V1Pod | undefined): boolean {
  const conditions: { type: string; status: string }[] = object?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

/** The taints tell that the node controller has noticed; a scheduler goes by them. */
async function nodeIs(api: KubernetesApi, name: string, ready: boolean): Promise<void> {
  await until(`node ${name} is ${ready ? "ready" : "not ready"}`, async () => {
    const node = await api.read(kinds.nodes, name);
    const tainted = (node?.spec?.taints ?? []).some(({ key }) => key === "node.kubernetes.io/not-ready");
    if (isReady(node) === ready && tainted !== ready) return;
    throw new Error(JSON.stringify([node?.spec?.taints, node?.status?.conditions]));
  });
}

function nodeOf(node: SimulatedNode, index: number): V1Node {
  const { name, labels, annotations, taints, unschedulable, ready = true } = node;
  const podCIDR = node.podCidr ?? `10.42.${index}.0/24`;
  const capacity = node.capacity ?? { cpu: "8", memory: "32Gi", pods: "110" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", ...labels },
      annotations: { ...simulated, ...(!ready && readiness(false)), ...annotations },
    },
    spec: {
      podCIDR,
      podCIDRs: [podCIDR],
      ...(unschedulable !== undefined && { unschedulable }),
      ...(taints && { taints: taints.map((taint) => ({ ...taint })) }),
    },
    status: {
      capacity: { ...capacity },
      allocatable: { ...capacity },
      addresses: [
        { type: "InternalIP", address: node.address ?? `192.0.2.${index}` },
        { type: "Hostname", address: name },
      ],
    },
  };
}

function nameOf({ metadata }: V1Pod): string {
  return metadata?.name ?? "";
}
