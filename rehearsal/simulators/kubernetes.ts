import type { V1APIResource, V1Status } from "@kubernetes/client-node";
import { ApiRefusal, type Kind, type StoredObject } from "../../operations/clients";
import type { PretendKubernetes } from "../home/kubernetes";
import type { HomeState } from "../home/state";
import type { SimulatedReply, SimulatedRequest } from "./server";

export interface KubernetesOptions {
  /** The bearer token that it accepts. */
  readonly token: string;
  /** What the token may not do: answered with 403. */
  readonly forbids?: (request: SimulatedRequest) => boolean;
}

/** Plural by kind, for each apiVersion; those below `*` are in no namespace. */
const resources: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  v1: {
    ...{ Pod: "pods", Service: "services", Secret: "secrets", ConfigMap: "configmaps" },
    ...{ PersistentVolumeClaim: "persistentvolumeclaims", ServiceAccount: "serviceaccounts" },
    ...{ "*Node": "nodes", "*Namespace": "namespaces", "*PersistentVolume": "persistentvolumes", Event: "events" },
  },
  "apps/v1": {
    ...{ Deployment: "deployments", StatefulSet: "statefulsets" },
    ...{ DaemonSet: "daemonsets", ReplicaSet: "replicasets" },
  },
  "autoscaling/v2": { HorizontalPodAutoscaler: "horizontalpodautoscalers" },
  "batch/v1": { Job: "jobs", CronJob: "cronjobs" },
  "coordination.k8s.io/v1": { Lease: "leases" },
  "discovery.k8s.io/v1": { EndpointSlice: "endpointslices" },
  "policy/v1": { PodDisruptionBudget: "poddisruptionbudgets" },
  "storage.k8s.io/v1": {
    ...{ "*StorageClass": "storageclasses", "*CSIDriver": "csidrivers", "*CSINode": "csinodes" },
    ...{ "*VolumeAttachment": "volumeattachments" },
  },
};

/** The same for kinds that only exist once something has installed them. */
const customResources: typeof resources = {
  "helm.cattle.io/v1": { HelmChart: "helmcharts", HelmChartConfig: "helmchartconfigs" },
  "longhorn.io/v1beta2": { Node: "nodes", Volume: "volumes", Replica: "replicas", Setting: "settings" },
  "metallb.io/v1beta1": {
    ...{ IPAddressPool: "ipaddresspools", L2Advertisement: "l2advertisements" },
    ...{ ServiceL2Status: "servicel2statuses" },
  },
};

const patchTypes: readonly unknown[] = ["application/merge-patch+json", "application/json-patch+json"];

/** A MicroTime as Go parses it: six digits, neither more nor fewer. */
const microTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;
const microTimes: readonly string[] = ["acquireTime", "renewTime"];

/**
 * The Kubernetes API over a pretend home, as far as the program's client speaks it: discovery, version, one kind at a time, the eviction subresource. Anything
 * else is a 404.
 */
export class KubernetesApiSimulator {
  constructor(
    private readonly home: HomeState,
    private readonly kubernetes: PretendKubernetes,
    private readonly options: KubernetesOptions,
  ) {}

  readonly answer = async (request: SimulatedRequest): Promise<SimulatedReply> => {
    try {
      if (request.headers.authorization !== `Bearer ${this.options.token}`)
        throw new ApiRefusal(401, "Unauthorized", "Unauthorized");
      if (this.options.forbids?.(request))
        throw new ApiRefusal(403, "Forbidden", `${request.path} is forbidden: User "operator" cannot do this`);
      if (request.path === "/version") return { body: { gitVersion: await this.kubernetes.version() } };
      const reply = await this.dispatch(request);
      return { ...reply, body: JSON.parse(JSON.stringify(reply.body, times)) as unknown };
    } catch (error) {
      if (!(error instanceof ApiRefusal)) throw error;
      const { status: code, reason, message } = error;
      return { status: code, body: status({ status: "Failure", code, reason, message }) };
    }
  };

