import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import type { EnvironmentFile } from "../../../environment/schema";
import type { Layer } from "../../../environment/stack";
import { buildHome } from "../../../rehearsal/home/build";
import { pretendClients } from "../../../rehearsal/home/clients";
import { ScaledClock } from "../../../rehearsal/home/clock";
import type { HomeState, Vm } from "../../../rehearsal/home/state";
import { startCluster, type SimulatedCluster } from "../../../rehearsal/simulators/cluster";
import { startProxmox, type ProxmoxOptions, type SimulatedProxmox } from "../../../rehearsal/simulators/proxmox";
import { SshFailure, type Clients } from "../../../operations/clients";
import type { Certificate, Logged } from "../../../rehearsal/simulators/server";
import { environment } from "../../support/environment";
import { certificates } from "../../support/https";
import { sshKeys } from "../../support/ssh-keys";
import { Engine, type Checkout } from "../support";
import { Guests, type Ended, type ScriptRun } from "./guests";
import { LabStack } from "./stack";

export interface LabOptions {
  /** Which committed environment. Default home. */
  readonly name?: "home" | "lab";
  /** Makes the file what the test wants; addresses, certificates and keys of the lab's own are put in afterwards. */
  readonly change?: (file: EnvironmentFile) => void;
  readonly proxmox?: Partial<ProxmoxOptions>;
  /** How much of the time that the pretend home takes passes for real: provisioning is 60 s of it, joining 95 s. Default 0. */
  readonly scale?: number;
  /** Of every server, and its CA. Default: one that is valid. */
  readonly certificate?: Certificate & { readonly ca: string };
}

const token = "home-cluster@pve!program=11111111-2222-3333-4444-555555555555";

/**
 * Everything that the layers nodes and rancheros touch, over one pretend home: Proxmox, Rancher and the cluster's API as HTTPS servers, machines as real sshd at
 * their addresses; and the real engine on a copy of this checkout. Only inside of a namespace (`npm test` sees to it).
 */
export class Lab {
  private constructor(
    readonly home: HomeState,
    readonly engine: Engine,
    readonly checkout: Checkout,
    readonly proxmox: SimulatedProxmox,
    readonly cluster: SimulatedCluster,
    readonly guests: Guests,
    /** The same home without any network: what somebody does by hand. */
    readonly hand: Clients,
    private readonly name: "home" | "lab",
    private readonly keys: { readonly private: string; readonly public: string },
    private readonly file: EnvironmentFile,
  ) {}

  static async start({
    name = "home",
    change = () => undefined,
    proxmox: options = {},
    scale = 0,
    certificate = certificates(),
  }: LabOptions = {}): Promise<Lab> {
    let file: EnvironmentFile | undefined;
    const home = buildHome(
      environment(name, (raw) => {
        change(raw);
        file = raw;
      }),
    );
    if (!file) throw new Error("no environment file");
    const { ca } = certificate;
    const clock = new ScaledClock(scale);
    const clients = pretendClients(home, clock);
    const guests = await Guests.start(home, (run) => inGuest(home, clients, run));
    const proxmox = await startProxmox(home, {
      certificate,
      ...options,
      onBoot: (vm: Vm) => guests.boot(vm),
      onOff: (vm: Vm) => guests.off(vm),
    });
    const cluster = await startCluster(home, { certificate, clock, clusterName: file.cluster.name });
    const engine = new Engine();
    const lab = new Lab(home, engine, engine.copy(), proxmox, cluster, guests, clients, name, sshKeys(), file);
    writeFileSync(join(engine.folder, "ca.pem"), ca);
    file.proxmox.endpoint = `${proxmox.url}/`;
    file.proxmox.caCertificate = ca;
    file.cluster.rancher.url = cluster.rancher.url;
    file.cluster.rancher.caCertificate = ca;
    file.sshPublicKey = lab.keys.public;
    lab.edit(() => undefined);
    lab.checkout.standInForPins();
    return lab;
  }

  /** Changes the environment file, as an operator would before the next `up`. */
  edit(change: (file: EnvironmentFile) => void): void {
    change(this.file);
    const path = `Pulumi.${this.name}.yaml`;
    const document = parseDocument(this.checkout.file(path));
    for (const [key, value] of Object.entries(this.file)) document.setIn(["config", `home-cluster:${key}`], value);
    this.checkout.write(path, document.toString({ lineWidth: 0 }));
  }

