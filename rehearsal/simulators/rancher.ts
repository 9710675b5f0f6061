import { createHash } from "node:crypto";
import type { PretendRancher } from "../home/rancher";
import type { HomeState, PretendRancherNode, PretendSnapshot, RegistrationToken } from "../home/state";
import type { SimulatedReply, SimulatedRequest } from "./server";

export interface RancherOptions {
  /** The cluster's name in Rancher, which rke2's and k3s' Machines carry as a label. */
  readonly clusterName: string;
  /** The API key that it accepts. */
  readonly token: string;
  /** PEM of the private CA in front of it, whose checksum its node command then names. */
  readonly ca?: string;
  /** Items on a page of a list. Default 1000, as in Norman. */
  readonly pageSize?: number;
  /** Milliseconds that a token asked for is valid. Default: for ever. */
  readonly tokenLifetime?: number;
  /** The cluster was imported: Rancher does not manage its nodes, and their `remove` link is not there. */
  readonly imported?: boolean;
  /** What the key may not do: answered with 403. */
  readonly forbids?: (request: SimulatedRequest) => boolean;
}

/** Rancher's HTTP API over a pretend home, as far as the program speaks it: Norman (`/v3`) and the Machines of Steve (`/v1`). Anything else is a 404. */
export class RancherApiSimulator {
  constructor(
    private readonly home: HomeState,
    private readonly rancher: PretendRancher,
    private readonly options: RancherOptions,
  ) {}

  readonly answer = async (request: SimulatedRequest): Promise<SimulatedReply> => {
    if (request.headers.authorization !== `Bearer ${this.options.token}`)
      return { status: 401, body: { type: "error", status: "401", message: "must authenticate" } };
    if (this.options.forbids?.(request)) return refused(403, "Forbidden", `${request.method} ${request.path}`);
    const [path = "", name] = request.path.split(/^(\/v3\/nodes|\/v1\/[^/]+\/[^/]+)\/([^/]+)$/).filter(Boolean);
    const id = decodeURIComponent(name ?? "");
    switch (`${request.method} ${path}${name === undefined ? "" : "/*"}`) {
      case "GET /v3/settings/server-version": {
        const setting = { id: "server-version", name: "server-version", type: "setting" };
        return { body: { ...setting, value: await this.rancher.version() } };
      }
      case "GET /v3/clusterregistrationtokens":
        return this.norman(
          request,
          this.rancher.tokens().map((token) => this.token(token, request)),
        );
      case "POST /v3/clusterregistrationtokens":
        return this.createToken(request);
      case "GET /v3/nodes":
        return this.norman(
          request,
          this.home.rancher.nodes.map((node) => this.node(node, request)),
        );
      case "GET /v3/nodes/*":
        return this.one(id, (node) => ({ body: this.node(node, request) }));
      case "DELETE /v3/nodes/*":
        return this.one(id, async (node) => {
          // Without the link it answers 200 and the node comes back.
          if (this.removable) await this.rancher.removeNode(id);
          return { body: this.node(node, request) };
        });
      case "GET /v3/etcdbackups":
        return this.norman(
          request,
          this.home.rancher.distribution === "rke1"
            ? this.rancher.allSnapshots().map((snapshot) => this.backup(snapshot))
            : [],
        );
      case `GET ${machines}`:
        return this.machines(request);
      case `GET ${snapshots}`:
        return this.steve(request, "rke.cattle.io/cluster-name", () =>
          this.rancher.allSnapshots().map((snapshot) => this.etcdSnapshot(snapshot)),
        );
      case `DELETE ${machines}/*`:
        return this.one(`fleet-default/${id}`, async (node) => {
          await this.rancher.removeNode(node.id);
          return { body: this.machine(node) };
        });
      default:
        return refused(404, "NotFound", `${request.method} ${request.path}: not found`);
    }
  };

  private get removable(): boolean {
    return this.home.rancher.distribution === "rke1" && !this.options.imported;
  }

  private createToken(request: SimulatedRequest): SimulatedReply {
    const { clusterId } = JSON.parse(request.body) as { clusterId?: unknown };
    if (clusterId !== this.home.rancher.clusterId)
      return refused(404, "NotFound", `clusters.management.cattle.io "${String(clusterId)}" not found`);
    return { status: 201, body: this.token(this.rancher.createToken(this.options.tokenLifetime), request) };
  }

