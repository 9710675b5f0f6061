import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments, stringify } from "yaml";
import type { Kind, KubernetesApi } from "../../../operations/clients";
import { kubernetesClient } from "../../../operations/clients/kubernetes";
import { migrationLabels } from "../../../operations/volumes/migration-pod";
import { kubernetesModules, program } from "./build";
import { Authority, type Pair } from "./certificates";
import { answers, freePorts, Program, until } from "./processes";

export interface ControlPlaneOptions {
  /** Which of the two releases of tools/. Default newest. */
  readonly minor?: Minor;
  /**
   * An address of this namespace, not loopback, at which the API is reached from elsewhere too (kube-proxy and speakers of other namespaces) and which the
   * Service `kubernetes` leads to. Default: none, and that Service leads nowhere.
   */
  readonly address?: string;
  /**
   * The API server calls webhooks at the addresses of their Service's endpoints, and not at the Service's own, which no kube-proxy leads anywhere here. Default
   * false, as in the distributions.
   */
  readonly callsEndpoints?: boolean;
  /**
   * Leaves the pods of migrations, and those that say so (`realPods`), to somebody who runs them: kwok does nothing to them, and logs are asked for at the nodes'
   * own addresses. Default false: kwok plays all pods.
   */
  readonly realPods?: boolean;
}

export type Minor = "oldest" | "newest";
export const minors: readonly Minor[] = ["oldest", "newest"];

/** As in the environments' distributions; they exist inside of the tier's namespace only. */
export const serviceRange = "10.43.0.0/16";
export const podRange = "10.42.0.0/16";

/** Nodes with this annotation are kwok's. */
export const simulated = { "home-cluster.test/node": "kwok" } as const;

/** Pods with this annotation are run for real, where the control plane was started so. */
export const realPods = { "home-cluster.test/kubelet": "real" } as const;

/** One line of the audit log: an answered request. */
export interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
    readonly apiVersion?: string;
    readonly subresource?: string;
  };
  readonly responseStatus?: { readonly code?: number; readonly reason?: string; readonly message?: string };
  /** Such as `k8s.io/deprecated` and `pod-security.kubernetes.io/audit-violations`. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of what writes; never of Secrets, nor of what the control plane's own parts write. */
  readonly requestObject?: unknown;
}

const serviceAccounts: Kind = { apiVersion: "v1", kind: "ServiceAccount" };

/**
 * etcd, API server, controller manager and scheduler of one release, as they are, with certificates of their own; and kwok, which plays kubelet for nodes that
 * say so (nodes.ts). Meant for a namespace that ends with its starter (`npm run test:cluster` sees to it); the programs end with this process anyway.
 */
export class ControlPlane {
  /** The operator's, as the program's secret `kubeconfig`. */
  readonly kubeconfig: string;
  /** The program's own client, as the operator. */
  readonly api: KubernetesApi;
  /** `https://127.0.0.1:<port>`. */
  readonly server: string;
  readonly programs: Program[] = [];

  private constructor(
    /** Such as `v1.36.3`. */
    readonly version: string,
    private readonly module: string,
    /** Of this run; holds logs, certificates and etcd's data. */
    readonly folder: string,
    private readonly authority: Authority,
    private readonly operator: Pair,
    /** Of loopback, all that this control plane listens on. */
    readonly ports: Readonly<Record<"api" | "etcd" | "etcdPeer" | "controllers" | "scheduler" | "kwok", number>>,
    private readonly address: string | undefined,
    private readonly callsEndpoints: boolean,
    private readonly realPods: boolean,
  ) {
    this.server = `https://127.0.0.1:${ports.api}`;
    this.kubeconfig = this.kubeconfigOf("operator", operator);
    this.api = kubernetesClient(this.kubeconfig);
  }

  /** Ready when it returns: the API server says so, pods can be created, and every part runs. The error names the part that did not start, with its last words. */
  static async start({
    minor = "newest",
    address,
    callsEndpoints = false,
    realPods = false,
  }: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const { name, version } = kubernetesModules()[minor];
    const folder = mkdtempSync(join(tmpdir(), `control-plane-${minor}-`));
    for (const part of ["logs", "tls"]) mkdirSync(join(folder, part));
    const [api = 0, etcd = 0, etcdPeer = 0, controllers = 0, scheduler = 0, kwok = 0] = await freePorts(6);
    const ports = { api, etcd, etcdPeer, controllers, scheduler, kwok };
    const authority = new Authority(join(folder, "tls"));
    const operator = authority.client("operator", ["system:masters"]);
    const plane = new ControlPlane(
      version,
      name,
      folder,
      authority,
      operator,
      ports,
      address,
      callsEndpoints,
      realPods,
    );
    try {
      await plane.startParts();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** A kubeconfig for a user of any name, with these groups: `system:masters` may do everything, others what RBAC grants them. */
  kubeconfigFor(user: string, groups: readonly string[] = [], server?: string): string {
    return this.kubeconfigOf(user, this.authority.client(user, groups), server);
  }

  /** The API server's CA, PEM. */
  get ca(): string {
    return this.authority.ca;
  }

  /** A new namespace that takes pods. Labels: its Pod Security level, for instance. */
  async namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.api.create({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { ...labels } } });
    await this.accountOf(name);
  }

