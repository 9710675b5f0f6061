import {
  GuestAgentSilent,
  type Clock,
  type Datastore,
  type ProxmoxApi,
  type VmIdentity,
  type VmSummary,
} from "../clients";
import { waitFor, NotYet } from "../poll";
import { Refusal } from "../refusal";
import { field, fields, items, JsonHttp, text, type HttpAnswer, type HttpRequest } from "./http";

/** Seconds after which a task counts as stuck: deleting large disks on slow storage takes minutes. */
const taskSeconds = 900;

/** The Proxmox VE API behind a token, over verified TLS. */
export function proxmoxClient(
  access: { readonly endpoint: string; readonly token: string; readonly caCertificate?: string | undefined },
  clock: Clock,
): ProxmoxApi {
  const http = new JsonHttp(
    {
      name: "Proxmox",
      base: `${new URL(access.endpoint).origin}/api2/json`,
      authorization: `PVEAPIToken=${access.token}`,
      caCertificate: access.caCertificate,
      caSetting: "proxmox.caCertificate",
      renewal:
        "on the host, as root, `pvecm updatecerts --force && systemctl restart pveproxy` (one from ACME: `pvenode acme cert renew --force`)",
    },
    clock,
  );
  return new RealProxmox(http, clock);
}

/** What Proxmox answered instead of doing it, in its own words. */
export class ProxmoxRefusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ProxmoxRefusal";
  }
}

class RealProxmox implements ProxmoxApi {
  constructor(
    private readonly http: JsonHttp,
    private readonly clock: Clock,
  ) {}

  async listVms(): Promise<readonly VmSummary[]> {
    // Containers come along: their ids are as taken as those of machines.
    return items(await this.call("GET", "/cluster/resources", { query: { type: "vm" } })).map((item) => ({
      vmId: Number(field(item, "vmid")),
      name: text(item, "name"),
      host: text(item, "node"),
      status: statusOf(item),
      tags: tagsOf(item),
    }));
  }

  async vmIdFree(vmId: number): Promise<boolean> {
    try {
      await this.call("GET", "/cluster/nextid", { query: { vmid: String(vmId) } });
      return true;
    } catch (error) {
      if (error instanceof ProxmoxRefusal && error.message.includes("already exists")) return false;
      throw error;
    }
  }

  async readVm(host: string, vmId: number): Promise<VmIdentity | undefined> {
    try {
      // `current`: what the running machine has; without it, values that wait for a restart would be shown instead.
      const config = await this.call("GET", `${machine(host, vmId)}/config`, { query: { current: "1" } });
      const status = await this.call("GET", `${machine(host, vmId)}/status/current`);
      return {
        vmId,
        name: text(config, "name"),
        host,
        status: statusOf(status),
        tags: tagsOf(config),
        macs: macsOf(config),
        protection: Number(field(config, "protection") ?? 0) === 1,
        uuid: (/(?:^|,)uuid=([0-9a-f-]{36})/i.exec(text(config, "smbios1"))?.[1] ?? "").toLowerCase(),
      };
    } catch (error) {
      if (error instanceof ProxmoxRefusal && isAbsent(error)) return undefined;
      throw error;
    }
  }

  async shutdownVm(host: string, vmId: number, timeoutSeconds: number): Promise<boolean> {
    if (await this.isStopped(host, vmId)) return true;
    try {
      const task = await this.call("POST", `${machine(host, vmId)}/status/shutdown`, {
        form: { timeout: String(timeoutSeconds) },
      });
      await this.finished(task, timeoutSeconds + 60);
    } catch (error) {
      // "got timeout" (it ignored ACPI) and "not running" (it went off meanwhile) look alike here; the machine itself knows.
      if (!(error instanceof ProxmoxRefusal)) throw error;
    }
    return this.isStopped(host, vmId);
  }

  async stopVm(host: string, vmId: number): Promise<void> {
    await this.finished(await this.call("POST", `${machine(host, vmId)}/status/stop`, { form: {} }), taskSeconds);
  }

  async deleteVm(host: string, vmId: number): Promise<void> {
    // Unreferenced disks stay: they may belong to anything that ever had this id.
    const query = { purge: "1", "destroy-unreferenced-disks": "0" };
    await this.finished(await this.call("DELETE", machine(host, vmId), { query }), taskSeconds);
  }

  async keepOff(host: string, vmId: number): Promise<void> {
    const path = `${machine(host, vmId)}/config`;
    await this.call("PUT", path, { form: { onboot: "0" } });
    if (Number(field(await this.call("GET", path), "onboot") ?? 0) !== 0)
      throw new ProxmoxRefusal(500, `machine ${vmId} still starts with its host`);
  }

  async startVm(host: string, vmId: number): Promise<void> {
    if (!(await this.isStopped(host, vmId))) return;
    await this.finished(await this.call("POST", `${machine(host, vmId)}/status/start`, { form: {} }), taskSeconds);
  }

  async pendingSettings(host: string, vmId: number): Promise<readonly string[]> {
    return items(await this.call("GET", `${machine(host, vmId)}/pending`))
      .filter((item) => field(item, "pending") !== undefined || field(item, "delete") !== undefined)
      .map((item) => text(item, "key"))
      .sort();
  }

  async cloudInitInstance(host: string, vmId: number): Promise<string> {
    const meta = await this.call("GET", `${machine(host, vmId)}/cloudinit/dump`, { query: { type: "meta" } });
    return /^instance-id:\s*(\S+)/m.exec(String(meta))?.[1] ?? "";
  }

