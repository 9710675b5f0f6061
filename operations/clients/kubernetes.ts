import { Agent } from "node:https";
import {
  HttpMethod,
  KubeConfig,
  KubernetesObjectApi,
  PatchStrategy,
  type RequestContext,
  type ResponseContext,
  type V1APIResource,
} from "@kubernetes/client-node";
import { ApiRefusal, type Kind, type KubernetesApi, type StoredObject } from "../clients";
import { Refusal } from "../refusal";

/** Who the API server records as the writer of a field. */
const fieldManager = "home-cluster";

/** Milliseconds after which a request counts as unanswered: a connection that a firewall swallowed would otherwise hold an `up` for ever. */
const requestTimeout = 30_000;

/**
 * The cluster behind a kubeconfig, given as its text. The text alone decides: a kubeconfig that points to files, runs a command or asks another
 * service for a token is refused, because what it means would depend on the machine.
 */
export function kubernetesClient(kubeconfig: string): KubernetesApi {
  return new RealKubernetes(parseKubeconfig(kubeconfig).makeApiClient(JsonApi));
}

/** The URL of the API server that the kubeconfig leads to. */
export function serverOf(kubeconfig: string): string {
  return parseKubeconfig(kubeconfig).getCurrentCluster()?.server ?? "";
}

class RealKubernetes implements KubernetesApi {
  constructor(private readonly api: JsonApi) {}

  async version(): Promise<string> {
    return this.api.serverVersion();
  }

  async read<T extends StoredObject>(kind: Kind<T>, name: string, namespace?: string): Promise<T | undefined> {
    const path = await this.api.path(kind, { name, namespace });
    return path === undefined ? undefined : absentAsUndefined(this.api.send<T>(HttpMethod.GET, path));
  }

  async list<T extends StoredObject>(
    kind: Kind<T>,
    options: {
      readonly namespace?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly onNode?: string;
    } = {},
  ): Promise<readonly T[]> {
    const path = await this.api.path(kind, { namespace: options.namespace, all: true });
    if (path === undefined) return [];
    const labelSelector = Object.entries(options.labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(",");
    const query = {
      ...(labelSelector !== "" && { labelSelector }),
      ...(options.onNode !== undefined && { fieldSelector: `spec.nodeName=${options.onNode}` }),
    };
    const { items = [] } = await this.api.send<{ items?: T[] }>(HttpMethod.GET, path, {
      ...(Object.keys(query).length > 0 && { query }),
    });
    // The server leaves both out of the items of a list of its own kinds; what is written back needs them.
    return items.map((item) => ({ ...item, apiVersion: kind.apiVersion, kind: kind.kind }));
  }

  async create<T extends StoredObject>(object: T, options: { readonly dryRun?: boolean } = {}): Promise<T> {
    const path = await this.known(object, { namespace: object.metadata?.namespace, all: true });
    const query = { fieldManager, ...(options.dryRun && { dryRun: "All" }) };
    return this.api.send<T>(HttpMethod.POST, path, { query, body: object });
  }

  async replace<T extends StoredObject>(object: T): Promise<T> {
    if (object.metadata?.resourceVersion === undefined) {
      throw new Error(`${nameOf(object)}: replace without resourceVersion would overwrite what others wrote`);
    }
    const { name, namespace } = object.metadata;
    const path = await this.known(object, { name, namespace });
    return this.api.send<T>(HttpMethod.PUT, path, { query: { fieldManager }, body: object });
  }

  async patch<T extends StoredObject>(kind: Kind<T>, name: string, patch: object, namespace?: string): Promise<T> {
    const path = await this.known(kind, { name, namespace });
    return this.api.send<T>(HttpMethod.PATCH, path, {
      query: { fieldManager },
      body: patch,
      contentType: Array.isArray(patch) ? PatchStrategy.JsonPatch : PatchStrategy.MergePatch,
    });
  }

  async remove(kind: Kind, name: string, namespace?: string, options: { readonly uid?: string } = {}): Promise<void> {
    const path = await this.api.path(kind, { name, namespace });
    if (path === undefined) return;
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      propagationPolicy: "Foreground",
      ...(options.uid !== undefined && { preconditions: { uid: options.uid } }),
    };
    await absentAsUndefined(this.api.send(HttpMethod.DELETE, path, { body }));
  }

