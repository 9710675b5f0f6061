import {
  GuestAgentSilent,
  type Clock,
  type ProxmoxApi,
  type VmIdentity,
  type VmSummary,
} from "../../operations/clients";
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
    return vm && { ...summary(vm), macs: [...vm.macs], protection: vm.protection };
  }

  async shutdownVm(host: string, vmId: number): Promise<boolean> {
    await this.clock.sleep(20_000);
    this.off(this.must(host, vmId));
    return true;
  }

  async stopVm(host: string, vmId: number): Promise<void> {
    await this.clock.sleep(2_000);
    this.off(this.must(host, vmId));
  }

  async deleteVm(host: string, vmId: number): Promise<void> {
    const vm = this.must(host, vmId);
    if (vm.protection) throw new Error(`can't remove VM ${vmId} - protection mode enabled`);
    if (vm.status === "running") throw new Error(`VM ${vmId} is running - destroy failed`);
    await this.clock.sleep(3_000);
    this.home.proxmox.vms = this.home.proxmox.vms.filter((other) => other !== vm);
    delete this.home.guests[vmId];
  }

  async readGuestFile(host: string, vmId: number, path: string): Promise<string> {
    const guest = this.home.guests[vmId];
    if (this.must(host, vmId).status !== "running" || !guest?.agent)
      throw new GuestAgentSilent("QEMU guest agent is not running");
    if (path === "/etc/ssh/ssh_host_ed25519_key.pub") return `${guest.hostKey} root@guest\n`;
    throw new Error(`guest-file-open: failed to open file '${path}': No such file or directory`);
  }

  /** A machine that goes off takes its Kubernetes node's readiness with it. */
  private off(vm: Vm): void {
    vm.status = "stopped";
    const joined = this.home.rancher.nodes.find((node) => node.vmId === vm.vmId);
    const object = this.home.kubernetes.objects.find(
      (other) => other.kind === "Node" && other.apiVersion === "v1" && other.metadata?.name === joined?.nodeName,
    );
    if (object)
      Object.assign(object, {
        status: {
          ...("status" in object ? (object.status as object) : {}),
          conditions: [{ type: "Ready", status: "Unknown" }],
        },
      });
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

function summary(vm: Vm): VmSummary {
  return { vmId: vm.vmId, name: vm.name, host: vm.host, status: vm.status, tags: [...vm.tags] };
}
