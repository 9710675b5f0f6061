import type { Access } from "../access";
import type { Clock, EtcdSnapshot, RancherApi, RancherNode, Registration, Role } from "../clients";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { field, items, JsonHttp, text, type HttpAnswer } from "./http";

/** Where Rancher keeps the objects of clusters that it provisions. */
const fleet = "fleet-default";

/** A token that expires this soon is not worth starting with: pulling the agent's image comes first. */
const marginMilliseconds = 5 * 60_000;

/** Rancher's API behind a bearer token: Norman (`/v3`) for settings, registration and rke1 nodes, Steve (`/v1`) for the machines of rke2 and k3s. */
export function rancherClient(access: NonNullable<Access["rancher"]>, clock: Clock): RancherApi {
  const http = new JsonHttp(
    {
      name: "Rancher",
      base: new URL(access.url).origin,
      authorization: `Bearer ${access.token}`,
      caCertificate: access.caCertificate,
      caSetting: "cluster.rancher.caCertificate",
      renewal:
        "where Rancher runs, the secret tls-rancher-ingress in cattle-system holds it (with cert-manager: `kubectl -n cattle-system describe certificate`)",
    },
    clock,
  );
  return new RealRancher(http, clock, access);
}

class RealRancher implements RancherApi {
  constructor(
    private readonly http: JsonHttp,
    private readonly clock: Clock,
    private readonly access: Pick<NonNullable<Access["rancher"]>, "clusterId" | "clusterName" | "distribution">,
  ) {}

  async version(): Promise<string> {
    return text(await this.call("GET", "/v3/settings/server-version"), "value");
  }

  async registration(): Promise<Registration> {
    const usable = (await this.tokens()).find((token) => this.isUsable(token));
    if (usable !== undefined) return parseRegistration(usable);
    // None, or only expired ones. A fresh one has no command until Rancher's controller filled it in.
    const { clusterId } = this.access;
    const created = await this.call("POST", "/v3/clusterregistrationtokens", {
      type: "clusterRegistrationToken",
      clusterId,
    });
    return waitFor(
      this.clock,
      {
        what: `Rancher: a registration token for cluster ${clusterId}`,
        timeoutSeconds: 120,
        everySeconds: 2,
        next: "open the cluster's registration tab in Rancher: it shows the same command, or why there is none; then run `pulumi up --refresh` again",
      },
      async () => {
        const token = (await this.tokens()).find((other) => text(other, "id") === text(created, "id"));
        if (!this.isUsable(token)) throw new NotYet("the new token has no node command yet");
        return parseRegistration(token);
      },
    );
  }

  async nodes(): Promise<readonly RancherNode[]> {
    return this.access.distribution === "rke1" ? this.normanNodes() : this.machines();
  }

  async removeNode(id: string): Promise<void> {
    if (this.access.distribution !== "rke1") {
      await this.call("DELETE", `${machinesPath}/${id.slice(`${fleet}/`.length)}`, undefined, true);
      return;
    }
    const node = await this.call("GET", `/v3/nodes/${id}`, undefined, true);
    if (node === undefined) return;
    // Rancher shows the link only where removing does something; without it, DELETE answers 200 and the node comes back.
    if (field(field(node, "links"), "remove") === undefined) {
      throw new Refusal({
        what: `Rancher: node ${id} cannot be removed through it`,
        why: "it is neither a custom nor a templated node: the cluster was imported, so Rancher does not manage its nodes",
        next: "check `distribution` and `rancher.clusterId` in the environment file against Rancher's page of the cluster",
      });
    }
    await this.call("DELETE", `/v3/nodes/${id}`, undefined, true);
  }

  async snapshots(): Promise<readonly EtcdSnapshot[]> {
    const found = this.access.distribution === "rke1" ? await this.normanBackups() : await this.steveSnapshots();
    return found.filter(({ takenAt }) => !Number.isNaN(takenAt));
  }

