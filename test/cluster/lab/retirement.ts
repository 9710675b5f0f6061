import type { V1Deployment, V1Node, V1PodDisruptionBudget } from "@kubernetes/client-node";
import type { EnvironmentFile } from "../../../environment/schema";
import type { Access } from "../../../operations/access";
import {
  ApiRefusal,
  type Clients,
  type Kind,
  type KubernetesApi,
  type StoredObject,
} from "../../../operations/clients";
import { kubernetesClient, serverOf } from "../../../operations/clients/kubernetes";
import { proxmoxClient } from "../../../operations/clients/proxmox";
import { rancherClient } from "../../../operations/clients/rancher";
import { leaseName, leaseNamespace } from "../../../operations/cluster/lease";
import * as kinds from "../../../operations/kinds";
import { ingressLabels } from "../../../operations/load-balancer/names";
import type { RetirementInput } from "../../../operations/rancheros/retirement-input";
import { ledgerNamespace } from "../../../operations/volumes/ledger";
import { PretendRancher } from "../../../rehearsal/home/rancher";
import type { HomeState } from "../../../rehearsal/home/state";
import { startProxmox, type SimulatedProxmox } from "../../../rehearsal/simulators/proxmox";
import { RancherApiSimulator, type RancherOptions } from "../../../rehearsal/simulators/rancher";
import { Simulator } from "../../../rehearsal/simulators/server";
import { grownOldNodes } from "../../support/grown-old-nodes";
import { certificates } from "../../support/https";
import { longhornNode, migratedHome } from "../../support/migrated-home";
import { ApiClient } from "./api-client";
import type { ControlPlane } from "./control-plane";
import { createOnce, install, metallbFile, yamlObjects } from "./crds";
import { longhornDefinitions } from "./longhorn-kinds";
import { addNodes, readyPods, usesItsGrace } from "./nodes";
import { PatientClock } from "./patient-clock";
import { until } from "./processes";

type Distribution = HomeState["rancher"]["distribution"];

const deployments: Kind<V1Deployment> = { apiVersion: "apps/v1", kind: "Deployment" };
const announcements: Kind = { apiVersion: "metallb.io/v1beta1", kind: "ServiceL2Status" };
const definitionKind = "CustomResourceDefinition";

/** Where the pods of a test run. */
export const apps = "apps";

/** Where Rancher's own pods run, where it runs in the cluster. */
export const ranchersNamespace = "cattle-system";

/** Tokens that the simulated systems take. */
const tokens = {
  proxmox: "home-cluster@pve!program=11111111-2222-3333-4444-555555555555",
  rancher: "token-lab12:key-of-the-simulated-rancher",
};

/** What a test does to a run: throws to let a call fail, and is told of each that was answered. */
export interface Hooks {
  readonly before?: (call: string) => void | Promise<void>;
  readonly after?: (call: string) => void | Promise<void>;
  readonly access?: Partial<Access>;
  readonly log?: (line: string) => void;
}

/** What is left of the nodes, everywhere. */
export interface Standing {
  readonly machines: readonly string[];
  readonly rancher: readonly string[];
  readonly etcd: readonly string[];
  readonly nodes: readonly string[];
  readonly cordoned: readonly string[];
}

/**
 * A cluster in which everything before the retirement is done: on a real API server with its controllers and scheduler, beside the simulated Proxmox and a
 * pretend Rancher of the distribution, both behind HTTPS and spoken to by the program's own clients. Rancher's removal takes the etcd member off its record and
 * deletes the Node of the API server. Time is the lab's own.
 */
export class RetirementLab {
  readonly clock = new PatientClock();
  /** What changed something, in order: the operations' calls, and what Rancher did for them. Writes to the Lease are left out. */
  readonly did: string[] = [];
  /** etcd's members, by their node. */
  etcd = new Set<string>();
  /** What the simulated Rancher refuses. */
  forbids: RancherOptions["forbids"];
  /** The cluster was imported into Rancher, which does not manage its nodes. */
  imported = false;
  private readonly added: { readonly kind: Kind; readonly name: string; readonly namespace: string | undefined }[] = [];
  private before: Pick<HomeState, "proxmox" | "rancher" | "network">;

