import { join } from "node:path";
import * as proxmox from "@muhlba91/pulumi-proxmoxve";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { Access } from "../../operations/access";
import type { Clients, Registration, Ssh, SshResult, SshTarget } from "../../operations/clients";
import type { MembershipInput } from "../../operations/nodes/membership-input";
import { Refusal } from "../../operations/refusal";
import { buildHome, uuidOf } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import type { Guest, HomeState, Vm } from "../../rehearsal/home/state";
import { record, reveal, secret, type RecordOptions, type Recording } from "../../rehearsal/record";
import { environment, root } from "./environment";

export const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDebian1";

/** Where the scripts that run inside of a node are. */
export const guestScripts = join(root, "operations", "guest");

/** The pretend home with debian-1's machine running, as it is after the engine created it: no agent, not joined. */
export function homeWithMachine(change: (vm: Vm, guest: Guest) => void = () => undefined): {
  readonly home: HomeState;
  readonly clients: Clients;
  readonly clock: VirtualClock;
  readonly log: string[];
  readonly runs: SshRun[];
} {
  const home = buildHome(environment("home"));
  const vm: Vm = {
    vmId: 201,
    name: "debian-1",
    host: "pve",
    status: "running",
    tags: ["debian", "home-cluster-home"],
    macs: ["BC:24:11:00:10:21", "BC:24:11:00:40:21"],
    protection: false,
    disks: [40, 200],
    memory: 12,
    uuid: uuidOf(201, 1),
  };
  const guest: Guest = { hostKey, address: "192.168.10.21", agent: false, joined: false, instance: "" };
  change(vm, guest);
  home.proxmox.vms.push(vm);
  home.guests[201] = guest;
  const clock = new VirtualClock(home.now);
  const log: string[] = [];
  const runs: SshRun[] = [];
  const clients = pretendClients(home, clock, (line) => log.push(line));
  return { home, clock, log, runs, clients: { ...clients, ssh: new RecordingSsh(clients.ssh, runs) } };
}

/** What was run in a guest, and with what. */
export interface SshRun {
  readonly target: SshTarget;
  readonly script: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

class RecordingSsh implements Ssh {
  constructor(
    private readonly ssh: Ssh,
    private readonly runs: SshRun[],
  ) {}