  /** rke1: Rancher's EtcdBackup. Each is on the disk of every member that there was, and in S3 where the backup says so. */
  private async normanBackups(): Promise<readonly EtcdSnapshot[]> {
    const { clusterId } = this.access;
    return (await this.all(`/v3/etcdbackups?clusterId=${encodeURIComponent(clusterId)}`))
      .filter((backup) => text(backup, "clusterId") === clusterId && isCompleted(backup))
      .map((backup) => ({
        name: text(backup, "name") || text(backup, "id"),
        takenAt: Date.parse(text(backup, "created")),
        heldBy: field(field(backup, "backupConfig"), "s3BackupConfig") ? "store" : "members",
      }));
  }

  /** rke2 and k3s: an object of Rancher's for each file of a snapshot, in S3 or on the disk of the node that took it. */
  private async steveSnapshots(): Promise<readonly EtcdSnapshot[]> {
    const cluster = this.access.clusterName;
    const selector = encodeURIComponent(`rke.cattle.io/cluster-name=${cluster}`);
    return (await this.all(`${snapshotsPath}?labelSelector=${selector}`))
      .filter(
        (snapshot) =>
          // Whatever the server makes of the selector, as with the machines.
          text(field(snapshot, "spec"), "clusterName") === cluster &&
          text(field(snapshot, "snapshotFile"), "status") === "successful" &&
          field(field(snapshot, "status"), "missing") !== true,
      )
      .map((snapshot) => {
        const file = field(snapshot, "snapshotFile");
        return {
          name: text(file, "name") || text(field(snapshot, "metadata"), "name"),
          takenAt: Date.parse(text(file, "createdAt")),
          heldBy: field(file, "s3") ? "store" : { node: text(file, "nodeName") },
        };
      });
  }

  private async normanNodes(): Promise<readonly RancherNode[]> {
    return (await this.all(`/v3/nodes?clusterId=${encodeURIComponent(this.access.clusterId)}`)).map((node) => ({
      id: text(node, "id"),
      nodeName: text(node, "nodeName") || undefined,
      state: text(node, "state"),
      roles: rolesFrom({ controlplane: "controlPlane", etcd: "etcd", worker: "worker" }, (key) => field(node, key)),
    }));
  }

  private async machines(): Promise<readonly RancherNode[]> {
    const cluster = this.access.clusterName;
    const selector = encodeURIComponent(`${clusterLabel}=${cluster}`);
    const found = await this.all(`${machinesPath}?labelSelector=${selector}`);
    return (
      found
        .map((machine) => ({ machine, labels: field(field(machine, "metadata"), "labels") }))
        // Whatever the server makes of the selector: the machines of another cluster must never get into this list.
        .filter(({ labels }) => text(labels, clusterLabel) === cluster)
        .map(({ machine, labels }) => ({
          id: `${fleet}/${text(field(machine, "metadata"), "name")}`,
          nodeName: text(field(field(machine, "status"), "nodeRef"), "name") || undefined,
          state: machineState(machine),
          roles: rolesFrom(
            {
              controlplane: "rke.cattle.io/control-plane-role",
              etcd: "rke.cattle.io/etcd-role",
              worker: "rke.cattle.io/worker-role",
            },
            (key) => text(labels, key) === "true",
          ),
        }))
    );
  }

  private async tokens(): Promise<readonly unknown[]> {
    const { clusterId } = this.access;
    const found = await this.all(`/v3/clusterregistrationtokens?clusterId=${encodeURIComponent(clusterId)}`);
    // The one that Rancher's own page shows comes first.
    return [...found].sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
  }

  /**
   * Whether Rancher filled the token in and it still works. Since July 2026 the stored command has the literal `{token}` where the token belongs, which only
   * this API replaces: where it could not, the command is useless.
   */
  private isUsable(token: unknown): boolean {
    const [value, command, expires] = [text(token, "token"), text(token, "nodeCommand"), text(token, "expiresAt")];
    if (value === "" || command === "" || `${value} ${command}`.includes("{token}")) return false;
    return expires === "" || Date.parse(expires) > this.clock.now() + marginMilliseconds;
  }

  /** Every page of a list, as both APIs page. */
  private async all(path: string): Promise<readonly unknown[]> {
    const found: unknown[] = [];
    let next: string | undefined = path;
    while (next !== undefined) {
      const page: unknown = await this.call("GET", next);
      found.push(...items(field(page, "data")));
      const link = text(field(page, "pagination"), "next");
      const token = text(page, "continue");
      // A link comes as a whole URL; only its path is used, so that the token goes nowhere else.
      if (link !== "") next = new URL(link).pathname + new URL(link).search;
      else next = token === "" ? undefined : withContinue(path, token);
    }
    return found;
  }

