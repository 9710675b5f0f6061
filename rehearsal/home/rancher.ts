import type { Clock, RancherApi, RancherNode, Registration } from "../../operations/clients";
import { nodes } from "../../operations/kinds";
import type { PretendKubernetes } from "./kubernetes";
import type { HomeState } from "./state";

/** The pretend Rancher. A node whose machine is off stays in `removing` for ever, as in the real one. */
export class PretendRancher implements RancherApi {
  constructor(
    private readonly home: HomeState,
    private readonly clock: Clock,
    private readonly kubernetes: PretendKubernetes,
  ) {}

  async version(): Promise<string> {
    return this.home.rancher.version;
  }

  async registration(): Promise<Registration> {
    return {
      server: "https://rancher.invalid",
      token: this.home.rancher.token,
      caChecksum: undefined,
      agentImage: `rancher/rancher-agent:${this.home.rancher.version}`,
    };
  }

  async nodes(): Promise<readonly RancherNode[]> {
    return this.home.rancher.nodes.map(({ id, nodeName, state, roles }) => ({
      id,
      nodeName,
      state,
      roles: [...roles],
    }));
  }

  async removeNode(id: string): Promise<void> {
    const node = this.home.rancher.nodes.find((other) => other.id === id);
    if (!node || node.state === "removing") return;
    node.state = "removing";
    if (this.home.proxmox.vms.find((vm) => vm.vmId === node.vmId)?.status !== "running") return;
    void this.clock.sleep(30_000).then(async () => {
      if (node.nodeName !== undefined) await this.kubernetes.remove(nodes, node.nodeName);
      this.home.rancher.nodes = this.home.rancher.nodes.filter((other) => other !== node);
      const guest = this.home.guests[node.vmId];
      if (guest) guest.joined = false;
    });
  }
}