  async run(...[target, script, settings, secrets = {}]: Parameters<Ssh["run"]>): Promise<SshResult> {
    this.runs.push({ target, script, settings, secrets });
    return this.ssh.run(target, script, settings, secrets);
  }
}

/** debian-1's membership as the component declares it. */
export function membership(change: Partial<MembershipInput> = {}): MembershipInput {
  return {
    node: "debian-1",
    roles: ["controlplane", "etcd", "worker"],
    labels: { "home-cluster/node": "debian", "node.longhorn.io/create-default-disk": "true" },
    address: "192.168.10.21",
    distribution: "rke1",
    hostKey,
    vm: { host: "pve", vmId: 201, mac: "BC:24:11:00:10:21" },
    protect: true,
    ...change,
  };
}

/** The parts of a Refusal, for exact assertions; anything else is thrown on. */
export async function refused(run: Promise<unknown>): Promise<Refusal["parts"]> {
  try {
    await run;
  } catch (error) {
    if (error instanceof Refusal) return error.parts;
    throw error;
  }
  throw new Error("was not refused");
}

/** Clients whose Rancher hands out this registration. */
export function withRegistration(clients: Clients, registration: Registration): Clients {
  return {
    ...clients,
    rancher: {
      version: () => clients.rancher.version(),
      nodes: () => clients.rancher.nodes(),
      removeNode: (id) => clients.rancher.removeNode(id),
      snapshots: () => clients.rancher.snapshots(),
      registration: () => Promise.resolve(registration),
    },
  };
}

/** Secrets that must never show. */
export const secrets = {
  proxmoxToken: "proxmox-token-that-must-not-show",
  rancherToken: "rancher-token-that-must-not-show",
  kubeconfig: "kubeconfig-that-must-not-show",
  sshPrivateKey: "private-key-that-must-not-show",
};

/** Ways into all four systems, as the stack hands them to a node. */
export function ways(change: Readonly<Record<string, object>> = {}): pulumi.Output<Access> {
  const { rancher, name, distribution } = environment("home").cluster;
  return pulumi.output({
    proxmox: { endpoint: "https://pve.home.example.org:8006/", token: pulumi.secret(secrets.proxmoxToken) },
    rancher: {
      url: rancher.url,
      token: pulumi.secret(secrets.rancherToken),
      clusterId: rancher.clusterId,
      clusterName: name,
      distribution,
    },
    kubernetes: { kubeconfig: pulumi.secret(secrets.kubeconfig) },
    ssh: { privateKey: pulumi.secret(secrets.sshPrivateKey) },
    ...change,
  });
}

export interface RunOptions {
  readonly preview?: boolean;
  /** Fails the resource of this name. */
  readonly fail?: string;
  /** Fails every invoke with this message, or only those of `refuses`. */
  readonly refuse?: string;
  /** A verb. */
  readonly refuses?: string;
}

/** Who the machine of each node is in these tests. */
export const uuid = uuidOf(201, 1);

const results: Readonly<Record<string, object>> = {
  "start-machine": { uuid },
  "identify-machine": { uuid },
  provision: { hostKey },
  join: { node: "debian-1", address: "192.168.10.21" },
  "restart-node": { node: "debian-1", restarted: false, waiting: [] },
};

/** What checks answer, by verb. */
const answers: Readonly<Record<string, (input: AskedInput) => object>> = {
  "check-vm-ids": ({ nodes = [] }) => ({
    vmIds: Object.fromEntries(nodes.map((node) => [node.name, node.vmId])),
  }),
  "check-hosts": ({ hosts = [] }) => ({
    hosts: Object.fromEntries(hosts.map(({ name, ...datastores }) => [name, datastores])),
  }),
  "identify-machine": () => ({ uuid }),
  "check-pending": () => ({ pending: {} }),
};

interface AskedInput {
  readonly nodes?: { name: string; vmId: number }[];
  readonly hosts?: { name: string }[];
}

/** What the engine answers in these tests: every operation succeeds, the ids that are asked for are free, the hosts are ready. */
export function engine({ preview = false, fail, refuse, refuses }: RunOptions): RecordOptions {
  return {
    stack: "test-nodes",
    preview,
    answer: ({ name, type, custom, inputs }) => {
      if (custom && name === fail) throw new Error("it failed");
      if (type === "proxmoxve:index/vmLegacy:VmLegacy") return { id: String(inputs.vmId) };
      if (type === "proxmoxve:download/file:File") return { id: `local:import/${String(inputs.fileName)}` };
      const verb = String(inputs.create).replace("operations/run ", "");
      return type === "command:local:Command" ? { outputs: { stdout: secret(JSON.stringify(results[verb])) } } : {};
    },
    call: (_, args) => {
      const verb = String(args.command).replace("operations/run ", "");
      if (refuse !== undefined && (refuses ?? verb) === verb) throw new Error(refuse);
      const { input } = JSON.parse(String(reveal(args.stdin))) as { input: AskedInput };
      return { stdout: JSON.stringify(answers[verb]?.(input)) };
    },
  };
}

/** Records a program with the providers that the stack would give it. */
export function run(
  program: (opts: pulumi.ComponentResourceOptions) => unknown,
  options: RunOptions = {},
): Promise<Recording> {
  return record(
    () =>
      program({
        providers: [
          new proxmox.Provider("proxmox", { endpoint: "https://pve.home.example.org:8006/" }),
          new command.Provider("operations"),
        ],
      }),
    engine(options),
  );
}