  private constructor(
    readonly plane: ControlPlane,
    readonly home: HomeState,
    readonly inputs: readonly RetirementInput[],
    /** What the inputs were made of. */
    readonly file: EnvironmentFile,
    private readonly raw: ApiClient,
    readonly proxmox: SimulatedProxmox,
    readonly rancher: Simulator,
    readonly access: Required<Pick<Access, "proxmox" | "rancher" | "kubernetes">>,
  ) {
    this.before = this.outside();
  }

  /** `old`: how many nodes are to go. The API server keeps what a lab before this one left, except for nodes and what ran on them. */
  static async start(plane: ControlPlane, distribution: Distribution, old = 3): Promise<RetirementLab> {
    await prepare(plane);
    let raw: EnvironmentFile | undefined;
    const { home, inputs, environment } = await migratedHome("home", (file) => {
      file.oldNodes = grownOldNodes(file, old);
      raw = file;
    });
    if (!raw) throw new Error("no environment file");
    home.rancher.distribution = distribution;
    for (const node of home.rancher.nodes)
      node.id =
        distribution === "rke1" ? `${home.rancher.clusterId}:m-${node.vmId}` : `fleet-default/custom-${node.vmId}`;
    const certificate = certificates();
    const proxmox = await startProxmox(home, { certificate });
    const later: { lab?: RetirementLab } = {};
    const clusterName = environment.cluster.name;
    const rancher = await Simulator.start(
      (request) => {
        const { lab } = later;
        if (!lab) throw new Error("asked before it was there");
        const options = { clusterName, token: tokens.rancher, imported: lab.imported };
        return new RancherApiSimulator(home, lab.members(), {
          ...options,
          ...(lab.forbids && { forbids: lab.forbids }),
        }).answer(request);
      },
      { certificate },
    );
    const caCertificate = certificate.ca;
    const lab = new RetirementLab(plane, home, inputs, raw, new ApiClient(plane.kubeconfig), proxmox, rancher, {
      proxmox: { endpoint: proxmox.url, token: tokens.proxmox, caCertificate },
      rancher: {
        ...{ url: rancher.url, token: tokens.rancher, clusterId: home.rancher.clusterId },
        ...{ clusterName, distribution, caCertificate },
      },
      kubernetes: { kubeconfig: plane.kubeconfig },
    });
    later.lab = lab;
    await lab.fill(environment.ingress.address);
    return lab;
  }

  /** The clients of one run, and what a test does to it. */
  clients(hooks: Hooks = {}): Clients {
    const access = { ...this.access, ...hooks.access };
    const { clock, home } = this;
    const unused = (): never => {
      throw new Error("a retirement connects to no machine");
    };
    return {
      proxmox: this.watched("proxmox", proxmoxClient(access.proxmox, clock.inside), hooks),
      rancher: this.watched("rancher", rancherClient(access.rancher, clock.inside), hooks),
      kubernetes: this.watched("kubernetes", kubernetesClient(access.kubernetes.kubeconfig), hooks),
      ssh: { run: unused },
      network: {
        urlOf: (system) =>
          ({
            kubernetes: serverOf(access.kubernetes.kubeconfig),
            rancher: access.rancher.url,
            proxmox: access.proxmox.endpoint,
          })[system],
        addressesOf: async (host) => home.network.names[host] ?? [host],
      },
      clock,
      log: hooks.log ?? (() => undefined),
    };
  }

  input(node: string): RetirementInput {
    const found = this.inputs.find((input) => input.node === node);
    if (!found) throw new Error(`no old node ${node}`);
    return found;
  }

  get api(): KubernetesApi {
    return this.plane.api;
  }

  async standing(): Promise<Standing> {
    const nodes = await this.api.list(kinds.nodes);
    const names = (list: readonly (string | undefined)[]): string[] => list.map((name) => name ?? "").sort();
    return {
      machines: names(this.home.proxmox.vms.map(({ name }) => name)),
      rancher: names(this.home.rancher.nodes.map(({ nodeName }) => nodeName)),
      etcd: names([...this.etcd]),
      nodes: names(nodes.map(({ metadata }) => metadata?.name)),
      cordoned: names(nodes.filter(({ spec }) => spec?.unschedulable).map(({ metadata }) => metadata?.name)),
    };
  }

