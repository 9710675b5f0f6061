import type { V1NodeStatus } from "@kubernetes/client-node";
import {
  GuestAgentSilent,
  type Clock,
  type Datastore,
  type ProxmoxApi,
  type VmIdentity,
  type VmSummary,
} from "../../operations/clients";
import { cloudInitData } from "./cloud-init";
import type { HomeState, Vm } from "./state";

/** The pretend Proxmox VE, with its own wording for what it refuses. */
export class PretendProxmox implements ProxmoxApi {
  constructor(
    private readonly home: HomeState,
    private readonly clock: Clock,
  ) {}

  async listVms(): Promise<readonly VmSummary[]> {
    return this.home.proxmox.vms.map(summary);
  }

  async vmIdFree(vmId: number): Promise<boolean> {
    return !this.home.proxmox.vms.some((vm) => vm.vmId === vmId);
  }

  async readVm(host: string, vmId: number): Promise<VmIdentity | undefined> {
    const vm = this.find(host, vmId);
    return vm && { ...summary(vm), macs: [...vm.macs], protection: vm.protection, uuid: vm.uuid };
  }

  async shutdownVm(host: string, vmId: number): Promise<boolean> {
    await this.clock.sleep(20_000);
    powerOff(this.home, this.must(host, vmId));
    return true;
  }

  async stopVm(host: string, vmId: number): Promise<void> {
    await this.clock.sleep(2_000);
    powerOff(this.home, this.must(host, vmId));
  }

  async deleteVm(host: string, vmId: number): Promise<void> {
    const vm = this.must(host, vmId);
    if (vm.protection) throw new Error(`can't remove VM ${vmId} - protection mode enabled`);
    if (vm.status === "running") throw new Error(`VM ${vmId} is running - destroy failed`);
    await this.clock.sleep(3_000);
    this.home.proxmox.vms = this.home.proxmox.vms.filter((other) => other !== vm);
    delete this.home.guests[vmId];
  }

  async keepOff(host: string, vmId: number): Promise<void> {
    this.must(host, vmId).onboot = false;
  }

  async startVm(host: string, vmId: number): Promise<void> {
    const vm = this.must(host, vmId);
    if (vm.status === "running") return;
    await this.clock.sleep(30_000);
    boot(this.home, vm);
  }

  async pendingSettings(host: string, vmId: number): Promise<readonly string[]> {
    return Object.keys(this.must(host, vmId).pending ?? {}).sort();
  }

  async cloudInitInstance(host: string, vmId: number): Promise<string> {
    return instanceOf(this.must(host, vmId));
  }

  async readDatastore(host: string, datastore: string): Promise<Datastore | undefined> {
    return this.home.proxmox.datastores.find((other) => other.host === host && other.name === datastore);
  }

  async privileges(): Promise<Readonly<Record<string, readonly string[]>>> {
    return this.home.proxmox.privileges;
  }

  async readGuestFile(host: string, vmId: number, path: string): Promise<string> {
    const guest = this.home.guests[vmId];
    if (this.must(host, vmId).status !== "running" || !guest?.agent)
      throw new GuestAgentSilent("QEMU guest agent is not running");
    if (path === "/etc/ssh/ssh_host_ed25519_key.pub") return `${guest.hostKey} root@guest\n`;
    if (path === guestInstanceFile) return `${guest.instance}\n`;
    throw new Error(`guest-file-open: failed to open file '${path}': No such file or directory`);
  }

  private find(host: string, vmId: number): Vm | undefined {
    return this.home.proxmox.vms.find((vm) => vm.host === host && vm.vmId === vmId);
  }

  private must(host: string, vmId: number): Vm {
    const vm = this.find(host, vmId);
    if (!vm) throw new Error(`Configuration file 'nodes/${host}/qemu-server/${vmId}.conf' does not exist`);
    return vm;
  }
}

/** Where cloud-init keeps the instance id of the data that it last applied. */
export const guestInstanceFile = "/var/lib/cloud/data/instance-id";

/** A machine that starts takes what waited for it: settings, cloud-init data; its Kubernetes node is Ready again. */
export function boot(home: HomeState, vm: Vm): void {
  vm.status = "running";
  const settings = settingsOf(vm);
  if (settings.memory !== undefined) vm.memory = Number(settings.memory) / 1024;
  if (vm.config !== undefined) vm.config = settings;
  delete vm.pending;
  const guest = home.guests[vm.vmId];
  if (guest) guest.instance = instanceOf(vm);
  setReady(home, vm, "True");
}

/** However it came to be off: its Kubernetes node is no longer heard of. */
export function powerOff(home: HomeState, vm: Vm): void {
  vm.status = "stopped";
  setReady(home, vm, "Unknown");
}

/** What the machine has, with what waits for a restart. */
export function settingsOf(vm: Vm): Record<string, string | number> {
  const all = Object.entries({ ...vm.config, ...vm.pending });
  return Object.fromEntries(all.flatMap(([key, value]) => (value === null ? [] : [[key, value]])));
}

/** What Proxmox would name the instance: a digest of the user's and the network's data. */
export function instanceOf(vm: Vm): string {
  return cloudInitData({ name: vm.name, ...settingsOf(vm) }, vm.vmId).instance;
}

/** A machine that goes off takes its Kubernetes node's readiness with it, and brings it back. */
function setReady(home: HomeState, vm: Vm, status: "True" | "Unknown"): void {
  const joined = home.rancher.nodes.find((node) => node.vmId === vm.vmId && (node.uuid ?? vm.uuid) === vm.uuid);
  const object = home.kubernetes.objects.find(
    (other) => other.kind === "Node" && other.apiVersion === "v1" && other.metadata?.name === joined?.nodeName,
  );
  if (!object) return;
  const before: V1NodeStatus = "status" in object ? (object.status as V1NodeStatus) : {};
  // The kubelet reports the boot that it speaks of.
  const bootID = String(Number(before.nodeInfo?.bootID ?? 0) + (status === "True" ? 1 : 0));
  Object.assign(object, {
    status: { ...before, conditions: [{ type: "Ready", status }], nodeInfo: { ...before.nodeInfo, bootID } },
  });
}

function summary(vm: Vm): VmSummary {
  return { vmId: vm.vmId, name: vm.name, host: vm.host, status: vm.status, tags: [...vm.tags] };
}
