import { setTimeout as pause } from "node:timers/promises";
import type { V1EndpointSlice, V1Job, V1Service } from "@kubernetes/client-node";
import type { Layer } from "../../../environment/stack";
import type { EnvironmentFile } from "../../../environment/schema";
import program from "../../../index";
import type { Clients, StoredObject } from "../../../operations/clients";
import { kubernetesClient } from "../../../operations/clients/kubernetes";
import { dispatch } from "../../../operations/dispatch";
import * as kinds from "../../../operations/kinds";
import { addressAnnotation, endpointSlices } from "../../../operations/load-balancer/names";
import { buildHome } from "../../../rehearsal/home/build";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { answerResource } from "../../../rehearsal/models";
import { chartService } from "../../../rehearsal/models/kubernetes";
import { isUnknown, record, reveal, type Answer, type Recording, type Registration } from "../../../rehearsal/record";
import { withVersions } from "../../../rehearsal/stand-ins";
import { verbOf } from "../../../rehearsal/verb";
import { environment, rawEnvironment } from "../../support/environment";
import { configFrom } from "../../support/program";
import { keepingWarnings } from "../../support/warnings";
import { ApiClient } from "./api-client";
import { beforeIngress, beforeVolumes, furnish, ingressController } from "./cluster-before";
import { isObject } from "./combinations";
import type { ControlPlane, Minor } from "./control-plane";
import { csiDriver, csiNode, longhornNode, longhornNodeStatus } from "./others";
import { until } from "./processes";
import { Provider } from "./provider";

/** Requests to the API server, by who asked: the provider for resources, our operations for everything else. Discovery is counted apart. */
export interface Calls {
  readonly provider: number;
  readonly operations: number;
  readonly discovery: number;
}

/** What one `pulumi up` of a layer asked. */
export interface Measured {
  /** Resources that are objects. */
  readonly objects: number;
  readonly preview: Calls;
  readonly update: Calls;
}

/**
 * `up` of a layer on a real API server without engine: the unmodified program, its resources written as the provider writes them, its operations run for real with
 * the program's own client. What Longhorn, MetalLB, the charts' controllers and the Jobs' pods would bring about is there at the first look, so that what is
 * counted is the least that an `up` asks. The provider's own waiting is not played, and Helm's requests are not counted.
 */
export class LiveUp {
  private readonly resources: ApiClient;
  /** Whoever else writes to the cluster. */
  private readonly others: ApiClient;

  private constructor(
    private readonly plane: ControlPlane,
    private readonly name: "home" | "lab",
    private readonly raw: EnvironmentFile,
    private readonly furniture: { readonly stop: () => Promise<void> },
  ) {
    this.resources = new ApiClient(plane.kubeconfigFor("provider", ["system:masters"]));
    this.others = new ApiClient(plane.kubeconfigFor("others", ["system:masters"]));
  }

  /** The cluster as the nodes layer leaves it. */
  static async prepare(
    plane: ControlPlane,
    minor: Minor,
    name: "home" | "lab",
    change: (file: EnvironmentFile) => void = () => undefined,
  ): Promise<LiveUp> {
    const raw = structuredClone(rawEnvironment(name));
    change(raw);
    const file = environment(name, change);
    const nodes = file.nodes.map((node) => node.name);
    const up = new LiveUp(plane, name, raw, await furnish(plane, minor, nodes));
    for (const node of nodes) await plane.api.create(csiNode(node, true));
    await plane.api.create(csiDriver);
    await beforeIngress(plane, file);
    await ingressController(plane, file);
    await beforeVolumes(plane, file);
    return up;
  }

  async up(layer: Layer): Promise<Measured> {
    const before = this.calls();
    await this.run(layer, true);
    const planned = this.calls();
    const { registrations } = await this.run(layer, false);
    const objects = registrations.filter(isObject).length;
    return { objects, preview: minus(planned, before), update: minus(this.calls(), planned) };
  }

  async stop(): Promise<void> {
    this.resources.close();
    this.others.close();
    await this.furniture.stop();
  }

  private calls(): Calls {
    const asked = this.plane.audit();
    const of = (username: string) => asked.filter(({ user }) => user.username === username);
    const [provider, operations] = [of("provider"), of("operations")];
    const forObjects = (events: typeof asked) =>
      events.filter(({ objectRef }) => objectRef?.resource !== undefined).length;
    const counted = { provider: forObjects(provider), operations: forObjects(operations) };
    return { ...counted, discovery: provider.length + operations.length - counted.provider - counted.operations };
  }

  private async run(layer: Layer, preview: boolean): Promise<Recording> {
    const stack = (other: Layer): string => `organization/home-cluster/${this.name}-${other}`;
    const reach = { vmId: 1, address: "192.0.2.1", hostKey: "ssh-ed25519 AAAA" };
    const nodes = Object.fromEntries(this.raw.nodes.map(({ name }) => [name, reach]));
    let upsert = false;
    const { result } = await keepingWarnings(() =>
      withVersions(() =>
        record(() => program, {
          ...configFrom(this.raw),
          stack: `${this.name}-${layer}`,
          preview,
          stackOutputs: { [stack("nodes")]: { nodes }, [stack("services")]: { storageClass: kinds.longhornClass } },
          answer: async (registration) => {
            if (registration.type === "pulumi:providers:kubernetes")
              upsert = reveal(registration.inputs.upsertExistingObjects) === "true";
            return preview ? this.plan(registration, upsert) : this.make(registration, upsert);
          },
          call: async (_, args) => ({ ...args, stdout: await this.operate(args.command, args.stdin) }),
        }),
      ),
    );
    if (result.error !== undefined || result.failed.size > 0)
      throw new Error(`${this.name}-${layer}: ${String(result.error)} ${JSON.stringify([...result.failed])}`);
    return result;
  }