  async evict(
    pod: string,
    namespace: string,
  ): Promise<{ readonly evicted: true } | { readonly evicted: false; readonly reason: string }> {
    const path = await this.known({ apiVersion: "v1", kind: "Pod" }, { name: pod, namespace });
    const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: pod, namespace } };
    try {
      await absentAsUndefined(this.api.send(HttpMethod.POST, `${path}/eviction`, { body }));
      return { evicted: true };
    } catch (error) {
      // 429 is how the eviction API says "not now": a disruption budget has no room, or the server itself is busy.
      if (error instanceof ApiRefusal && error.status === 429) return { evicted: false, reason: error.message };
      throw error;
    }
  }

  async podLog(pod: string, namespace: string, lines: number): Promise<string> {
    const path = await this.known({ apiVersion: "v1", kind: "Pod" }, { name: pod, namespace });
    try {
      return await this.api.text(`${path}/log`, { tailLines: String(lines) });
    } catch (error) {
      // 400 is how the kubelet's side says "waiting to start", 404 that pod or container is gone.
      if (error instanceof ApiRefusal && (error.status === 400 || error.status === 404)) return "";
      throw error;
    }
  }

  /** The path of a kind that has to be there. */
  private async known(kind: StoredObject | Kind, target: Target): Promise<string> {
    const path = await this.api.path(kind, target);
    if (path !== undefined) return path;
    throw new ApiRefusal(404, "NotFound", `no matches for kind "${kind.kind}" in version "${kind.apiVersion}"`);
  }
}

interface Target {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  /** The collection and not one object. */
  readonly all?: boolean;
}

/**
 * The library's authentication, TLS and discovery, without its models: those drop every field that their release does not know, so that an object
 * read and written back would lose what a newer server added; and they look models up by version and kind alone, so that a custom resource
 * `…/v1, Service` would be cut to the core one.
 */
class JsonApi extends KubernetesObjectApi {
  /** Path of an object or a collection; undefined when the cluster has no such kind. */
  async path(kind: StoredObject | Kind, target: Target): Promise<string | undefined> {
    const { apiVersion = "", kind: word = "" } = kind;
    const found = await this.discover(apiVersion, word);
    if (!found) return undefined;
    const parts = [this.apiVersionPath(apiVersion)];
    if (found.namespaced && target.namespace !== undefined) parts.push("namespaces", encode(target.namespace));
    if (found.namespaced && target.namespace === undefined && target.name !== undefined) {
      throw new Error(`${word} ${target.name}: no namespace given, and a kubeconfig's own is no answer`);
    }
    parts.push(found.name);
    if (!target.all) parts.push(encode(target.name ?? ""));
    return parts.join("/");
  }

  async serverVersion(): Promise<string> {
    const { gitVersion } = await this.send<{ gitVersion?: unknown }>(HttpMethod.GET, "/version");
    if (typeof gitVersion === "string") return gitVersion;
    throw new ApiRefusal(200, "NotKubernetes", `${this.host()}: /version holds no gitVersion`);
  }

  async send<T>(
    method: HttpMethod,
    path: string,
    more: {
      readonly query?: Readonly<Record<string, string>>;
      readonly body?: object;
      readonly contentType?: string;
    } = {},
  ): Promise<T> {
    const request = this.configuration.baseServer.makeRequestContext(path, method);
    request.setHeaderParam("Accept", "application/json");
    for (const [key, value] of Object.entries(more.query ?? {})) request.setQueryParam(key, value);
    if (more.body) {
      request.setHeaderParam("Content-Type", more.contentType ?? "application/json");
      request.setBody(JSON.stringify(more.body, microseconds));
    }
    return this.requestPromise(request);
  }

  /** An answer that is no JSON. */
  async text(path: string, query: Readonly<Record<string, string>>): Promise<string> {
    const request = this.configuration.baseServer.makeRequestContext(path, HttpMethod.GET);
    for (const [key, value] of Object.entries(query)) request.setQueryParam(key, value);
    return this.exchange(request);
  }

  protected override async requestPromise<T>(request: RequestContext): Promise<T> {
    return parseJson(this.host(), await this.exchange(request)) as T;
  }

  /** The one place where a request leaves, discovery included. */
  private async exchange(request: RequestContext): Promise<string> {
    await this.configuration.authMethods.default?.applySecurityAuthentication(request);
    const agent = request.getAgent();
    // Otherwise Node asks the environment (NODE_TLS_REJECT_UNAUTHORIZED) whether certificates count.
    if (agent instanceof Agent) agent.options.rejectUnauthorized ??= true;
    request.setSignal(AbortSignal.timeout(requestTimeout));
    let response: ResponseContext;
    let text: string;
    try {
      response = await this.configuration.httpApi.send(request).toPromise();
      text = await response.body.text();
    } catch (error) {
      // The library's message carries the whole URL, and a kubeconfig's server may hold credentials.
      throw new ApiRefusal(0, "Unreachable", `${this.host()}: the Kubernetes API did not answer (${codeOf(error)})`);
    }
    if (response.httpStatusCode < 200 || response.httpStatusCode > 299) {
      throw refusalOf(this.host(), response.httpStatusCode, text);
    }
    return text;
  }

