import { createHash } from "node:crypto";
import type { V1Node, V1NodeStatus } from "@kubernetes/client-node";
import {
  SshFailure,
  type Clock,
  type GuestScript,
  type Role,
  type Ssh,
  type SshResult,
  type SshTarget,
} from "../../operations/clients";
import type { PretendRancher } from "./rancher";
import type { Guest, HomeState } from "./state";

/** SSH into the pretend guests: what each of our scripts does there, not how. */
export class PretendSsh implements Ssh {
  constructor(
    private readonly home: HomeState,
    private readonly clock: Clock,
    private readonly rancher: PretendRancher,
  ) {}

  async run(
    target: SshTarget,
    script: GuestScript,
    settings: Readonly<Record<string, string>>,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<SshResult> {
    const [vmId, guest] = this.reach(target);
    if (target.hostKey === undefined && Object.keys(secrets).length > 0)
      throw new Error("secrets never go over a connection whose host key is not pinned");
    if (target.hostKey !== undefined && target.hostKey !== guest.hostKey)
      throw new SshFailure("host-key", `${target.address}: the server's key is not the pinned one`);
    const stdout =
      script === "provision" ? await this.provision(guest, settings) : await this.join(vmId, guest, settings, secrets);
    return { stdout, hostKey: guest.hostKey };
  }

  private reach(target: SshTarget): [number, Guest] {
    for (const [id, guest] of Object.entries(this.home.guests)) {
      const vm = this.home.proxmox.vms.find((other) => other.vmId === Number(id));
      if (guest.address === target.address && vm?.status === "running") return [Number(id), guest];
    }
    throw new SshFailure("unreachable", `${target.address}: connection refused`);
  }

  private async provision(guest: Guest, settings: Readonly<Record<string, string>>): Promise<string> {
    const before = guest.provisioned ?? {};
    const changed = Object.keys(settings).filter((key) => before[key] !== settings[key]);
    await this.clock.sleep(changed.length > 0 ? 60_000 : 3_000);
    guest.provisioned = { ...settings };
    guest.agent = true;
    return changed.map((key) => `changed ${key}\n`).join("");
  }

  private async join(
    vmId: number,
    guest: Guest,
    settings: Readonly<Record<string, string>>,
    secrets: Readonly<Record<string, string>>,
  ): Promise<string> {
    await this.clock.sleep(5_000);
    const member = {
      nodeName: settings.NODE_NAME ?? "",
      address: guest.address,
      roles: (settings.ROLES ?? "").split(",").filter(isRole),
      labels: fromPairs(settings.LABELS ?? ""),
      systemUUID: this.home.proxmox.vms.find((vm) => vm.vmId === vmId)?.uuid ?? "",
    };
    const outcome = this.rancher.register(secrets.TOKEN ?? "", member, vmId);
    if (outcome === "refused") throw new SshFailure("exit", "the server refused the registration token (401)");
    return `${outcome}\n`;
  }
}

function isRole(word: string): word is Role {
  return word === "controlplane" || word === "etcd" || word === "worker";
}

/** What is in a machine that boots for the first time: a host key of its own, no agent yet, nothing joined. */
export function newGuest(vmId: number, address: string): Guest {
  const hostKey = `ssh-ed25519 ${createHash("sha256").update(`host key of ${vmId}`).digest("base64")}`;
  return { hostKey, address, agent: false, joined: false, instance: "" };
}

/** A Ready node, as its kubelet would register it. */
export function nodeObject(
  name: string,
  address: string,
  roles: readonly Role[],
  labels: Readonly<Record<string, string>>,
  systemUUID = "",
): V1Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        ...Object.fromEntries(roles.map((role) => [`node-role.kubernetes.io/${role}`, "true"])),
        ...labels,
      },
    },
    spec: {},
    status: {
      addresses: [
        { type: "InternalIP", address },
        { type: "Hostname", address: name },
      ],
      conditions: [{ type: "Ready", status: "True" }],
      allocatable: { cpu: "4", memory: "12Gi", pods: "110" },
      nodeInfo: { systemUUID, bootID: "1" } as V1NodeStatus["nodeInfo"],
    },
  };
}

/** `a=b,c=d` as an object. */
function fromPairs(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(",")
      .filter((pair) => pair !== "")
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
}
