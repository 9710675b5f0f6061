import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { V1Pod } from "@kubernetes/client-node";
import { poolAnnouncers } from "../../../components/services/ingress-target";
import { metallbValues } from "../../../components/services/metallb";
import type { Environment } from "../../../environment/schema";
import * as kinds from "../../../operations/kinds";
import { ingressPodLabels } from "../../../rehearsal/home/build";
import { root } from "../../support/environment";
import { kubernetesModules, program } from "./build";
import { podRange, type ControlPlane, type Minor } from "./control-plane";
import { definitions, install } from "./crds";
import type { ProxyMode } from "./kernel";
import { metallbNamespace } from "./metallb";
import type { HomeNetwork } from "./network";
import type { Node } from "./network-node";
import { addNodes } from "./nodes";
import { freePorts, Program, until } from "./processes";
import type { Space } from "./space";

const speakerLabels = { "app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": "speaker" };

/** What runs on a node of the lab; all of it ends when the node dies. */
interface Running {
  proxy?: Program;
  speaker?: Program;
  readonly pods: Map<string, { readonly space: Space; readonly address: string; server?: Program }>;
}

export interface LoadBalancerOptions {
  /** Of kube-proxy, as of the control plane. */
  readonly minor: Minor;
  readonly mode: ProxyMode;
}

/** MetalLB's controller, and on each node of the network its speaker, kube-proxy and ingress pods, in the node's own namespace. */
export class LoadBalancer {
  private readonly nodes = new Map<string, Running>();
  private controller: Program | undefined;

  private constructor(
    private readonly plane: ControlPlane,
    private readonly network: HomeNetwork,
    private readonly file: Environment,
    private readonly options: LoadBalancerOptions,
  ) {}

  /** MetalLB's controller and the nodes, known to the API; nothing runs on them yet. */
  static async start(
    plane: ControlPlane,
    network: HomeNetwork,
    file: Environment,
    options: LoadBalancerOptions,
  ): Promise<LoadBalancer> {
    const made = new LoadBalancer(plane, network, file, options);
    const crds = await definitions(options.minor);
    await install(
      plane.api,
      crds.filter(({ spec }) => spec.group === "metallb.io"),
    );
    await plane.namespace(metallbNamespace);
    await plane.namespace(made.ingress.namespace);
    await addNodes(
      plane.api,
      network.nodes.map(({ name, address, podCidr }) => ({ name, address, podCidr, labels: made.labelsOf(name) })),
    );
    await made.startController();
    return made;
  }

  /** kube-proxy, and MetalLB's speaker where the program lets one run. */
  async startNode(name: string): Promise<void> {
    const node = this.network.node(name);
    this.on(name).proxy = this.startProxy(node);
    if (poolAnnouncers(this.file).includes(name)) await this.startSpeaker(name);
  }

  /** MetalLB's speaker, with the arguments and the environment that the chart gives it for the program's values. */
  async startSpeaker(name: string): Promise<void> {
    const { space, address } = this.network.node(name);
    await this.metallbPod(`speaker-${name}`, name, speakerLabels);
    const { speaker } = metallbValues(poolAnnouncers(this.file)) as { speaker: { ignoreExcludeLB?: boolean } };
    const secret = this.plane.file("memberlist");
    mkdirSync(secret, { recursive: true });
    writeFileSync(join(secret, "secretkey"), "of the lab");
    this.on(name).speaker = this.run(
      `speaker-${name}`,
      [
        program("metallb", "speaker"),
        "--port=7472",
        "--log-level=info",
        ...(speaker.ignoreExcludeLB === true ? ["--ignore-exclude-lb"] : []),
      ],
      {
        around: space.enter,
        env: {
          KUBECONFIG: this.kubeconfig("metallb-speaker", this.apiForNodes, ["system:masters"]),
          METALLB_NAMESPACE: metallbNamespace,
          METALLB_NODE_NAME: name,
          METALLB_POD_NAME: `speaker-${name}`,
          METALLB_HOST: address,
          METALLB_ML_BIND_ADDR: address,
          METALLB_ML_BIND_PORT: "7946",
          METALLB_ML_LABELS: Object.entries(speakerLabels)
            .map((label) => label.join("="))
            .join(","),
          METALLB_ML_SECRET_KEY_PATH: secret,
        },
      },
    );
  }