  private async discover(apiVersion: string, kind: string): Promise<V1APIResource | undefined> {
    try {
      return await this.resource(apiVersion, kind);
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.status !== 404) throw error;
      // An unknown group is a bare "404 page not found", which any proxy in front may say too (Rancher's, for a cluster it does not know). Only
      // where a Kubernetes API answers does it mean that there is no such kind: "no volumes left" must never come from a wrong address.
      await this.serverVersion();
      return undefined;
    }
  }

  /** `host:port` of the server, never the whole URL. */
  private host(): string {
    return new URL(this.configuration.baseServer.makeRequestContext("/", HttpMethod.GET).getUrl()).host;
  }
}

/** undefined for an object that is not there, as Kubernetes itself says it; a 404 of something in between is thrown. */
async function absentAsUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiRefusal && error.status === 404 && error.reason === "NotFound") return undefined;
    throw error;
  }
}

/** What the server refused, in its own words where it sent a Status; of anything else at most its `message` (Rancher's), never a header. */
function refusalOf(host: string, status: number, text: string): ApiRefusal {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  if (isRecord(body) && body.kind === "Status") {
    const reason = typeof body.reason === "string" ? body.reason : "Unknown";
    return new ApiRefusal(status, reason, typeof body.message === "string" ? body.message : reason);
  }
  const said = isRecord(body) && typeof body.message === "string" ? `: ${body.message.slice(0, 200)}` : "";
  return new ApiRefusal(status, "NotKubernetes", `${host}: HTTP ${status}, not from a Kubernetes API${said}`);
}

function parseJson(host: string, text: string): unknown {
  try {
    return withDates(JSON.parse(text));
  } catch {
    // Not the parser's message: it quotes the text, which may be a Secret.
    throw new ApiRefusal(200, "NotKubernetes", `${host}: the answer is not JSON`);
  }
}

const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
/** Maps whose keys are the user's: nothing in them is a point in time, however it is called. */
const maps = new Set(["data", "stringData", "binaryData", "annotations", "labels", "managedFields"]);

/** Points in time as Dates, as the library's types say. Kubernetes names such fields `…Time` and `…Timestamp` (API conventions, "Units"). */
function withDates(value: unknown, key = ""): unknown {
  if (typeof value === "string")
    return /(Time|Timestamp)$/.test(key) && timestamp.test(value) ? new Date(value) : value;
  if (Array.isArray(value)) return value.map((item) => withDates(item));
  if (!isRecord(value) || maps.has(key)) return value;
  return Object.fromEntries(Object.entries(value).map(([child, inner]) => [child, withDates(inner, child)]));
}

/** Dates with six decimals: a MicroTime (a Lease's renewTime) is refused with three, and a Time takes any number (Go's time.Parse). */
function microseconds(this: unknown, key: string, value: unknown): unknown {
  const original = isRecord(this) ? this[key] : undefined;
  return original instanceof Date ? new Date(original.getTime()).toISOString().replace("Z", "000Z") : value;
}

function parseKubeconfig(text: string): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
  } catch {
    // The YAML parser's message quotes the line, and the line may be a token.
    throw unusable("it is not the YAML of a kubeconfig");
  }
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster || !user) throw unusable("its current-context names no cluster and user of it");
  if (!URL.canParse(cluster.server)) throw unusable("its cluster's server is no URL");
  if (cluster.caFile || user.certFile || user.keyFile)
    throw unusable("it points to files on the machine that wrote it");
  if (user.exec || user.authProvider) throw unusable("its user runs a command or asks a provider for credentials");
  return config;
}

function unusable(why: string): Refusal {
  return new Refusal({
    what: "the kubeconfig cannot be used",
    why,
    next: "download one from Rancher, or flatten yours (`kubectl config view --minify --flatten`), and `pulumi config set --secret kubeconfig`",
  });
}

function codeOf(error: unknown): string {
  if (!isRecord(error)) return "unknown error";
  if (error.name === "AbortError") return `no answer within ${requestTimeout / 1000} s`;
  return typeof error.code === "string" ? error.code : "connection failed";
}

function nameOf(object: StoredObject): string {
  return `${object.kind} ${object.metadata?.namespace ?? ""}/${object.metadata?.name ?? ""}`;
}

function encode(part: string): string {
  return encodeURIComponent(part);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