  private async dispatch(request: SimulatedRequest): Promise<SimulatedReply> {
    const target = this.target(request.path);
    // As the real one: nothing of it is a Status, because no API of the group is there to make one.
    if (target === undefined) return { status: 404, body: "404 page not found" };
    const { kind, namespace, name, subresource } = target;
    const { method, query } = request;
    if (kind === undefined) {
      if (name !== undefined || method !== "GET") throw unknown();
      return { body: this.discovery(target.apiVersion) };
    }
    if (subresource === "eviction" && kind.kind === "Pod" && method === "POST")
      return this.evict(name ?? "", namespace ?? "");
    if (subresource !== undefined) throw unknown();
    switch (`${method} ${name === undefined ? "all" : "one"}`) {
      case "GET all":
        return { body: await this.list(kind, namespace, query) };
      case "GET one":
        return { body: await this.must(kind, name ?? "", namespace) };
      case "POST all": {
        const object = parse(request, kind);
        object.metadata = { ...object.metadata, ...(namespace !== undefined && { namespace }) };
        return { status: 201, body: await this.kubernetes.create(object, { dryRun: query.get("dryRun") === "All" }) };
      }
      case "PUT one":
        return { body: await this.kubernetes.replace(parse(request, kind)) };
      case "PATCH one": {
        if (!patchTypes.includes(request.headers["content-type"]))
          throw new ApiRefusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format");
        return { body: await this.kubernetes.patch(kind, name ?? "", parse(request, kind), namespace) };
      }
      case "DELETE one": {
        await this.must(kind, name ?? "", namespace);
        const { preconditions } = JSON.parse(request.body || "{}") as { preconditions?: { uid?: string } };
        await this.kubernetes.remove(kind, name ?? "", namespace, preconditions);
        return { body: status({ status: "Success" }) };
      }
      default:
        throw new ApiRefusal(
          405,
          "MethodNotAllowed",
          "the server does not allow this method on the requested resource",
        );
    }
  }

  private async evict(pod: string, namespace: string): Promise<SimulatedReply> {
    await this.must({ apiVersion: "v1", kind: "Pod" }, pod, namespace);
    const answer = await this.kubernetes.evict(pod, namespace);
    if (!answer.evicted) throw new ApiRefusal(429, "TooManyRequests", answer.reason);
    return { status: 201, body: status({ status: "Success" }) };
  }

  private async list(kind: Kind, namespace: string | undefined, query: URLSearchParams): Promise<object> {
    const selector = (query.get("labelSelector") ?? "").split(",").filter((part) => part !== "");
    const unfit = selector.find((part) => !/^[^=!() ]+=[^=!() ]*$/.test(part));
    const field = query.get("fieldSelector");
    const onNode = /^spec\.nodeName=([^=!,]+)$/.exec(field ?? "")?.[1];
    if (unfit !== undefined || (field !== null && (onNode === undefined || kind.kind !== "Pod")))
      throw new ApiRefusal(400, "BadRequest", `the simulator knows no selector but key=value: ${query.toString()}`);
    const labels = Object.fromEntries(selector.map((part) => part.split("=") as [string, string]));
    const found = await this.kubernetes.list(kind, {
      ...(namespace !== undefined && { namespace }),
      ...{ labels, ...(onNode !== undefined && { onNode }) },
    });
    return {
      kind: `${kind.kind}List`,
      apiVersion: kind.apiVersion,
      metadata: { resourceVersion: String(this.home.kubernetes.counter) },
      // What a list of the server's own kinds leaves out.
      items: kind.apiVersion in resources ? found.map((item) => without(item)) : found,
    };
  }

  private async must(kind: Kind, name: string, namespace?: string): Promise<StoredObject> {
    const found = await this.kubernetes.read(kind, name, namespace);
    if (found) return found;
    const plural = { ...resources, ...customResources }[kind.apiVersion];
    const group = kind.apiVersion.includes("/") ? `.${kind.apiVersion.split("/")[0]}` : "";
    const word = plural?.[kind.kind] ?? plural?.[`*${kind.kind}`] ?? kind.kind;
    throw new ApiRefusal(404, "NotFound", `${word}${group} "${name}" not found`);
  }