  /** Every request that was answered so far, in the order of their end. */
  audit(): AuditEvent[] {
    return readFileSync(this.file("audit.log"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as AuditEvent);
  }

  private get minorNumber(): number {
    return Number(this.version.split(".")[1]);
  }

  /** A file of this run. */
  file(name: string): string {
    return join(this.folder, name);
  }

  /** A folder of this run, empty. */
  folderOf(name: string): string {
    mkdirSync(this.file(name));
    return this.file(name);
  }

  /** Starts a further program of the lab, which ends with the others. `name` is that of its log. */
  run(name: string, command: readonly string[], options: Parameters<typeof Program.start>[3] = {}): Program {
    const started = Program.start(name, this.file(join("logs", `${name}.log`)), command, options);
    this.programs.push(started);
    return started;
  }

  /** Parts that have ended although nobody ended them, with their last words. */
  casualties(): string[] {
    return this.programs.flatMap((one) => (one.running ? [] : [`${one.end()}\n${one.lastLines()}`]));
  }

  async stop(): Promise<void> {
    await Promise.all(this.programs.map((one) => one.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async startParts(): Promise<void> {
    const tls = { ca: this.ca, ...this.operator };
    await this.startEtcd();
    await this.startApi().ready(() => answers(`${this.server}/readyz`, tls));
    const [controllers, scheduler, kwok] = [this.startControllers(), this.startScheduler(), this.startKwok()];
    await Promise.all([
      controllers.ready(() => answers(`https://127.0.0.1:${this.ports.controllers}/healthz`, tls)),
      scheduler.ready(() => answers(`https://127.0.0.1:${this.ports.scheduler}/healthz`, tls)),
      kwok.ready(() => answers(`https://127.0.0.1:${this.ports.kwok}/healthz`, tls)),
    ]);
    await this.accountOf("default");
  }

  /** Waits for a namespace's service account: without one every pod is refused. */
  private async accountOf(namespace: string): Promise<void> {
    await until(`namespace ${namespace} has a service account`, async () => {
      if ((await this.api.read(serviceAccounts, "default", namespace)) === undefined) throw new Error("none yet");
    });
  }

  private async startEtcd(): Promise<void> {
    const [client, peer] = [this.ports.etcd, this.ports.etcdPeer].map((port) => `http://127.0.0.1:${port}`);
    // Debian's etcd cannot leave fsync out; in the tier's namespace the folder is in memory, where it costs nothing.
    const etcd = this.run("etcd", [
      ...["etcd", "--name=lab", `--data-dir=${this.file("etcd")}`, "--logger=zap", "--log-level=warn"],
      ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=lab=${peer}`],
    ]);
    await etcd.ready(async () => {
      const { health } = (await (await fetch(`${client}/health`)).json()) as { health?: string };
      if (health !== "true") throw new Error(`/health says ${health}`);
    });
  }

  private startApi(): Program {
    const { key, publicKey } = this.authority.keyPair();
    const names = ["DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", "IP:10.43.0.1"];
    const serving = this.authority.server(...names, ...(this.address === undefined ? [] : [`IP:${this.address}`]));
    this.write("tls/ca.pem", this.ca);
    this.write("tls/serving.pem", serving.cert);
    this.write("tls/serving.key", serving.key);
    this.write("tls/accounts.key", key);
    this.write("tls/accounts.pub", publicKey);
    this.write("audit.yaml", stringify(auditPolicy));
    const issuer = "https://kubernetes.default.svc.cluster.local";
    return this.run("kube-apiserver", [
      program(this.module, "kube-apiserver"),
      `--etcd-servers=http://127.0.0.1:${this.ports.etcd}`,
      ...(this.address === undefined
        ? // Nothing but loopback to advertise, which the Service `kubernetes` may not lead to.
          ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        : ["--bind-address=0.0.0.0", `--advertise-address=${this.address}`]),
      `--secure-port=${this.ports.api}`,
      ...this.serving(),
      `--client-ca-file=${this.file("tls/ca.pem")}`,
      "--anonymous-auth=false",
      "--authorization-mode=Node,RBAC",
      // PodSecurity is among the defaults of both releases, and named so that it stays on.
      "--enable-admission-plugins=NodeRestriction,PodSecurity",
      `--service-cluster-ip-range=${serviceRange}`,
      ...(this.callsEndpoints ? ["--enable-aggregator-routing=true"] : []),
      // Nobody resolves the names of nodes here.
      ...(this.realPods ? ["--kubelet-preferred-address-types=InternalIP"] : []),
      ...[`--service-account-issuer=${issuer}`, `--service-account-key-file=${this.file("tls/accounts.pub")}`],
      `--service-account-signing-key-file=${this.file("tls/accounts.key")}`,
      "--allow-privileged=true",
      // On since 1.34, and in need of an etcd that reports the progress of a watch, which Debian's 3.4 does not: every watch from resourceVersion 0 then
      // breaks off at once, and its client waits longer and longer between tries (tried). Without it a client lists, then watches.
      ...(this.minorNumber >= 34 ? ["--feature-gates=WatchList=false"] : []),
      ...[`--audit-policy-file=${this.file("audit.yaml")}`, `--audit-log-path=${this.file("audit.log")}`],
    ]);
  }

  private startControllers(): Program {
    return this.run("kube-controller-manager", [
      program(this.module, "kube-controller-manager"),
      this.identity("system:kube-controller-manager"),
      ...["--bind-address=127.0.0.1", `--secure-port=${this.ports.controllers}`, ...this.serving()],
      "--leader-elect=false",
      "--use-service-account-credentials=true",
      // Its own 20 requests a second are most of the time that a start takes.
      ...["--kube-api-qps=500", "--kube-api-burst=500"],
      `--service-account-private-key-file=${this.file("tls/accounts.key")}`,
      `--root-ca-file=${this.file("tls/ca.pem")}`,
      ...[
        `--cluster-signing-cert-file=${this.file("tls/ca.pem")}`,
        `--cluster-signing-key-file=${this.file("tls/ca.key")}`,
      ],
      ...[`--cluster-cidr=${podRange}`, `--service-cluster-ip-range=${serviceRange}`],
    ]);
  }

  private startScheduler(): Program {
    return this.run("kube-scheduler", [
      program(this.module, "kube-scheduler"),
      this.identity("system:kube-scheduler"),
      ...["--bind-address=127.0.0.1", `--secure-port=${this.ports.scheduler}`, ...this.serving()],
      "--leader-elect=false",
    ]);
  }

  private startKwok(): Program {
    this.write("stages.yaml", stages(this.realPods));
    this.write("kwok.kubeconfig", this.kubeconfigFor("kwok", ["system:masters"]));
    const [annotation] = Object.entries(simulated);
    return this.run("kwok", [
      program("kwok", "kwok"),
      `--kubeconfig=${this.file("kwok.kubeconfig")}`,
      `--config=${this.file("stages.yaml")}`,
      `--manage-nodes-with-annotation-selector=${annotation?.join("=")}`,
      // Without leases its nodes flap (tried).
      "--node-lease-duration-seconds=40",
      `--cidr=${podRange}`,
      `--server-address=127.0.0.1:${this.ports.kwok}`,
      ...this.serving(),
    ]);
  }

  private serving(): string[] {
    return [
      `--tls-cert-file=${this.file("tls/serving.pem")}`,
      `--tls-private-key-file=${this.file("tls/serving.key")}`,
    ];
  }

  /** Who a part is towards the API. Nobody asks it for anything but its health, which it tells everybody. */
  private identity(user: string): string {
    const path = `${user.replace("system:", "")}.kubeconfig`;
    this.write(path, this.kubeconfigFor(user));
    return `--kubeconfig=${this.file(path)}`;
  }

  private kubeconfigOf(user: string, { cert, key }: Pair, server = this.server): string {
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    return stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "lab", cluster: { server, "certificate-authority-data": base64(this.ca) } }],
      users: [{ name: user, user: { "client-certificate-data": base64(cert), "client-key-data": base64(key) } }],
      contexts: [{ name: "lab", context: { cluster: "lab", user } }],
      "current-context": "lab",
    });
  }