  /** A token as Norman shows it; without its commands until Rancher's controller filled it in. */
  private token({ id, token, expiresAt }: RegistrationToken, request: SimulatedRequest): object {
    const { clusterId, distribution, version } = this.home.rancher;
    const server = urlOf(request);
    const { ca } = this.options;
    const checksum = ca === undefined ? "" : ` --ca-checksum ${createHash("sha256").update(ca).digest("hex")}`;
    const end = `--server ${server}${distribution === "rke1" ? "" : " --label 'cattle.io/os=linux'"} --token ${token}${checksum}`;
    const nodeCommand =
      distribution === "rke1"
        ? `sudo docker run -d --privileged --restart=unless-stopped --net=host -v /etc/kubernetes:/etc/kubernetes -v /var/run:/var/run  rancher/rancher-agent:${version} ${end}`
        : ` curl -fL ${server}/system-agent-install.sh | sudo  sh -s - ${end}`;
    return {
      type: "clusterRegistrationToken",
      id,
      name: id.slice(id.indexOf(":") + 1),
      clusterId,
      token,
      nodeCommand: token === "" ? "" : nodeCommand,
      ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt).toISOString() }),
    };
  }

  private node(node: PretendRancherNode, request: SimulatedRequest): { id: string } {
    const self = `${urlOf(request)}/v3/nodes/${node.id}`;
    return {
      id: node.id,
      ...{ type: "node", clusterId: this.home.rancher.clusterId, state: node.state, nodeName: node.nodeName ?? null },
      ...{ etcd: node.roles.includes("etcd"), worker: node.roles.includes("worker") },
      ...{ controlPlane: node.roles.includes("controlplane") },
      ...{ links: { self, ...(this.removable && { remove: self }) } },
    };
  }

  private machine(node: PretendRancherNode): object {
    const phases = { registering: "Pending", active: "Running", cordoned: "Running", removing: "Deleting" };
    const role = { controlplane: "control-plane", etcd: "etcd", worker: "worker" };
    return {
      id: node.id,
      type: "cluster.x-k8s.io.machine",
      metadata: {
        namespace: "fleet-default",
        name: node.id.slice("fleet-default/".length),
        labels: {
          "cluster.x-k8s.io/cluster-name": this.options.clusterName,
          ...Object.fromEntries(node.roles.map((name) => [`rke.cattle.io/${role[name]}-role`, "true"])),
        },
        ...(node.state === "removing" && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
      },
      status: { phase: phases[node.state], ...(node.nodeName !== undefined && { nodeRef: { name: node.nodeName } }) },
    };
  }

  private async one(
    id: string,
    then: (node: PretendRancherNode) => SimulatedReply | Promise<SimulatedReply>,
  ): Promise<SimulatedReply> {
    const node = this.home.rancher.nodes.find((other) => other.id === id);
    return node ? then(node) : refused(404, "NotFound", `nodes.management.cattle.io "${id}" not found`);
  }

  /** A page of a list of this cluster, with a link to the next. */
  private norman(request: SimulatedRequest, all: readonly object[]): SimulatedReply {
    const { pageSize: limit = 1000 } = this.options;
    const mine = request.query.get("clusterId") === this.home.rancher.clusterId ? all : [];
    const start = Number(request.query.get("marker") ?? 0);
    const next = new URLSearchParams(request.query);
    next.set("marker", String(start + limit));
    const more = start + limit < mine.length && { next: `${urlOf(request)}${request.path}?${next.toString()}` };
    return {
      body: { type: "collection", data: mine.slice(start, start + limit), pagination: { limit, ...more } },
    };
  }

  private machines(request: SimulatedRequest): SimulatedReply {
    return this.steve(request, "cluster.x-k8s.io/cluster-name", () =>
      this.home.rancher.nodes.map((node) => this.machine(node)),
    );
  }

  /** rke1's EtcdBackup, as Norman shows it (management.cattle.io/v3). */
  private backup({ name, takenAt, heldBy, state }: PretendSnapshot): object {
    const created = new Date(takenAt).toISOString();
    const completed = { running: "Unknown", failed: "False", missing: "False" };
    return {
      ...{ id: `${this.home.rancher.clusterId}:${name}`, type: "etcdBackup", name, created },
      clusterId: this.home.rancher.clusterId,
      filename: `${name}.zip`,
      manual: false,
      backupConfig: { enabled: true, ...(heldBy === "store" && { s3BackupConfig: { bucketName: "etcd" } }) },
      status: {
        conditions: [
          { type: "Created", status: "True" },
          { type: "Completed", status: state === undefined ? "True" : completed[state] },
        ],
      },
    };
  }

  /** rke2's and k3s' ETCDSnapshot (rke.cattle.io/v1), as Steve shows it. */
  private etcdSnapshot({ name, takenAt, heldBy, state }: PretendSnapshot): object {
    const { clusterName } = this.options;
    return {
      id: `fleet-default/${clusterName}-${name}`,
      type: "rke.cattle.io.etcdsnapshot",
      metadata: {
        ...{ namespace: "fleet-default", name: `${clusterName}-${name}` },
        labels: { "rke.cattle.io/cluster-name": clusterName },
      },
      spec: { clusterName },
      snapshotFile: {
        name,
        createdAt: new Date(takenAt).toISOString(),
        ...(typeof heldBy === "object" ? { nodeName: heldBy.node } : { nodeName: "s3", s3: { bucket: "etcd" } }),
        status: state === undefined || state === "missing" ? "successful" : "failed",
      },
      status: { missing: state === "missing" },
    };
  }

  /** A page of a list that the label selects by the cluster. */
  private steve(request: SimulatedRequest, label: string, list: () => readonly object[]): SimulatedReply {
    const { pageSize = 100_000 } = this.options;
    const selected = request.query.get("labelSelector") === `${label}=${this.options.clusterName}`;
    const managed = this.home.rancher.distribution !== "rke1" && !this.options.imported;
    const all = selected && managed ? list() : [];
    const start = Number(request.query.get("continue") ?? 0);
    const more = start + pageSize < all.length && { continue: String(start + pageSize) };
    return { body: { type: "collection", data: all.slice(start, start + pageSize), ...more } };
  }
}

const machines = "/v1/cluster.x-k8s.io.machines/fleet-default";

const snapshots = "/v1/rke.cattle.io.etcdsnapshots/fleet-default";

/** Both APIs say what they refuse like this. */
function refused(status: number, code: string, message: string): SimulatedReply {
  return { status, body: { baseType: "error", type: "error", status, code, message } };
}

/** Where the client reached us, which is what the `server-url` setting says. */
function urlOf({ headers }: SimulatedRequest): string {
  return `https://${headers.host}`;
}