  private async call(
    method: "GET" | "POST" | "DELETE",
    path: string,
    json?: unknown,
    absentIsFine = false,
  ): Promise<unknown> {
    const answer = await this.http.send(method, path, { json });
    if (answer.status < 300) return answer.body;
    if (absentIsFine && answer.status === 404) return undefined;
    throw refusal(answer, `${method} ${path.split("?")[0] ?? path}`);
  }
}

const machinesPath = `/v1/cluster.x-k8s.io.machines/${fleet}`;
const snapshotsPath = `/v1/rke.cattle.io.etcdsnapshots/${fleet}`;
const clusterLabel = "cluster.x-k8s.io/cluster-name";

/** The parts of Rancher's own node command: what it says there is right for this cluster, private registry and CA included. */
function parseRegistration(token: unknown): Registration {
  const command = text(token, "nodeCommand");
  const docker = /\bdocker run\b/.test(command);
  const agentImage = docker ? /(\S+) --server /.exec(command)?.[1] : undefined;
  const server = /--server (\S+)/.exec(command)?.[1];
  if (server === undefined) {
    throw new Refusal({
      what: "Rancher: its node command is not of a form that this program knows",
      why: "it names no --server",
      next: "compare the command on the cluster's registration tab with operations/clients/rancher.ts",
    });
  }
  // rke1: `docker run … -e "K=V" image`; rke2 and k3s: `K="V" curl …`.
  const variables = docker
    ? command.matchAll(/-e "(\w+)=([^"]*)"/g)
    : (command.split(" curl ")[0] ?? "").matchAll(/(\w+)="([^"]*)"/g);
  const environment = Object.fromEntries([...variables].map(([, key = "", value = ""]) => [key, value]));
  return {
    server,
    token: text(token, "token"),
    caChecksum: /--ca-checksum (\S+)/.exec(command)?.[1],
    agentImage,
    ...(Object.keys(environment).length > 0 && { environment }),
  };
}

/** Rancher's own word for a backup that it can restore (pkg/controllers/management/etcdbackup, IsBackupCompleted). */
function isCompleted(backup: unknown): boolean {
  return items(field(field(backup, "status"), "conditions")).some(
    (condition) => text(condition, "type") === "Completed" && text(condition, "status") === "True",
  );
}

/** Norman's words for the states of a machine, so that callers know one set. */
function machineState(machine: unknown): string {
  const phase = text(field(machine, "status"), "phase");
  if (text(field(machine, "metadata"), "deletionTimestamp") !== "" || phase === "Deleting") return "removing";
  return phase === "Running" ? "active" : phase.toLowerCase() || "registering";
}

function rolesFrom(keys: Readonly<Record<Role, string>>, value: (key: string) => unknown): Role[] {
  return (["controlplane", "etcd", "worker"] as const).filter((role) => value(keys[role]) === true);
}

function isDefault(token: unknown): boolean {
  return text(token, "id").endsWith(":default-token");
}

function withContinue(path: string, token: string): string {
  return `${path}${path.includes("?") ? "&" : "?"}continue=${encodeURIComponent(token)}`;
}

function refusal({ status, reason, body }: HttpAnswer, what: string): Refusal {
  const said = text(body, "message") || text(body, "code") || reason.trim() || "nothing";
  if (status === 401) {
    return new Refusal({
      what: "Rancher does not accept the token, nothing was done",
      why: `it says: ${said}`,
      next: "make an API key in Rancher (Account & API Keys, no scope) and set it: `pulumi config set --secret rancherToken`",
    });
  }
  if (status === 403) {
    return new Refusal({
      what: `Rancher: the token may not do this (${what})`,
      why: `it says: ${said}`,
      next: "make the API key as an owner of the cluster, without a scope, and set it: `pulumi config set --secret rancherToken`",
    });
  }
  return new Refusal({
    what: `Rancher refused ${what}`,
    why: `it says: ${said} (HTTP ${status})`,
    next: "check `rancher.url` and `rancher.clusterId` in the environment file, then run the same command again",
  });
}
