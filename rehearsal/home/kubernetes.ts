import type { V1Node, V1Pod, V1PodDisruptionBudget } from "@kubernetes/client-node";
import {
  ApiRefusal,
  type Clock,
  type JsonPatch,
  type Kind,
  type KubernetesApi,
  type StoredObject,
} from "../../operations/clients";
import {
  claims,
  daemonSets,
  disruptionBudgets,
  longhornNodes,
  longhornReplicas,
  nodes,
  pods,
  volumeAttachments,
  volumes,
  type LonghornNode,
  type LonghornReplica,
} from "../../operations/kinds";
import { isHeld, settleClaims } from "./claims";
import { moveReplicas } from "./longhorn";
import { endpointSlicesOf } from "./endpoints";
import { applyJsonPatch } from "./json-patch";
import type { HomeState } from "./state";
import { isStatefulSet, reconcileStatefulSet, running } from "./workloads";

/** The pretend cluster's API server: one store for every kind, with the answers that operations rely on. */
export class PretendKubernetes implements KubernetesApi {
  constructor(
    private readonly home: HomeState,
    private readonly clock: Clock,
  ) {}

  async version(): Promise<string> {
    return this.home.kubernetes.version;
  }

  async read<T extends StoredObject>(kind: Kind<T>, name: string, namespace?: string): Promise<T | undefined> {
    const found = this.find(kind, name, namespace);
    return found && (structuredClone(found) as T);
  }

  async list<T extends StoredObject>(
    kind: Kind<T>,
    options: { namespace?: string; labels?: Readonly<Record<string, string>>; onNode?: string } = {},
  ): Promise<readonly T[]> {
    const { objects } = this.home.kubernetes;
    const matching = (kind.kind === "EndpointSlice" ? endpointSlicesOf(objects) : objects).filter(
      (object) =>
        sameKind(object, kind) &&
        (options.namespace === undefined || object.metadata?.namespace === options.namespace) &&
        (options.onNode === undefined || (object as V1Pod).spec?.nodeName === options.onNode) &&
        hasLabels(object, options.labels ?? {}),
    );
    return structuredClone(matching) as T[];
  }