  async readDatastore(host: string, datastore: string): Promise<Datastore | undefined> {
    let status: unknown;
    try {
      const path = `/nodes/${encodeURIComponent(host)}/storage/${encodeURIComponent(datastore)}/status`;
      status = await this.call("GET", path);
    } catch (error) {
      if (
        error instanceof ProxmoxRefusal &&
        /storage '[^']*' (does not exist|is not available)|No such storage/.test(error.message)
      )
        return undefined;
      throw error;
    }
    return {
      content: text(status, "content").split(",").filter(Boolean),
      active: Number(field(status, "active") ?? 0) === 1 && Number(field(status, "enabled") ?? 1) === 1,
      available: Number(field(status, "avail") ?? 0),
      thin: !thick.has(text(status, "type")),
    };
  }

  async privileges(): Promise<Readonly<Record<string, readonly string[]>>> {
    const paths = fields(await this.call("GET", "/access/permissions"));
    return Object.fromEntries(paths.map(([path, held]) => [path, fields(held).map(([privilege]) => privilege)]));
  }

  async readGuestFile(host: string, vmId: number, path: string): Promise<string> {
    let answer: unknown;
    try {
      answer = await this.call("GET", `${machine(host, vmId)}/agent/file-read`, { query: { file: path } });
    } catch (error) {
      if (error instanceof ProxmoxRefusal && isSilentAgent(error)) throw new GuestAgentSilent(error.message);
      throw error;
    }
    if (Number(field(answer, "truncated") ?? 0) === 1)
      throw new Error(`${path} in machine ${vmId} is too long to read`);
    return text(answer, "content");
  }

  private async isStopped(host: string, vmId: number): Promise<boolean> {
    return statusOf(await this.call("GET", `${machine(host, vmId)}/status/current`)) === "stopped";
  }

  /** Waits for a task, wherever in the cluster it runs. Throws ProxmoxRefusal with the task's own last word. */
  private async finished(task: unknown, seconds: number): Promise<void> {
    const upid = String(task);
    const host = upid.split(":")[1] ?? "";
    const exit = await waitFor(
      this.clock,
      {
        what: `Proxmox task ${upid}`,
        timeoutSeconds: seconds,
        everySeconds: 1,
        next: `see what it waits for: \`pvesh get /nodes/${host}/tasks/${upid}/log\` on ${host}`,
      },
      async () => {
        const status = await this.call("GET", `/nodes/${host}/tasks/${encodeURIComponent(upid)}/status`);
        if (text(status, "status") !== "stopped") throw new NotYet("the task still runs");
        return text(status, "exitstatus");
      },
    );
    if (exit !== "OK" && !exit.startsWith("WARNINGS")) throw new ProxmoxRefusal(500, exit);
  }

  private async call(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    content: HttpRequest = {},
  ): Promise<unknown> {
    const answer = await this.http.send(method, path, content);
    if (answer.status < 300) return field(answer.body, "data");
    const said = messageOf(answer);
    if (answer.status === 401) {
      throw new Refusal({
        what: "Proxmox does not accept the token, nothing was done",
        why: `it says: ${said}`,
        next: "set it as `user@realm!name=uuid`: `pulumi config set --secret proxmoxToken` (which exist: `pveum user token list <user@realm>`)",
      });
    }
    if (answer.status === 403) {
      throw new Refusal({
        what: "the Proxmox token lacks a privilege, nothing was done",
        why: `it says: ${said}`,
        next: "give the token the privileges of the README: `pveum acl modify / --tokens '<user@realm!name>' --roles <role>`",
      });
    }
    throw new ProxmoxRefusal(answer.status, said);
  }
}

/** Storage types whose volumes take their whole size at once. */
const thick = new Set(["lvm", "iscsi", "iscsidirect"]);

function machine(host: string, vmId: number): string {
  return `/nodes/${encodeURIComponent(host)}/qemu/${vmId}`;
}

/** Proxmox 8 and later put the message into the body, older ones only into the reason phrase; which parameter was wrong stands in `errors`. */
function messageOf({ status, reason, body }: HttpAnswer): string {
  const errors = fields(field(body, "errors")).map(([, value]) => String(value));
  const said = [text(body, "message").trim() || reason, ...errors].map((part) => part.trim()).filter(Boolean);
  return said.join("; ") || `HTTP ${status}`;
}

/** Proxmox answers 500 where others answer 404. Only about the machine's own configuration: a missing storage is another matter. */
function isAbsent(error: ProxmoxRefusal): boolean {
  return error.status === 404 || /^Configuration file '[^']*' does not exist/.test(error.message);
}

function isSilentAgent({ message }: ProxmoxRefusal): boolean {
  return /guest agent is not running|no qemu guest agent configured|VM \d+ (is )?not running|got timeout/i.test(
    message,
  );
}

function statusOf(item: unknown): "running" | "stopped" {
  // Paused, suspended, unknown (its host is away): none of them may pass for off.
  return text(item, "status") === "stopped" ? "stopped" : "running";
}

function tagsOf(item: unknown): string[] {
  return text(item, "tags")
    .split(/[;, ]+/)
    .filter(Boolean);
}

/** `net0: virtio=BC:24:11:00:10:21,bridge=vmbr0,tag=40`, in card order. */
function macsOf(config: unknown): string[] {
  return fields(config)
    .flatMap(([key, value]) => {
      const index = /^net(\d+)$/.exec(key)?.[1];
      const mac = /(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/i.exec(String(value))?.[0];
      return index === undefined || mac === undefined ? [] : [{ index: Number(index), mac: mac.toUpperCase() }];
    })
    .sort((a, b) => a.index - b.index)
    .map(({ mac }) => mac);
}