  /** What the Lease says of a leave that failed. */
  async failure(): Promise<string | undefined> {
    return (await this.lease())?.metadata?.annotations?.["home-cluster/leave"];
  }

  async lease(): Promise<StoredObject | undefined> {
    return this.api.read(kinds.leases, leaseName, leaseNamespace);
  }

  /** Adds an object, until `restore`. */
  async add(object: StoredObject & { readonly spec?: unknown; readonly status?: unknown }): Promise<void> {
    const { apiVersion = "", kind = "", metadata } = object;
    await this.api.create(object);
    this.added.push({ kind: { apiVersion, kind }, name: metadata?.name ?? "", namespace: metadata?.namespace });
    if (object.status !== undefined) await this.status(object, object.status);
  }

  /** Status, as a controller writes it. */
  async status(object: StoredObject, status: unknown): Promise<void> {
    const { one } = await this.raw.paths(object);
    const { status: code, body } = await this.raw.send("PATCH", `${one}/status`, {
      body: { status },
      contentType: "application/merge-patch+json",
    });
    if (code !== 200) throw new Error(JSON.stringify(body));
  }

  /**
   * So many ready pods of a Deployment that run on this node and may run on any, held by a disruption budget for each of `budgets`. They go at once, or take
   * `graceSeconds` to shut down.
   */
  async deploy(
    node: string,
    name: string,
    replicas = 2,
    budgets: readonly number[] = [],
    graceSeconds = 0,
  ): Promise<void> {
    const staying = this.home.proxmox.vms
      .map(({ name: other }) => other)
      .filter((other) => other !== node && other.startsWith("debian"));
    const schedulable = (unschedulable: true | null): Promise<unknown> =>
      Promise.all(staying.map((other) => this.api.patch(kinds.nodes, other, { spec: { unschedulable } })));
    const labels = { app: name };
    const values = [node, ...staying];
    // Not onto another old node, from which it would have to go again.
    const expression = { key: "kubernetes.io/hostname", operator: "In", values };
    const required = { nodeSelectorTerms: [{ matchExpressions: [expression] }] };
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
    await schedulable(true);
    const terminationGracePeriodSeconds = graceSeconds;
    await this.add(
      deployment(name, replicas, { affinity, terminationGracePeriodSeconds }, graceSeconds > 0 ? usesItsGrace : {}),
    );
    await readyPods(this.api, replicas, { namespace: apps, labels });
    await schedulable(null);
    await until("the nodes that stay take pods", async () => {
      const tainted = (await this.api.list(kinds.nodes)).filter(
        ({ metadata, spec }) => staying.includes(metadata?.name ?? "") && (spec?.taints ?? []).length > 0,
      );
      if (tainted.length > 0) throw new Error(tainted.map(({ metadata }) => metadata?.name).join(", "));
    });
    for (const [index, minAvailable] of budgets.entries()) {
      const budget = { name: `${name}-budget${index === 0 ? "" : `-${index + 1}`}`, namespace: apps };
      await this.add({
        ...kinds.disruptionBudgets,
        metadata: budget,
        spec: { minAvailable, selector: { matchLabels: labels } },
      });
      await until(`budget ${budget.name} is counted`, async () => {
        const found = await this.api.read<V1PodDisruptionBudget>(kinds.disruptionBudgets, budget.name, apps);
        if (found?.status?.expectedPods !== replicas || found.status.currentHealthy !== replicas)
          throw new Error(JSON.stringify(found?.status));
      });
    }
  }

  /** Takes back everything that was added, and what was changed of Proxmox and Rancher. */
  async restore(): Promise<void> {
    Object.assign(this.home, structuredClone(this.before));
    await this.restoreRest();
  }

  /** The same, where nodes have left in the meantime. */
  async restoreRest(): Promise<void> {
    this.forbids = undefined;
    this.imported = false;
    this.clock.pause = 40;
    this.proxmox.fault = this.rancher.fault = () => undefined;
    const added = this.added.splice(0).reverse();
    for (const { kind, name, namespace } of added) await this.api.remove(kind, name, namespace);
    await until("what was added is gone", async () => {
      for (const { kind, name, namespace } of added)
        if (await this.api.read(kind, name, namespace)) throw new Error(`${kind.kind} ${name}`);
      const left = await this.api.list(kinds.pods, { namespace: apps });
      if (left.length > 0) throw new Error(left.map(({ metadata }) => metadata?.name).join(", "));
    });
    this.did.length = 0;
  }