  async create<T extends StoredObject>(object: T, options: { dryRun?: boolean } = {}): Promise<T> {
    this.admit(object);
    const name = object.metadata?.name ?? "";
    const kind = { apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" };
    if (this.find(kind, name, object.metadata?.namespace)) {
      throw new ApiRefusal(409, "AlreadyExists", `${kind.kind} "${name}" already exists`);
    }
    const counter = (this.home.kubernetes.counter += 1);
    const stored = structuredClone(object);
    stored.metadata = {
      ...stored.metadata,
      uid: stored.metadata?.uid ?? `00000000-0000-4000-8000-${String(counter).padStart(12, "0")}`,
      resourceVersion: String(counter),
      creationTimestamp: new Date(this.clock.now()),
    };
    if (options.dryRun) return structuredClone(stored);
    this.home.kubernetes.objects.push(stored);
    this.settle(stored);
    if (sameKind(stored, nodes)) void this.clock.sleep(20_000).then(() => this.firstPods(name));
    return structuredClone(stored);
  }

  /** What a new node gets: its DaemonSets' pods, and as a worker whatever waited for one. */
  private async firstPods(node: string): Promise<void> {
    await this.daemonPods(node);
    const labels = this.find(nodes, node)?.metadata?.labels ?? {};
    if (!("node-role.kubernetes.io/worker" in labels)) return;
    for (const set of await this.list(daemonSets)) {
      const { name, namespace } = set.metadata ?? {};
      const ownerReferences = [
        { apiVersion: "apps/v1", kind: "DaemonSet", name: name ?? "", uid: set.metadata?.uid ?? "" },
      ];
      const metadata = {
        name: `${name}-${node}`,
        namespace,
        labels: set.spec?.template.metadata?.labels,
        ownerReferences,
      };
      if (this.find(pods, metadata.name, namespace)) continue;
      const spec = { containers: [], ...set.spec?.template.spec, nodeName: node };
      await this.create<V1Pod>({ ...pods, metadata, spec, status: running() });
    }
    for (const { metadata, spec, status } of await this.list(pods)) {
      if (spec === undefined || spec.nodeName !== undefined || status?.phase !== "Pending") continue;
      await this.patch(
        pods,
        metadata?.name ?? "",
        { spec: { nodeName: node }, status: running() },
        metadata?.namespace,
      );
    }
  }

  /** A new node gets a pod of every DaemonSet that runs on another one. */
  private async daemonPods(node: string): Promise<void> {
    const templates = (await this.list(pods)).filter((pod) => pod.metadata?.ownerReferences?.[0]?.kind === "DaemonSet");
    const seen = new Set<string>();
    for (const pod of templates) {
      const set = `${pod.metadata?.namespace}/${pod.metadata?.name?.replace(pod.spec?.nodeName ?? "", "")}`;
      if (seen.has(set) || pod.spec?.nodeName === node) continue;
      seen.add(set);
      const name = pod.metadata?.name?.replace(pod.spec?.nodeName ?? "", node) ?? node;
      if (this.find(pods, name, pod.metadata?.namespace)) continue;
      await this.create({
        ...pod,
        metadata: { ...pod.metadata, uid: undefined, name },
        spec: pod.spec && { ...pod.spec, nodeName: node },
      });
    }
  }

  async replace<T extends StoredObject>(object: T): Promise<T> {
    this.admit(object);
    const stored = this.must(object, object.metadata?.name ?? "", object.metadata?.namespace);
    this.sameVersion(stored, object);
    return this.write(stored, structuredClone(object)) as T;
  }

  async patch<T extends StoredObject>(kind: Kind<T>, name: string, patch: object, namespace?: string): Promise<T> {
    this.admit(kind);
    const stored = this.must(kind, name, namespace);
    const next = Array.isArray(patch)
      ? applyJsonPatch(structuredClone(stored), patch as JsonPatch)
      : (merge(structuredClone(stored), patch) as StoredObject);
    // A patch that carries a version is conditional, as a replacement is.
    this.sameVersion(stored, next);
    const written = this.write(stored, next) as T;
    if (sameKind(kind, longhornNodes) && requestsEviction(next) && !requestsEviction(stored))
      void moveReplicas(this, this.clock, name);
    if (sameKind(kind, nodes) && isOutOfService(next) && !isOutOfService(stored))
      void this.clock.sleep(20_000).then(() => this.freed(name));
    return written;
  }

  async podLog(pod: string, namespace: string, lines: number): Promise<string> {
    const log = this.home.kubernetes.logs?.[`${namespace}/${pod}`] ?? "";
    return log
      .split("\n")
      .slice(-lines - 1)
      .join("\n");
  }

  async remove(kind: Kind, name: string, namespace?: string, options: { uid?: string } = {}): Promise<void> {
    const stored = this.find(kind, name, namespace);
    if (!stored) return;
    if (options.uid !== undefined && stored.metadata?.uid !== options.uid) {
      throw new ApiRefusal(409, "Conflict", `${kind.kind} "${name}": the UID in the precondition does not match`);
    }
    if (sameKind(kind, longhornNodes)) this.longhornLetsGo(stored, name);
    const uid = stored.metadata?.uid;
    const { kubernetes } = this.home;
    if (sameKind(kind, claims) && isHeld(kubernetes.objects, stored)) {
      stored.metadata = { ...stored.metadata, deletionTimestamp: new Date(this.clock.now()) };
      return;
    }
    kubernetes.objects = kubernetes.objects.filter(
      (object) => object !== stored && !object.metadata?.ownerReferences?.some((owner) => owner.uid === uid),
    );
    this.settle(stored);
    if (!sameKind(kind, nodes)) return;
    // Nobody runs the pods of a node that is gone: the control plane collects them.
    kubernetes.objects = kubernetes.objects.filter(
      (object) => !(sameKind(object, pods) && (object as V1Pod).spec?.nodeName === name),
    );
  }

  /** What Longhorn's webhook asks of a node that is to be deleted. */
  private longhornLetsGo(stored: StoredObject, name: string): void {
    const replicas = this.home.kubernetes.objects.filter(
      (object) => sameKind(object, longhornReplicas) && (object as LonghornReplica).spec?.nodeID === name,
    ).length;
    const ready = this.find(nodes, name) !== undefined;
    const schedulable = (stored as LonghornNode).spec?.allowScheduling !== false;
    if (!ready && !schedulable && replicas === 0) return;
    throw new ApiRefusal(
      500,
      "InternalError",
      `admission webhook "validator.longhorn.io" denied the request: could not delete node ${name} with node ready condition is ${
        ready ? "True" : "False"
      }, node schedulable ${schedulable}, and ${replicas} replica, 0 engine running on it`,
    );
  }

  /** What the control plane does with a node that is out of service: its pods are deleted without a kubelet, their volumes detached. */
  private async freed(name: string): Promise<void> {
    const here = (await this.list(pods)).filter((pod) => pod.spec?.nodeName === name);
    for (const pod of here) {
      await this.remove(pods, pod.metadata?.name ?? "", pod.metadata?.namespace);
      await this.reschedule(pod);
    }
    for (const attachment of (await this.list(volumeAttachments)).filter(({ spec }) => spec.nodeName === name))
      await this.remove(volumeAttachments, attachment.metadata?.name ?? "");
  }

  async evict(pod: string, namespace: string): Promise<{ evicted: true } | { evicted: false; reason: string }> {
    const found = await this.read(pods, pod, namespace);
    if (!found) return { evicted: true };
    const blocking = (await this.list<V1PodDisruptionBudget>(disruptionBudgets, { namespace })).find(
      (budget) =>
        hasLabels(found, budget.spec?.selector?.matchLabels ?? {}) && (budget.status?.disruptionsAllowed ?? 0) === 0,
    );
    if (blocking) {
      return {
        evicted: false,
        reason: `Cannot evict pod as it would violate the pod's disruption budget. The disruption budget ${blocking.metadata?.name} needs more healthy pods`,
      };
    }
    await this.remove(pods, pod, namespace);
    await this.reschedule(found);
    return { evicted: true };
  }

  /** A controller brings an evicted pod back on the first node that takes it; a bare pod is gone. */
  private async reschedule(pod: V1Pod): Promise<void> {
    const owner = pod.metadata?.ownerReferences?.[0];
    if (!owner || owner.kind === "DaemonSet" || owner.kind === "Node") return;
    const target = (await this.list(nodes)).find(
      (node) =>
        !node.spec?.unschedulable &&
        node.metadata?.name !== pod.spec?.nodeName &&
        node.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    );
    const base = (pod.metadata?.name ?? "").replace(/-r\d+$/, "");
    await this.create<V1Pod>({
      ...pod,
      metadata: { ...pod.metadata, uid: undefined, name: `${base}-r${this.home.kubernetes.counter}` },
      spec: pod.spec && { ...pod.spec, nodeName: target?.metadata?.name },
      status: target ? pod.status : { phase: "Pending" },
    });
  }

  /** MetalLB's webhook: no kind before the release, no answer for a while after it (the race that users report). */
  private admit(object: StoredObject | Kind): void {
    if (!object.apiVersion?.startsWith("metallb.io/")) return;
    const answersAt = this.home.kubernetes.metallbAnswersAt;
    if (answersAt === undefined)
      throw new ApiRefusal(404, "NotFound", `no matches for kind "${object.kind}" in version "${object.apiVersion}"`);
    if (this.clock.now() < answersAt) {
      throw new ApiRefusal(
        500,
        "InternalError",
        `failed calling webhook "${object.kind?.toLowerCase()}validationwebhook.metallb.io": connection refused`,
      );
    }
  }

  private sameVersion(stored: StoredObject, next: StoredObject): void {
    if (stored.metadata?.resourceVersion === next.metadata?.resourceVersion) return;
    throw new ApiRefusal(409, "Conflict", `${stored.kind} "${stored.metadata?.name}": the object has been modified`);
  }

  private write(stored: StoredObject, next: StoredObject): StoredObject {
    const counter = (this.home.kubernetes.counter += 1);
    // Identity and age are the server's: a writer that leaves them out or changes them changes nothing.
    const { uid, creationTimestamp } = stored.metadata ?? {};
    next.metadata = { ...next.metadata, uid, creationTimestamp, resourceVersion: String(counter) };
    const { objects } = this.home.kubernetes;
    objects[objects.indexOf(stored)] = next;
    this.settle(next);
    return structuredClone(next);
  }

  /** What the controllers of a kind do after one of it was written. */
  private settle(object: StoredObject): void {
    if ([claims, volumes, pods].some((kind) => sameKind(object, kind))) settleClaims(this.home);
    const { name = "", namespace = "" } = object.metadata ?? {};
    if (isStatefulSet(object)) void reconcileStatefulSet(this, this.clock, name, namespace);
  }

  private find(kind: StoredObject | Kind, name: string, namespace?: string): StoredObject | undefined {
    return this.home.kubernetes.objects.find(
      (object) =>
        sameKind(object, kind) &&
        object.metadata?.name === name &&
        (object.metadata.namespace ?? "") === (namespace ?? ""),
    );
  }

  private must(kind: StoredObject | Kind, name: string, namespace?: string): StoredObject {
    const found = this.find(kind, name, namespace);
    if (!found) throw new ApiRefusal(404, "NotFound", `${kind.kind} "${name}" not found`);
    return found;
  }
}

function requestsEviction(object: StoredObject): boolean {
  return (object as LonghornNode).spec?.evictionRequested === true;
}

function isOutOfService(object: StoredObject): boolean {
  return (object as V1Node).spec?.taints?.some(({ key }) => key === "node.kubernetes.io/out-of-service") === true;
}

function sameKind(object: StoredObject, kind: StoredObject | Kind): boolean {
  return object.apiVersion === kind.apiVersion && object.kind === kind.kind;
}

function hasLabels(object: StoredObject, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => object.metadata?.labels?.[key] === value);
}

/** RFC 7386: null removes, objects merge, everything else replaces. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    // The client sends JSON, which has no undefined.
    if (value === undefined) continue;
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
