import { createHash, randomBytes } from "node:crypto";
import type { Clock, KubernetesApi, RancherApi, RancherNode, Registration, Role } from "../../operations/clients";
import { nodes } from "../../operations/kinds";
import { nodeObject } from "./guest";
import type { HomeState, PretendRancherNode, RegistrationToken, Vm } from "./state";

/** What the agent on a machine says of it when it registers. */
export interface Member {
  readonly nodeName: string;
  readonly address: string;
  readonly roles: readonly Role[];
  readonly labels: Readonly<Record<string, string>>;
  /** The machine's SMBIOS UUID, by which the home knows which one it is. */
  readonly systemUUID: string;
}

export type Registered = "joined" | "already joined" | "refused";

/**
 * The pretend Rancher. On rke1 a node whose machine is off stays in `removing` for ever, as it did before rancher/rancher#35148: the harder case, which nothing
 * may rely on being better. That of a machine that is gone, or another one under its id, does go, as Rancher's since then.
 */
export class PretendRancher implements RancherApi {
  constructor(
    private readonly home: HomeState,
    private readonly clock: Clock,
    /** The cluster that it manages; a real one where a test has one. */
    private readonly kubernetes: Pick<KubernetesApi, "read" | "create" | "remove">,
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

  /** All registration tokens, expired ones too, first the one that Rancher's page of the cluster shows. */
  tokens(): readonly RegistrationToken[] {
    const { clusterId, token, tokenExpiresAt, moreTokens = [] } = this.home.rancher;
    const shown = { id: `${clusterId}:default-token`, token };
    return [tokenExpiresAt === undefined ? shown : { ...shown, expiresAt: tokenExpiresAt }, ...moreTokens];
  }

  /** Another token, empty until Rancher's controller has filled it in; with a lifetime (milliseconds) it expires after it. */
  createToken(lifetime?: number): RegistrationToken {
    const id = `${this.home.rancher.clusterId}:crt-${randomBytes(3).toString("hex")}`;
    const created: RegistrationToken = { id, token: "" };
    if (lifetime !== undefined) created.expiresAt = this.clock.now() + lifetime;
    (this.home.rancher.moreTokens ??= []).push(created);
    void this.clock.sleep(2_000).then(() => (created.token = newToken()));
    return { ...created };
  }

  /** What Rancher does with the shown token from time to time: another value takes its place, and the one before is refused. */
  rotateToken(lifetime?: number): void {
    const { rancher } = this.home;
    rancher.token = newToken();
    if (lifetime === undefined) delete rancher.tokenExpiresAt;
    else rancher.tokenExpiresAt = this.clock.now() + lifetime;
  }

  /** Lets every token expire now. */
  expireTokens(): void {
    const { rancher } = this.home;
    rancher.tokenExpiresAt = this.clock.now();
    for (const token of rancher.moreTokens ?? []) token.expiresAt = this.clock.now();
  }

  /**
   * What Rancher's agent achieves on a machine: the node appears in Rancher, after a while in Kubernetes, and then is active. `refused`: the token is wrong or
   * has expired, and nothing happened.
   *
   * A Kubernetes node of the same name that is another machine's keeps the new one from ever becoming one: rke2 and k3s refuse it by its node password, and on
   * rke1 the etcd member of that name is in the way.
   */
  register(token: string, member: Member, vmId = this.vmIdOf(member.systemUUID)): Registered {
    const now = this.clock.now();
    const valid = this.tokens().filter(({ token: value, expiresAt }) => value !== "" && now < (expiresAt ?? Infinity));
    if (!valid.some((known) => known.token === token)) return "refused";
    const guest = this.home.guests[vmId];
    if (guest?.joined) return "already joined";
    if (guest) guest.joined = true;
    const node = this.registered(member, vmId);
    void this.clock.sleep(75_000).then(async () => {
      if (!this.home.rancher.nodes.includes(node) || node.state === "removing") return;
      if (await this.kubernetes.read(nodes, member.nodeName)) return;
      node.nodeName = member.nodeName;
      await this.kubernetes.create(
        nodeObject(member.nodeName, member.address, member.roles, member.labels, member.systemUUID),
      );
      await this.clock.sleep(15_000);
      if (node.state === "registering") node.state = "active";
    });
    return "joined";
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
    if (this.home.rancher.distribution === "rke1" && this.machineOf(node)?.status === "stopped") return;
    void this.clock.sleep(30_000).then(async () => {
      if (node.nodeName !== undefined) await this.kubernetes.remove(nodes, node.nodeName);
      this.home.rancher.nodes = this.home.rancher.nodes.filter((other) => other !== node);
      const machine = this.machineOf(node);
      const guest = machine && this.home.guests[machine.vmId];
      if (guest) guest.joined = false;
    });
  }

  snapshots(): ReturnType<RancherApi["snapshots"]> {
    const complete = this.allSnapshots().filter(({ state }) => state === undefined);
    return Promise.resolve(complete.map(({ name, takenAt, heldBy }) => ({ name, takenAt, heldBy })));
  }

  /** What Rancher has objects of, whatever became of it: the recurring one that was due last, and the others. */
  allSnapshots(): readonly NonNullable<HomeState["rancher"]["snapshots"]>[number][] {
    const { snapshotEvery, snapshots = [] } = this.home.rancher;
    if (snapshotEvery === undefined) return snapshots;
    const between = snapshotEvery * 3_600_000;
    const takenAt = Math.floor(this.clock.now() / between) * between;
    return [{ name: `recurring-${takenAt / 1000}`, takenAt, heldBy: "store" }, ...snapshots];
  }

  /** Rancher's object for who registers: rke1 makes its name from the host's, so that an old one of the same name goes on; rke2 and k3s always make another. */
  private registered({ nodeName, roles, systemUUID }: Member, vmId: number): PretendRancherNode {
    const { clusterId, distribution, nodes: known } = this.home.rancher;
    const rke1 = distribution === "rke1";
    const id = rke1
      ? `${clusterId}:m-${createHash("md5").update(nodeName).digest("hex").slice(0, 12)}`
      : machineId(systemUUID);
    const before = known.find((other) => other.id === id || (rke1 && other.nodeName === nodeName));
    if (before?.state === "removing") return before;
    if (before)
      return Object.assign(before, { vmId, uuid: systemUUID, roles: [...roles], state: "registering" as const });
    const node: PretendRancherNode = {
      id,
      vmId,
      uuid: systemUUID,
      nodeName: undefined,
      state: "registering",
      roles: [...roles],
    };
    known.push(node);
    return node;
  }

  private vmIdOf(uuid: string): number {
    const machine = this.home.proxmox.vms.find((vm) => vm.uuid === uuid);
    if (!machine) throw new Error(`no machine of the home has the SMBIOS UUID ${uuid}`);
    return machine.vmId;
  }

  private machineOf({ vmId, uuid }: PretendRancherNode): Vm | undefined {
    return this.home.proxmox.vms.find((vm) => vm.vmId === vmId && (uuid ?? vm.uuid) === vm.uuid);
  }
}

/** Id of the Machine that rke2 and k3s get for a registration. */
export function machineId(systemUUID: string): string {
  return `fleet-default/custom-${createHash("sha256").update(systemUUID).digest("hex").slice(0, 12)}`;
}

function newToken(): string {
  return randomBytes(27).toString("hex");
}