  async stop(): Promise<void> {
    this.raw.close();
    await Promise.all([this.proxmox.stop(), this.rancher.stop()]);
  }

  /** What happens when Rancher removes a node: its etcd member goes, then its Node. */
  private members(): PretendRancher {
    const { api, clock } = this;
    return new PretendRancher(this.home, clock, {
      read: (kind, name, namespace) => clock.during(() => api.read(kind, name, namespace)),
      create: (object) => clock.during(() => api.create(object)),
      remove: (kind, name) =>
        clock.during(async () => {
          if (this.etcd.delete(name)) this.did.push(`Rancher took ${name} out of etcd`);
          await api.remove(kind, name);
          this.did.push(`Rancher deleted Node ${name}`);
        }),
    });
  }

  private watched<T extends object>(system: string, api: T, { before, after }: Hooks): T {
    return new Proxy(api, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): Promise<unknown> =>
          this.clock.during(async () => {
            const call = described(system, String(key), args);
            await before?.(call);
            const answer = await (value as (...all: unknown[]) => Promise<unknown>).apply(target, args);
            if (changes(call) && !call.includes("Lease") && !refused(answer)) this.did.push(call);
            await after?.(call);
            return answer;
          });
      },
    });
  }

  private outside(): Pick<HomeState, "proxmox" | "rancher" | "network"> {
    const { proxmox, rancher, network } = this.home;
    return structuredClone({ proxmox, rancher, network });
  }

  /** The nodes, ready, and what the preflight looks for. */
  private async fill(ingress: string): Promise<void> {
    const { home, api } = this;
    const uuids = new Map(home.proxmox.vms.map(({ name, uuid }) => [name, uuid]));
    const planned = home.kubernetes.objects.filter(
      (object): object is V1Node => object.apiVersion === "v1" && object.kind === "Node",
    );
    await addNodes(
      api,
      planned.map(({ metadata, status }) => ({
        name: metadata?.name ?? "",
        address: status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "",
        labels: metadata?.labels ?? {},
      })),
    );
    for (const { metadata } of planned) {
      const [name = "", labels = {}] = [metadata?.name, metadata?.labels];
      if ("node-role.kubernetes.io/etcd" in labels) this.etcd.add(name);
      if (name.startsWith("debian") && uuids.has(name)) await createLonghornNode(this, name);
    }
    for (const object of home.kubernetes.objects.filter(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata?.namespace === ledgerNamespace,
    )) {
      const { name, namespace } = object.metadata ?? {};
      await createOnce(api, { ...object, metadata: { name, namespace } });
    }
    const service = {
      ...kinds.services,
      metadata: { name: "ingress", namespace: ledgerNamespace, labels: { ...ingressLabels } },
      spec: { type: "LoadBalancer", ports: [{ port: 443 }] },
    };
    await createOnce(api, service);
    await this.status(service, { loadBalancer: { ingress: [{ ip: ingress }] } });
    await this.announce("debian-1");
    this.before = this.outside();
  }

  /** Which node answers for the ingress address, as MetalLB says it: with another object for another node. */
  async announce(node: string): Promise<void> {
    for (const { metadata } of await this.api.list(announcements, { namespace: ledgerNamespace }))
      await this.api.remove(announcements, metadata?.name ?? "", ledgerNamespace);
    const announced = { ...announcements, metadata: { name: `l2-${node}`, namespace: ledgerNamespace } };
    await until(`${node} announces`, () => this.api.create(announced));
    await this.status(announced, { node, serviceName: "ingress", serviceNamespace: ledgerNamespace });
  }
}

/** Everything stands, except for these. */
export function without(before: Standing, ...gone: readonly string[]): Standing {
  const left = (names: readonly string[]): readonly string[] => names.filter((name) => !gone.includes(name));
  const { machines, rancher, etcd, nodes, cordoned } = before;
  return {
    machines: left(machines),
    rancher: left(rancher),
    etcd: left(etcd),
    nodes: left(nodes),
    cordoned: left(cordoned),
  };
}

