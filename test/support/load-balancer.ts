import type { V1Pod, V1Service } from "@kubernetes/client-node";
import * as command from "@pulumi/command";
import * as kubernetesProvider from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { ingressAnnouncers, ingressSettings, ingressTarget } from "../../components/services/ingress-target";
import type { Environment } from "../../environment/schema";
import type { Access } from "../../operations/access";
import type { Clients } from "../../operations/clients";
import { dispatch } from "../../operations/dispatch";
import { pods, services } from "../../operations/kinds";
import type { IngressInput } from "../../operations/load-balancer/ingress-input";
import { buildHome, ingressPodLabels } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import type { HomeState } from "../../rehearsal/home/state";
import { verbOf } from "../../rehearsal/verb";
import { record, reveal, secret, type Properties, type Recording } from "../../rehearsal/record";
import { environment } from "./environment";
import { kubeconfig } from "./services";

type Change = NonNullable<Parameters<typeof environment>[1]>;

const rke1 =
  (change: Partial<NonNullable<Environment["ingress"]["service"]>>): Change =>
  (file) => {
    if (file.ingress.service) Object.assign(file.ingress.service, change);
  };

/** Every way in which a distribution has the ingress controller's Service. */
export const ways = {
  "rke1, existing, selector app": () => environment("home"),
  "rke1, existing, selector workload": () => environment("home", rke1({ selector: "workload" })),
  "rke1, created, selector app": () => environment("home", rke1({ existing: false })),
  "rke1, created, selector workload": () => environment("home", rke1({ existing: false, selector: "workload" })),
  "rke2, traefik": () => environment("lab"),
  "rke2, nginx": () =>
    environment("lab", (file) => Object.assign(file.ingress, { controller: "nginx", className: "nginx" })),
  "k3s, traefik": () =>
    environment("lab", (file) =>
      Object.assign(file.cluster, { distribution: "k3s", kubernetesVersion: "v1.34.2+k3s1" }),
    ),
} as const;
export type Way = keyof typeof ways;
export const wayNames = Object.keys(ways) as Way[];

/** What operations get of an environment's ingress settings. */
export function inputOf(file: Environment): IngressInput {
  return ingressSettings(file.ingress, ingressTarget(file.ingress, file.cluster.distribution), ingressAnnouncers(file));
}

export interface LbHome extends Clients {
  readonly file: Environment;
  readonly home: HomeState;
  readonly input: IngressInput;
  readonly lines: string[];
}

/** The home after the nodes layer: an ingress pod on every worker, old and new. */
export async function lbHome(file: Environment): Promise<LbHome> {
  const home = buildHome(file);
  const lines: string[] = [];
  const clients = pretendClients(home, new VirtualClock(home.now), (line) => lines.push(line));
  for (const node of file.nodes.filter(({ roles }) => roles.includes("worker")))
    await clients.kubernetes.create(ingressPod(file, node.name));
  return { ...clients, file, home, input: inputOf(file), lines };
}

export function ingressPod(file: Environment, node: string, ready = true): V1Pod {
  const { namespace, labels } = ingressPodLabels(file);
  const { service } = file.ingress;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `ingress-controller-${node}`,
      namespace,
      labels: { ...labels, ...(service?.selector === "workload" && { [`workloadID_${service.name}`]: "true" }) },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "ingress-controller", uid: "set" }],
    },
    spec: { nodeName: node, containers: [{ name: "controller", image: "invalid" }] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  };
}

/** Changes every ingress pod that `which` names; null removes what it stands for. */
export async function changePods({ kubernetes }: Clients, which: RegExp, patch: object): Promise<void> {
  for (const pod of await kubernetes.list(pods)) {
    const name = pod.metadata?.name ?? "";
    if (name.startsWith("ingress-controller-") && which.test(name))
      await kubernetes.patch(pods, name, patch, pod.metadata?.namespace);
  }
}

export const notReady = { status: { conditions: [{ type: "Ready", status: "False" }] } };

/** The live Service of the input. */
export async function liveService({ kubernetes, input }: LbHome): Promise<V1Service | undefined> {
  return kubernetes.read(services, input.service, input.namespace);
}

/** Another Service in the cluster. */
export function otherService(
  name: string,
  more: { spec?: V1Service["spec"]; status?: V1Service["status"] },
): V1Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { type: "LoadBalancer", ...more.spec },
    status: more.status ?? {},
  };
}

/** What the random provider draws. */
export const password = "correct-horse";

export interface ProgramOptions {
  readonly preview?: boolean;
  /** Fails the custom resource of exactly this name. */
  readonly fail?: string;
  /** For a stack, which makes its own providers. */
  readonly stackOutputs?: Readonly<Record<string, Properties>>;
  /** Told of every check that is asked: verb and request. */
  readonly asked?: (verb: string, request: string) => void;
}

/** Records a program with the stack's providers; its checks run for real on the home, its Commands answer as they would. */
export async function recordOn(
  clients: LbHome,
  program: (opts: pulumi.ComponentResourceOptions) => unknown,
  { preview = false, fail, stackOutputs, asked }: ProgramOptions = {},
): Promise<Recording> {
  const results: Readonly<Record<string, object>> = {
    "webhook-ready": { namespace: "metallb-system" },
    "record-ingress-service": { service: clients.input.service, original: {} },
    "ingress-answers": { address: clients.input.address },
    "default-class": { storageClass: "longhorn", recorded: [] },
    "storage-ready": { storageClass: "longhorn" },
  };
  return record(
    () =>
      program(
        stackOutputs
          ? {}
          : {
              providers: [
                new kubernetesProvider.Provider("cluster", { kubeconfig: pulumi.secret(kubeconfig) }),
                new command.Provider("operations"),
              ],
            },
      ),
    {
      stack: "test-services",
      preview,
      stackOutputs: { ...stackOutputs },
      answer: ({ name, type, custom, inputs }) => {
        if (custom && name === fail) throw new Error("it failed");
        if (type === "kubernetes:helm.sh/v3:Release") return { outputs: { status: { revision: 3 } } };
        if (type === "random:index/randomPassword:RandomPassword") return { outputs: { result: secret(password) } };
        if (type === "random:index/randomString:RandomString") return { outputs: { result: "saltsalt" } };
        const verb = verbOf(inputs.create);
        return verb === undefined ? {} : { outputs: { stdout: secret(JSON.stringify(results[verb] ?? {})) } };
      },
      call: async (_, args) => {
        const verb = verbOf(args.command) ?? "";
        const request = String(reveal(args.stdin));
        asked?.(verb, request);
        return { ...args, stdout: await dispatch(verb, request, () => clients), stderr: "" };
      },
    },
  );
}

/** What the update of a declared operation answers to a request with changed inputs or access. */
export async function updateOf(
  clients: LbHome,
  registration: { readonly inputs: unknown } | undefined,
  change: (request: { access: Access; input: Record<string, unknown> }) => void,
  previous: object,
): Promise<unknown> {
  const { update, stdin } = registration?.inputs as { update: string; stdin: { secret: Record<string, unknown> } };
  const request = structuredClone(stdin.secret) as { access: Access; input: Record<string, unknown> };
  change(request);
  return JSON.parse(
    await dispatch(verbOf(update) ?? "", JSON.stringify(request), () => clients, JSON.stringify(previous)),
  );
}