  private async plan(registration: Registration, upsert: boolean): Promise<Answer> {
    // The provider asks nothing about what it does not know whole; of a namespace that is still to be made it expects to hear that it is not there.
    if (!isObject(registration) || holdsUnknown(registration.inputs)) return {};
    const { status, what, refused } = await new Provider(this.resources, upsert).attempt(registration, {
      dryRun: true,
    });
    if (refused !== undefined && status !== 404) throw new Error(`${what}: ${refused}`);
    return {};
  }

  private async make(registration: Registration, upsert: boolean): Promise<Answer> {
    const { type, inputs } = registration;
    if (type === "command:local:Command")
      return { outputs: { stdout: await this.operate(inputs.create, inputs.stdin) } };
    if (type === "kubernetes:helm.sh/v3:Release") {
      if (reveal(inputs.name) === "longhorn") await this.longhorn();
      return { outputs: { status: { revision: 1, status: "deployed" } } };
    }
    if (!isObject(registration)) {
      const { home, clock, clients } = this.pretend();
      return answerResource(registration, home, clock, clients);
    }
    const provider = new Provider(this.resources, upsert);
    const { what, refused, object } = await provider.attempt(registration);
    if (refused !== undefined) throw new Error(`${what}: ${refused}`);
    await this.reconcile(object);
    const { one } = await this.others.paths(object);
    return { outputs: (await this.others.send("GET", one)).body as Record<string, unknown> };
  }

  /** One process each, in life: a client of its own, which knows no kinds yet. */
  private async operate(create: unknown, stdin: unknown): Promise<string> {
    const kubeconfig = this.plane.kubeconfigFor("operations", ["system:masters"]);
    const { clients } = this.pretend();
    const clock = { now: () => Date.now(), sleep: () => pause(20) };
    const real: Clients = { ...clients, kubernetes: kubernetesClient(kubeconfig), clock, log: () => undefined };
    return dispatch(verbOf(create) ?? "", String(reveal(stdin)), () => real);
  }

  private pretend() {
    const home = buildHome(environment(this.name, (file) => Object.assign(file, this.raw)));
    const clock = new VirtualClock(home.now);
    return { home, clock, clients: pretendClients(home, clock) };
  }

  /** What others do with an object, as far as the program waits for it. */
  private async reconcile(object: StoredObject): Promise<void> {
    const { kind } = object;
    if (kind === "HelmChartConfig") {
      const service = chartService(object);
      await this.send("POST", (await this.others.paths(service)).all, service);
      await this.announce(service);
    }
    if (kind === "Service") await this.announce(object);
    if (kind === "PersistentVolumeClaim") await this.bound(object);
    if (kind === "Job") await this.complete(object);
  }

  /** MetalLB's address, and the endpoints of the ready pods. */
  private async announce(service: V1Service): Promise<void> {
    const ip = service.metadata?.annotations?.[addressAnnotation];
    const { one } = await this.others.paths(service);
    await this.send("PATCH", `${one}/status`, { status: { loadBalancer: { ingress: [{ ip }] } } });
    const { name = "", namespace = "" } = service.metadata ?? {};
    await until(`Service ${namespace}/${name} has endpoints`, async () => {
      const slices = await this.plane.api.list<V1EndpointSlice>(endpointSlices, {
        namespace,
        labels: { "kubernetes.io/service-name": name },
      });
      if (!slices.some(({ endpoints, ports }) => endpoints?.some((one) => one.conditions?.ready) && ports?.length))
        throw new Error(JSON.stringify(slices));
    });
  }

  private async bound({ metadata }: StoredObject): Promise<void> {
    const { name = "", namespace = "" } = metadata ?? {};
    await until(`claim ${namespace}/${name} is bound`, async () => {
      const { status } = (await this.plane.api.read(kinds.claims, name, namespace)) ?? {};
      if (status?.phase !== "Bound") throw new Error(String(status?.phase));
    });
  }

  /** Done, and its pod with it. */
  private async complete({ metadata }: V1Job): Promise<void> {
    const { name = "", namespace = "" } = metadata ?? {};
    await until(`Job ${namespace}/${name} is complete`, async () => {
      const { status } = (await this.plane.api.read(kinds.jobs, name, namespace)) ?? {};
      if (!status?.conditions?.some((one) => one.type === "Complete" && one.status === "True"))
        throw new Error(JSON.stringify(status));
    });
  }

  /** What its manager says of each node. */
  private async longhorn(): Promise<void> {
    for (const { name } of this.raw.nodes) {
      const node = longhornNode(name);
      const { all, one } = await this.others.paths(node);
      await this.send("POST", all, node);
      await this.send("PATCH", `${one}/status`, { status: longhornNodeStatus });
    }
  }

  private async send(method: "POST" | "PATCH", path: string, body: object): Promise<void> {
    const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const { status, body: answer } = await this.others.send(method, path, { body, contentType });
    if (status > 299) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
  }
}

function holdsUnknown(value: unknown): boolean {
  if (isUnknown(value)) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(holdsUnknown);
}

function minus(one: Calls, other: Calls): Calls {
  return {
    provider: one.provider - other.provider,
    operations: one.operations - other.operations,
    discovery: one.discovery - other.discovery,
  };
}