/** Longhorn's record of a node, holding these replicas. */
export async function createLonghornNode(
  lab: RetirementLab,
  name: string,
  replicas: readonly string[] = [],
): Promise<void> {
  const { status, ...node } = longhornNode(name, replicas);
  await createOnce(lab.api, node);
  await lab.status(node, status);
}

export function deployment(
  name: string,
  replicas: number,
  change: object = {},
  annotations: Readonly<Record<string, string>> = {},
): StoredObject {
  const labels = { app: name };
  const containers = [{ name: "main", image: "example.test/main:1" }];
  return {
    ...deployments,
    metadata: { name, namespace: apps },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations },
        spec: { containers, terminationGracePeriodSeconds: 0, ...change },
      },
    },
  } as StoredObject;
}

/** The eviction API's own no. */
function refused(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "evicted" in answer && answer.evicted === false;
}

/** Whether a call is one that changes something. */
export function changes(call: string): boolean {
  return /^(kubernetes\.(create|replace|patch|remove|evict)|rancher\.removeNode|proxmox\.(shutdown|stop|delete|start)Vm) /.test(
    call,
  );
}

/** A call in words: `kubernetes.patch Node rancheros-1`; Longhorn's objects are all called `Longhorn`. */
function described(system: string, method: string, args: readonly unknown[]): string {
  const [first, second] = args;
  const object = typeof first === "object" ? (first as StoredObject) : undefined;
  const what =
    object === undefined
      ? // A pod's name is made up by its controller.
        method === "evict"
        ? `pod ${typeof first === "string" ? first.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, "") : ""}`
        : args.filter((arg) => typeof arg === "string" || typeof arg === "number").join(" ")
      : `${object.apiVersion?.startsWith("longhorn.io/") ? "Longhorn" : object.kind} ${typeof second === "string" ? second : (object.metadata?.name ?? "")}`;
  return `${system}.${method} ${what}`;
}

/** Kinds and namespaces, and no nodes and pods of a lab before. */
async function prepare({ api }: ControlPlane): Promise<void> {
  const statuses = yamlObjects(await metallbFile("config/crd/bases/metallb.io_servicel2statuses.yaml"));
  await install(api, [
    ...longhornDefinitions(),
    ...statuses.filter(
      (object): object is ReturnType<typeof longhornDefinitions>[number] =>
        (object as StoredObject).kind === definitionKind,
    ),
  ]);
  for (const name of [apps, ledgerNamespace, kinds.longhornNamespace, ranchersNamespace]) {
    try {
      await api.create({ ...kinds.namespaces, metadata: { name } });
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.reason !== "AlreadyExists") throw error;
    }
  }
  await until("service accounts are there", async () => {
    for (const namespace of [apps, ranchersNamespace])
      if (!(await api.read({ apiVersion: "v1", kind: "ServiceAccount" }, "default", namespace)))
        throw new Error(`not yet in ${namespace}`);
  });
  await api.remove(kinds.leases, leaseName, leaseNamespace);
  for (const { metadata } of await api.list(deployments, { namespace: apps }))
    await api.remove(deployments, metadata?.name ?? "", apps);
  for (const { metadata } of await api.list(kinds.disruptionBudgets, { namespace: apps }))
    await api.remove(kinds.disruptionBudgets, metadata?.name ?? "", apps);
  await until("pods are gone", async () => {
    const left = (await api.list(kinds.pods, { namespace: apps })).map(({ metadata }) => metadata?.name);
    if (left.length > 0) throw new Error(left.join(", "));
  });
  const leftovers: readonly Kind[] = [
    { apiVersion: "v1", kind: "Node" },
    ...["Node", "Replica", "Volume"].map((kind) => ({ apiVersion: "longhorn.io/v1beta2", kind })),
  ];
  for (const kind of leftovers)
    for (const { metadata } of await api.list(kind)) await api.remove(kind, metadata?.name ?? "", metadata?.namespace);
  // Removed in the foreground: the garbage collector has to know the kind first, and to come by.
  for (const kind of leftovers)
    await until(`${kind.apiVersion} ${kind.kind}: all gone`, async () => {
      const left = (await api.list(kind)).map(({ metadata }) => metadata?.name);
      if (left.length > 0) throw new Error(left.join(", "));
    });
}
