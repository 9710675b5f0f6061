/**
 * Proxmox VE's API (9.1) over the pretend home, on HTTPS with TLS 1.3, for the real provider, our own client and anything else that speaks it.
 *
 * It answers (routes.ts): version; access/permissions; cluster resources and nextid; pools (none); nodes; storage, status, content, a volume and its deletion;
 * query-url-metadata and download-url (content `import`); tasks with status, log and stop; machines: list, create (also `import-from`), config (with and without
 * what is pending), update (what a running machine takes at once, and what waits), pending, resize, cloud-init and its dump, status, start, stop, shutdown,
 * reboot, delete; of the guest agent ping, network-get-interfaces and file-read. Anything else is a 501.
 *
 * Every method asks for the privileges that Proxmox asks for. Status codes and words are Proxmox's (qemu-server, pve-storage, pve-manager of its public
 * repositories). Not modelled: snapshots, HA, replication, firewall, templates, clones, USB and PCI devices, memory hotplug, several kinds of storage.
 *
 * The home stays one truth: a machine's `config` and what the rest of the home says of it are written together.
 */
import type { HomeState } from "../../home/state";
import { Simulator, type SimulatedReply, type SimulatedRequest, type SimulatorOptions } from "../server";
import { authenticate, type Grant } from "./access";
import { ApiError, failure } from "./errors";
import { routes, type Route } from "./routes";
import { Storage } from "./storage";
import { Tasks } from "./tasks";
import type { Durations, Hooks, World } from "./world";

export type { Grant } from "./access";
export type { Durations, Hooks } from "./world";

export interface ProxmoxOptions extends SimulatorOptions, Hooks {
  /** By `user@realm!name=uuid`. Default: any well-formed token, with the home's `proxmox.privileges`. */
  readonly tokens?: Readonly<Record<string, Grant>>;
  /** Milliseconds. Default 0 each: finished at the first look. */
  readonly durations?: Partial<Durations>;
  /** Names of the Proxmox hosts. Default: those that the home names. */
  readonly hosts?: readonly string[];
}

/** The running simulator; `idle` resolves once no task runs any more, `hurry` ends what running tasks wait for now. */
export type SimulatedProxmox = Simulator & { readonly idle: () => Promise<void>; readonly hurry: () => void };

export async function startProxmox(home: HomeState, options: ProxmoxOptions): Promise<SimulatedProxmox> {
  const tasks = new Tasks();
  const named = [...home.proxmox.datastores, ...home.proxmox.vms].map(({ host }) => host);
  const none = { download: 0, import: 0, start: 0, stop: 0, shutdown: 0, delete: 0 };
  const world: World = {
    home,
    tasks,
    storage: new Storage(home),
    hosts: options.hosts ?? [...new Set(named)],
    durations: { ...none, ...options.durations },
    hooks: options,
  };
  const simulator = await Simulator.start((request) => answer(world, request, options.tokens), options);
  return Object.assign(simulator, { idle: () => tasks.idle(), hurry: () => tasks.hurry() });
}

async function answer(
  world: World,
  request: SimulatedRequest,
  tokens: Readonly<Record<string, Grant>> | undefined,
): Promise<SimulatedReply> {
  try {
    const user = authenticate(request.headers.authorization, tokens, world.home);
    const { route, parameters: fromPath } = find(request);
    const { node = "", storage = "", vmid = "", ...rest } = fromPath;
    user.pass(route.check, fromPath);
    if (node !== "" && !world.hosts.includes(node))
      throw failure(
        `hostname lookup '${node}' failed - failed to get address info for: ${node}: Name or service not known`,
      );
    const parameters = { ...parametersOf(request), ...rest };
    const call = { world, user, parameters, node, storage, vmId: Number(vmid) };
    return { body: { data: await route.answer(call) } };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { status, message, errors } = error;
    // Before it knows who asks, Proxmox says everything in the status line.
    if (status === 401) return { status, reason: message };
    return { status, reason: message, body: { data: null, message: `${message}\n`, ...(errors && { errors }) } };
  }
}

/** The raw path is split before anything is decoded: `%2F` belongs to a segment. Empty segments do not count. */
function find({ method, path }: SimulatedRequest): { route: Route; parameters: Record<string, string> } {
  const segments = path
    .replace(/^\/api2\/json(?=\/|$)/, "")
    .split("/")
    .filter(Boolean)
    .map(decodeURIComponent);
  for (const route of routes) {
    const names = route.path.split("/").filter(Boolean);
    if (route.method !== method || names.length !== segments.length) continue;
    const parameters: Record<string, string> = {};
    const fits = names.every((name, index) => {
      const [segment = "", parameter] = [segments[index], /^\{(\w+)\}$/.exec(name)?.[1]];
      if (parameter !== undefined) parameters[parameter] = segment;
      return parameter !== undefined || segment === name;
    });
    if (fits) return { route, parameters };
  }
  throw new ApiError(501, `Method '${method} /${segments.join("/")}' not implemented`);
}

/** Of the query, and of the form that is the body. */
function parametersOf({ method, query, body }: SimulatedRequest): Record<string, string> {
  return Object.fromEntries(method === "GET" || method === "DELETE" ? query : new URLSearchParams(body));
}