  /** Somebody removes a machine in Proxmox's own interface. */
  async lose(vmId: number): Promise<void> {
    const vm = this.machine(vmId);
    await this.guests.off(vm);
    await this.hand.proxmox.stopVm(vm.host, vmId);
    await this.hand.proxmox.deleteVm(vm.host, vmId);
  }

  /** Somebody changes a machine's settings in Proxmox's own interface. */
  change(vmId: number, { tags, ...more }: Partial<Vm>): void {
    const vm = this.machine(vmId);
    Object.assign(vm, more, tags && { tags });
    const settings = { ...(tags && { tags: tags.join(";") }), ...(more.name !== undefined && { name: more.name }) };
    if (vm.config) Object.assign(vm.config, settings);
  }

  machine(vmId: number): Vm {
    const found = this.home.proxmox.vms.find((vm) => vm.vmId === vmId);
    if (!found) throw new Error(`the lab has no machine ${vmId}`);
    return found;
  }

  /** The layer's stack, created on first use. */
  stack(layer: Layer): Promise<LabStack> {
    return LabStack.create(`${this.name}-${layer}`, this.checkout.folder, this.environment(), this.secrets());
  }

  secrets(): Record<string, string> {
    const { rancher, kubernetes } = this.cluster.access;
    return {
      proxmoxToken: token,
      rancherToken: rancher.token,
      kubeconfig: kubernetes.kubeconfig,
      sshPrivateKey: this.keys.private,
    };
  }

  environment(): Record<string, string> {
    return { ...this.engine.environment(), SSL_CERT_FILE: join(this.engine.folder, "ca.pem") };
  }

  /** What is where now, to come back to. */
  snapshot(): () => Promise<void> {
    const { folder } = this.engine;
    const home = structuredClone(this.home);
    const files = ["state", "checkout"].map((part) => [join(folder, part), join(folder, `${part}-kept`)] as const);
    for (const [from, to] of files) cpSync(from, to, { recursive: true, verbatimSymlinks: true });
    return async () => {
      for (const vm of this.home.proxmox.vms) await this.guests.off(vm);
      Object.assign(this.home, structuredClone(home));
      for (const vm of this.home.proxmox.vms.filter(({ status, config }) => status === "running" && config?.sshkeys))
        await this.guests.boot(vm);
      for (const [to, from] of files) {
        rmSync(to, { recursive: true });
        cpSync(from, to, { recursive: true, verbatimSymlinks: true });
      }
    };
  }

  async stop(): Promise<void> {
    await this.guests.stop();
    await this.proxmox.stop();
    await this.cluster.stop();
    this.engine.dispose();
  }
}

/** What the scripts do in a guest: the pretend guest's doing, reached over real SSH. */
async function inGuest(home: HomeState, clients: Clients, { vmId, script, variables }: ScriptRun): Promise<Ended> {
  const guest = home.guests[vmId];
  const { TOKEN, AGENT_ENVIRONMENT, ...settings } = variables;
  try {
    const { stdout } = await clients.ssh.run(
      { address: guest?.address ?? "", user: "debian", hostKey: guest?.hostKey },
      script,
      settings,
      { ...(TOKEN !== undefined && { TOKEN }), ...(AGENT_ENVIRONMENT !== undefined && { AGENT_ENVIRONMENT }) },
    );
    return { code: 0, stdout };
  } catch (error) {
    if (error instanceof SshFailure) return { code: 1, stderr: error.message };
    throw error;
  }
}

/** What changes something, as `POST /nodes/pve/qemu`, in order. */
export function writes(log: readonly Logged[]): string[] {
  return log
    .filter(({ method }) => method !== "GET")
    .map(({ method, path }) => `${method} ${path.replace("/api2/json", "")}`);
}

/** A fourth node beside the three of home, which may be taken out again. */
export function worker({ nodes: [first] }: EnvironmentFile): EnvironmentFile["nodes"][number] {
  if (!first) throw new Error("no node to take after");
  return {
    ...structuredClone(first),
    ...{ name: "debian-4", vmId: 204, roles: ["worker"], protect: false },
    cards: [{ network: "servers", address: "192.168.10.24", mac: "BC:24:11:00:10:24" }],
  };
}