  private discovery(apiVersion: string): object {
    const list = Object.entries(this.kinds(apiVersion) ?? {}).map(([word, name]): V1APIResource => {
      const kind = word.replace("*", "");
      return { name, kind, singularName: kind.toLowerCase(), namespaced: !word.startsWith("*"), verbs: [] };
    });
    return { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersion, resources: list };
  }

  /** The kinds of a group and version; undefined when the cluster has none of them. */
  private kinds(apiVersion: string): Readonly<Record<string, string>> | undefined {
    const { objects, metallbAnswersAt } = this.home.kubernetes;
    const group = `${apiVersion.split("/")[0]}/`;
    const installed =
      objects.some((object) => object.apiVersion?.startsWith(group)) ||
      (group === "metallb.io/" && metallbAnswersAt !== undefined);
    return resources[apiVersion] ?? (installed ? customResources[apiVersion] : undefined);
  }

  /** What a path means; undefined when no such group and version is served. */
  private target(path: string): Target | undefined {
    const [, api, ...parts] = path.split("/").map(decodeURIComponent);
    const apiVersion = parts.splice(0, api === "api" ? 1 : 2).join("/");
    const kinds = api === "api" || api === "apis" ? this.kinds(apiVersion) : undefined;
    if (kinds === undefined) return undefined;
    if (parts.length === 0) return { apiVersion };
    const namespace = parts[0] === "namespaces" && parts.length > 2 ? parts.splice(0, 2)[1] : undefined;
    const [plural, name, subresource] = parts;
    const word = Object.keys(kinds).find((other) => kinds[other] === plural);
    if (word === undefined || parts.length > 3) throw unknown();
    // No namespace where there are none, and one for every single object where there are.
    if (word.startsWith("*") ? namespace !== undefined : name !== undefined && namespace === undefined) throw unknown();
    return { apiVersion, kind: { apiVersion, kind: word.replace("*", "") }, namespace, name, subresource };
  }
}

interface Target {
  readonly apiVersion: string;
  /** undefined: the group's own discovery document. */
  readonly kind?: Kind;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

function unknown(): ApiRefusal {
  return new ApiRefusal(404, "NotFound", "the server could not find the requested resource");
}

function status(more: Partial<V1Status>): V1Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, ...more };
}

function without({ ...item }: StoredObject): StoredObject {
  delete item.apiVersion;
  delete item.kind;
  return item;
}

/** The object in a request's body, refused where the real server could not read it. */
function parse({ body }: SimulatedRequest, { apiVersion, kind }: Kind): StoredObject {
  return JSON.parse(body, (key, value: unknown) => {
    if (kind === "Lease" && microTimes.includes(key) && typeof value === "string" && !microTime.test(value)) {
      const why = `parsing time "${value}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse`;
      const version = apiVersion.split("/").at(-1);
      throw new ApiRefusal(400, "BadRequest", `Lease in version "${version}" cannot be handled as a Lease: ${why}`);
    }
    return value;
  }) as StoredObject;
}

/** Points in time as Go writes them: whole seconds, and six digits where a field is a MicroTime. */
function times(this: unknown, key: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[key];
  if (!(original instanceof Date)) return value;
  return original.toISOString().replace(/\.(\d{3})Z$/, microTimes.includes(key) ? ".$1000Z" : "Z");
}

/** A kubeconfig with a token for a server whose certificate a private CA signed. */
export function kubeconfigFor(server: string, token: string, ca: string): string {
  const trust = { "certificate-authority-data": Buffer.from(ca).toString("base64") };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "home", cluster: { server, ...trust } }],
    users: [{ name: "operator", user: { token } }],
    contexts: [{ name: "home", context: { cluster: "home", user: "operator" } }],
    "current-context": "home",
  });
}