  /** A ready pod of the ingress controller, and behind its address a server that says whom it sees. */
  async addPod(node: string, { hostNetwork = false } = {}): Promise<void> {
    const { namespace, labels } = this.ingress;
    const name = podOn(node);
    const containers = [{ name: "controller", image: "invalid" }];
    await this.plane.api.create<V1Pod>({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels },
      spec: { nodeName: node, hostNetwork, containers },
    });
    const address = await this.addressOf(name, namespace);
    const machine = this.network.node(node);
    const space = hostNetwork ? machine.space : await machine.addPod(address);
    this.on(node).pods.set(name, { space, address, server: this.serve(name, space, address) });
  }

  async removePod(node: string): Promise<void> {
    const name = podOn(node);
    await this.plane.api.remove(kinds.pods, name, this.ingress.namespace);
    await until(`${name} is gone`, async () => {
      if (await this.plane.api.read(kinds.pods, name, this.ingress.namespace)) throw new Error("it is there");
    });
    const pod = this.on(node).pods.get(name);
    await pod?.server?.stop();
    if (pod) this.network.node(node).removePod(pod.address);
    this.on(node).pods.delete(name);
  }

  /** Dies as by a power cut: its cards are down at once, then every process is killed. When that was, in milliseconds of this machine's clock. */
  async kill(node: string): Promise<number> {
    const at = Date.now();
    this.network.node(node).disconnect();
    const running = this.on(node);
    await Promise.all(programsOf(running).map((program) => program.stop()));
    // Not to count as ended by themselves.
    delete running.proxy;
    delete running.speaker;
    for (const pod of running.pods.values()) delete pod.server;
    return at;
  }

  /** On again: its cards, the routing's run at boot, and what ran on it. What the kernel forgets at a boot (rules, connections) is still there. */
  async revive(node: string): Promise<void> {
    const machine = this.network.node(node);
    machine.connect();
    machine.refreshRouting();
    for (const [name, pod] of this.on(node).pods) pod.server = this.serve(name, pod.space, pod.address);
    await this.startNode(node);
  }

  /** Seconds since one speaker last doubted that another is there; it takes them four to be sure that it is not. */
  undoubted(): number {
    const doubts = [...this.nodes.values()].flatMap(({ speaker }) =>
      [...readFileSync(speaker?.log ?? "/dev/null", "utf8").matchAll(/memberlist: Suspect.*"ts":"([^"]+)"/g)].map(
        ([, at = ""]) => Date.parse(at),
      ),
    );
    return (Date.now() - Math.max(0, ...doubts)) / 1000;
  }

  /** What has ended although nobody ended it, with its last words. */
  casualties(): string[] {
    return this.programs().flatMap((one) => (one.running ? [] : [`${one.end()}\n${one.lastLines()}`]));
  }

  async stop(): Promise<void> {
    await Promise.all(this.programs().map((one) => one.stop()));
  }

  private programs(): Program[] {
    return [...(this.controller ? [this.controller] : []), ...[...this.nodes.values()].flatMap(programsOf)];
  }

  private run(name: string, command: readonly string[], options: Parameters<typeof Program.start>[3] = {}): Program {
    return Program.start(name, this.plane.file(join("logs", `${name}.log`)), command, options);
  }

  private get ingress(): { readonly namespace: string; readonly labels: Record<string, string> } {
    return ingressPodLabels(this.file);
  }

  private on(node: string): Running {
    const found: Running = this.nodes.get(node) ?? { pods: new Map() };
    this.nodes.set(node, found);
    return found;
  }

  /** Some tools label control planes as excluded from load balancers; here they announce all the same. */
  private labelsOf(node: string): Record<string, string> {
    const roles = this.file.nodes.find(({ name }) => name === node)?.roles ?? [];
    return roles.includes("controlplane") ? { "node.kubernetes.io/exclude-from-external-load-balancers": "" } : {};
  }

  private async startController(): Promise<void> {
    const [metrics = 0, health = 0] = await freePorts(2);
    await this.metallbPod("controller", this.network.nodes[0]?.name ?? "", {});
    this.controller = this.run(
      "metallb-controller",
      // Its webhook would be called at a cluster address, where nobody answers here.
      [
        program("metallb", "controller"),
        "--webhook-mode=disabled",
        `--port=${metrics}`,
        `--health-probe-port=${health}`,
      ],
      {
        env: {
          KUBECONFIG: this.kubeconfig("metallb-controller", this.plane.server, ["system:masters"]),
          METALLB_NAMESPACE: metallbNamespace,
          METALLB_POD_NAME: "controller",
        },
      },
    );
    await this.controller.ready(async () => void (await fetch(`http://127.0.0.1:${health}/readyz`)));
  }

  private startProxy({ name, space }: Node): Program {
    const user = "system:kube-proxy";
    return this.run(
      `kube-proxy-${name}`,
      [
        program(kubernetesModules()[this.options.minor].name, "kube-proxy"),
        `--kubeconfig=${this.kubeconfig(user, this.apiForNodes)}`,
        `--hostname-override=${name}`,
        `--proxy-mode=${this.options.mode}`,
        `--cluster-cidr=${podRange}`,
        // These are the whole machine's, and cannot be written in a namespace.
        ...["max-per-core", "tcp-timeout-established", "tcp-timeout-close-wait"].map((one) => `--conntrack-${one}=0`),
      ],
      { around: space.enter },
    );
  }

  /** MetalLB's parts look up their own pod, and speakers each other's addresses. Its process is ours. */
  private async metallbPod(name: string, nodeName: string, labels: Record<string, string>): Promise<void> {
    if ((await this.plane.api.read(kinds.pods, name, metallbNamespace)) === undefined)
      await this.plane.api.create<V1Pod>({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: metallbNamespace, labels },
        spec: { nodeName, hostNetwork: true, containers: [{ name: "metallb", image: "invalid" }] },
      });
    await this.addressOf(name, metallbNamespace);
  }

  private addressOf(pod: string, namespace: string): Promise<string> {
    return until(`${pod} has an address`, async () => {
      const { status } = (await this.plane.api.read(kinds.pods, pod, namespace)) ?? {};
      if (status?.podIP === undefined) throw new Error(JSON.stringify(status));
      return status.podIP;
    });
  }

  private serve(name: string, space: Space, address: string): Program {
    const script = ["--require", join(root, "test", "register.js"), join(__dirname, "pod-server.ts")];
    return this.run(name, [process.execPath, ...script, name, address, "80", "443"], { around: space.enter });
  }

  /** Where a node finds the API. */
  private get apiForNodes(): string {
    return `https://${this.network.address}:${this.plane.ports.api}`;
  }

  private kubeconfig(user: string, server: string, groups: readonly string[] = []): string {
    const path = this.plane.file(`${user.replace("system:", "")}.kubeconfig`);
    writeFileSync(path, this.plane.kubeconfigFor(user, groups, server), { mode: 0o600 });
    return path;
  }
}

function programsOf({ proxy, speaker, pods }: Running): Program[] {
  return [proxy, speaker, ...[...pods.values()].map(({ server }) => server)].flatMap((one) => one ?? []);
}

/** The ingress controller's pod on a node. */
export function podOn(node: string): string {
  return `ingress-${node}`;
}
