import type { V1Pod, V1PodDisruptionBudget } from "@kubernetes/client-node";
import { ApiRefusal, type Clock, type Kind, type KubernetesApi, type StoredObject } from "../../operations/clients";
import { disruptionBudgets, nodes, pods } from "../../operations/kinds";
import type { HomeState } from "./state";

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
    options: { namespace?: string; labels?: Readonly<Record<string, string>> } = {},
  ): Promise<readonly T[]> {
    const matching = this.home.kubernetes.objects.filter(
      (object) =>
        sameKind(object, kind) &&
        (options.namespace === undefined || object.metadata?.namespace === options.namespace) &&
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
    if (!options.dryRun) this.home.kubernetes.objects.push(stored);
    return structuredClone(stored);
  }

  async replace<T extends StoredObject>(object: T): Promise<T> {
    this.admit(object);
    const stored = this.must(object, object.metadata?.name ?? "", object.metadata?.namespace);
    if (stored.metadata?.resourceVersion !== object.metadata?.resourceVersion) {
      throw new ApiRefusal(409, "Conflict", `${object.kind} "${object.metadata?.name}": the object has been modified`);
    }
    return this.write(stored, structuredClone(object)) as T;
  }

  async patch<T extends StoredObject>(kind: Kind<T>, name: string, patch: object, namespace?: string): Promise<T> {
    const stored = this.must(kind, name, namespace);
    return this.write(stored, merge(structuredClone(stored), patch) as StoredObject) as T;
  }

  async remove(kind: Kind, name: string, namespace?: string, options: { uid?: string } = {}): Promise<void> {
    const stored = this.find(kind, name, namespace);
    if (!stored) return;
    if (options.uid !== undefined && stored.metadata?.uid !== options.uid) {
      throw new ApiRefusal(409, "Conflict", `${kind.kind} "${name}": the UID in the precondition does not match`);
    }
    const uid = stored.metadata?.uid;
    const { kubernetes } = this.home;
    kubernetes.objects = kubernetes.objects.filter(
      (object) => object !== stored && !object.metadata?.ownerReferences?.some((owner) => owner.uid === uid),
    );
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
  private admit(object: StoredObject): void {
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

  private write(stored: StoredObject, next: StoredObject): StoredObject {
    const counter = (this.home.kubernetes.counter += 1);
    next.metadata = { ...next.metadata, resourceVersion: String(counter) };
    const { objects } = this.home.kubernetes;
    objects[objects.indexOf(stored)] = next;
    return structuredClone(next);
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

function sameKind(object: StoredObject, kind: StoredObject | Kind): boolean {
  return object.apiVersion === kind.apiVersion && object.kind === kind.kind;
}

function hasLabels(object: StoredObject, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => object.metadata?.labels?.[key] === value);
}

/** RFC 7386: null removes, objects merge, everything else replaces. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