  private write(name: string, text: string): void {
    writeFileSync(this.file(name), text, { mode: 0o600 });
  }
}

/** What kwok is told to do, without the pods that somebody runs. */
function stages(withoutReal: boolean): string {
  const text = readFileSync(join(__dirname, "stages.yaml"), "utf8");
  if (!withoutReal) return text;
  const [[key, value] = ["", ""]] = Object.entries(realPods);
  const [[label, part] = ["", ""]] = Object.entries(migrationLabels).filter(([name]) => name.endsWith("part-of"));
  const others = [
    { key: `.metadata.annotations["${key}"]`, operator: "NotIn", values: [value] },
    { key: `.metadata.labels["${label}"]`, operator: "NotIn", values: [part] },
  ];
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Stage)
    .map(({ spec, ...stage }) => ({
      ...stage,
      spec:
        spec.resourceRef.kind === "Pod"
          ? { ...spec, selector: { matchExpressions: [...spec.selector.matchExpressions, ...others] } }
          : spec,
    }))
    .map((stage) => stringify(stage))
    .join("---\n");
}

interface Stage {
  readonly spec: {
    readonly resourceRef: { readonly kind: string };
    readonly selector: { readonly matchExpressions: readonly object[] };
  };
}

const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [
    { level: "Metadata", resources: [{ group: "", resources: ["secrets"] }] },
    { level: "Metadata", userGroups: ["system:serviceaccounts:kube-system"] },
    {
      level: "Metadata",
      users: ["kwok", "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"],
    },
    { level: "Request", verbs: ["create", "update", "patch", "delete", "deletecollection"] },
    { level: "Metadata" },
  ],
};
