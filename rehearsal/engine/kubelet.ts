import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { V1Container, V1Pod, V1Volume } from "@kubernetes/client-node";
import { ApiRefusal, type KubernetesApi } from "../../operations/clients";
import { kubernetesClient } from "../../operations/clients/kubernetes";
import * as kinds from "../../operations/kinds";
import { isMigration } from "../../operations/volumes/migration-pod";
import { ApiClient } from "../../test/cluster/lab/api-client";
import type { Pair } from "../../test/cluster/lab/certificates";
import { realPods, type ControlPlane } from "../../test/cluster/lab/control-plane";
import { Container, type ContainerEnd, type Mount } from "./container";

/** Where a volume's files are. Throws where it cannot be mounted on that node, with what a kubelet's event would say. */
export type FolderOf = (volume: string, node: string) => string;

export interface KubeletOptions {
  readonly plane: ControlPlane;
  readonly folderOf: FolderOf;
  /** Folder of programs that an image holds, all of the container's PATH; undefined for Debian's own. */
  readonly programsOf?: (image: string) => string | undefined;
  /** Of the server that the API server asks for logs. */
  readonly certificate: Pair;
}

interface Running {
  readonly pod: V1Pod;
  readonly container: Container;
  readonly log: string;
  readonly startedAt: string;
  /** How it ended, and when; undefined while it runs. */
  end?: Ended;
}

interface Ended extends ContainerEnd {
  readonly at: string;
}

/** At which the API server asks every node of the lab for logs, as it asks a real one. */
export const kubeletPort = 10250;

/**
 * Stands in for the kubelets of all nodes, for the pods that kwok leaves alone (`realPods`): runs their one container with the volumes' folders at their paths,
 * reports what became of it, serves its log, and ends it when its pod is deleted. What it does not do: images, probes, restarts, init containers, limits.
 */
export class Kubelet {
  private readonly running = new Map<string, Running>();
  private readonly dead = new Set<string>();
  private readonly told = new Map<string, string>();
  private readonly logs: string;
  private stopped = false;
  private failure: Error | undefined;
  private loop: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: KubeletOptions,
    private readonly api: KubernetesApi,
    private readonly raw: ApiClient,
    private readonly server: Server,
  ) {
    this.logs = options.plane.folderOf("pods");
  }

  static async start(options: KubeletOptions): Promise<Kubelet> {
    const kubeconfig = options.plane.kubeconfigFor("kubelets", ["system:masters"]);
    const { cert, key } = options.certificate;
    const server = createServer({ cert, key });
    const kubelet = new Kubelet(options, kubernetesClient(kubeconfig), new ApiClient(kubeconfig), server);
    server.on("request", ({ url = "" }, response) => {
      const text = kubelet.logOf(new URL(url, "https://kubelet"));
      response.writeHead(text === undefined ? 404 : 200, { "content-type": "text/plain" }).end(text ?? "no such pod");
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(kubeletPort, resolve));
    kubelet.loop = kubelet.rounds().catch((error: unknown) => {
      kubelet.failure = new Error("the kubelets gave up", { cause: error });
    });
    return kubelet;
  }

  /** The node loses its power: its containers end, and nobody says so. */
  async killNode(name: string): Promise<void> {
    this.dead.add(name);
    const there = [...this.running].filter(([, { pod }]) => pod.spec?.nodeName === name);
    for (const [uid] of there) this.running.delete(uid);
    await Promise.all(there.map(([, { container }]) => container.kill()));
  }

  /** The node is on again. Its pods of before are failed, as a kubelet finds them. */
  reviveNode(name: string): void {
    this.dead.delete(name);
  }

  /** Ends what runs. Throws what ended the kubelets before, if anything did. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.loop;
    await Promise.all([...this.running.values()].map(({ container }) => container.kill()));
    this.raw.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    if (this.failure) throw this.failure;
  }

  private async rounds(): Promise<void> {
    while (!this.stopped) {
      try {
        for (const pod of await this.api.list(kinds.pods)) if (isReal(pod)) await this.look(pod);
      } catch (error) {
        // Pods go in the meantime, and the API server may be away; the next round sees what is there then.
        if (!(error instanceof ApiRefusal) && !isAway(error)) throw error;
      }
      await pause(200);
    }
  }

  private async look(pod: V1Pod): Promise<void> {
    const { uid = "", deletionTimestamp } = pod.metadata ?? {};
    const node = pod.spec?.nodeName;
    if (node === undefined || this.dead.has(node)) return;
    const running = this.running.get(uid);
    const phase = pod.status?.phase;
    if (deletionTimestamp !== undefined) {
      if (running) await running.container.kill();
      await this.gone(pod);
      this.running.delete(uid);
    } else if (phase === "Pending") {
      await this.begun(pod, running ?? (await this.begin(pod, node)));
    } else if (phase === "Running") {
      // Without a container: its node was without power since.
      const at = new Date().toISOString();
      const end = running ? running.end : { exitCode: 137, message: "", at };
      if (end) await this.ended(pod, end, running?.startedAt ?? at);
    }
  }

  /** What only a kubelet may do: the object goes once nothing of it runs. */
  private async gone({ metadata }: V1Pod): Promise<void> {
    const { one } = await this.raw.paths({ apiVersion: "v1", kind: "Pod", metadata });
    await this.raw.send("DELETE", one, {
      body: { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: 0, preconditions: { uid: metadata?.uid } },
    });
  }

  /** Undefined where it cannot, of which an event says why. */
  private async begin(pod: V1Pod, node: string): Promise<Running | undefined> {
    const { uid = "", name = "" } = pod.metadata ?? {};
    const [container] = pod.spec?.containers ?? [];
    if (!container) return undefined;
    const folder = mkdtempSync(join(this.logs, `${name}-`));
    let mounts: Mount[];
    try {
      mounts = await this.mountsOf(pod, container, node, folder);
    } catch (error) {
      await this.warn(pod, "FailedMount", error instanceof Error ? error.message : String(error));
      return undefined;
    }
    const log = join(folder, "log");
    const run = Container.start(
      {
        command: [...(container.command ?? []), ...(container.args ?? [])],
        env: Object.fromEntries((container.env ?? []).map(({ name, value = "" }) => [name, value])),
        mounts,
        capabilities: container.securityContext?.capabilities?.add ?? [],
        readOnlyRoot: container.securityContext?.readOnlyRootFilesystem === true,
        programs: this.options.programsOf?.(container.image ?? ""),
      },
      log,
    );
    const entry: Running = { pod, container: run, log, startedAt: new Date().toISOString() };
    this.running.set(uid, entry);
    void run.ended.then((end) => (entry.end = { ...end, at: new Date().toISOString() }));
    return entry;
  }

  private async begun(pod: V1Pod, running: Running | undefined): Promise<void> {
    const [container] = pod.spec?.containers ?? [];
    if (!container || !running) return;
    const { startedAt } = running;
    await this.write(pod, "Running", container, { running: { startedAt } }, startedAt);
  }

  private async ended(pod: V1Pod, end: Ended, startedAt: string): Promise<void> {
    const [container] = pod.spec?.containers ?? [];
    if (!container) return;
    const { exitCode } = end;
    const failed = exitCode !== 0;
    const fallback = container.terminationMessagePolicy === "FallbackToLogsOnError" && failed;
    const message = end.message === "" && fallback ? this.lastOf(pod.metadata?.uid ?? "") : end.message;
    const reason = failed ? "Error" : "Completed";
    const terminated = { exitCode, reason, startedAt, finishedAt: end.at, ...(message !== "" && { message }) };
    await this.write(pod, failed ? "Failed" : "Succeeded", container, { terminated }, startedAt);
  }

  /** A pod that is gone meanwhile is nobody's any more. */
  private async write(pod: V1Pod, phase: string, container: V1Container, state: object, startTime: string) {
    const runs = phase === "Running";
    const status = runs ? "True" : "False";
    const at = new Date().toISOString();
    const conditions = ["Initialized", "Ready", "ContainersReady"].map((type) => ({
      type,
      status: type === "Initialized" ? "True" : status,
      lastTransitionTime: at,
    }));
    const { one } = await this.raw.paths({ apiVersion: "v1", kind: "Pod", metadata: pod.metadata });
    const containerStatuses = [
      {
        name: container.name,
        image: container.image ?? "",
        imageID: "",
        ready: runs,
        started: runs,
        restartCount: 0,
        state,
      },
    ];
    const { status: code, body } = await this.raw.send("PATCH", `${one}/status`, {
      contentType: "application/strategic-merge-patch+json",
      body: { metadata: { uid: pod.metadata?.uid }, status: { phase, startTime, conditions, containerStatuses } },
    });
    if (code >= 300 && code !== 404 && code !== 409) {
      const said = `status of pod ${pod.metadata?.name}: ${code} ${JSON.stringify(body)}`;
      throw code >= 500 ? new ApiRefusal(code, "", said) : new Error(said);
    }
  }

  private async mountsOf(pod: V1Pod, container: V1Container, node: string, folder: string): Promise<Mount[]> {
    const sources = new Map<string, { source: string; readOnly: boolean }>();
    for (const volume of pod.spec?.volumes ?? []) {
      sources.set(volume.name, await this.sourceOf(pod, volume, node, join(folder, volume.name)));
    }
    return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly }) => {
      const volume = sources.get(name);
      if (!volume) throw new Error(`the pod has no volume ${name}`);
      const source = subPath === undefined ? volume.source : join(volume.source, subPath);
      if (subPath !== undefined) mkdirSync(source, { recursive: true });
      return { mountPath, source, readOnly: volume.readOnly || readOnly === true };
    });
  }

  private async sourceOf(
    pod: V1Pod,
    volume: V1Volume,
    node: string,
    own: string,
  ): Promise<{ source: string; readOnly: boolean }> {
    const namespace = pod.metadata?.namespace ?? "";
    const claimed = volume.persistentVolumeClaim;
    if (claimed) {
      const claim = await this.api.read(kinds.claims, claimed.claimName, namespace);
      const bound = claim?.status?.phase === "Bound" ? claim.spec?.volumeName : undefined;
      if (bound === undefined) throw new Error(`claim ${namespace}/${claimed.claimName} is not bound`);
      return { source: this.options.folderOf(bound, node), readOnly: claimed.readOnly === true };
    }
    mkdirSync(own, { recursive: true });
    if (volume.configMap) {
      const map = await this.api.read(kinds.configMaps, volume.configMap.name ?? "", namespace);
      if (!map) throw new Error(`configmap "${volume.configMap.name}" not found`);
      for (const [name, text] of Object.entries(map.data ?? {})) writeFileSync(join(own, name), text);
      return { source: own, readOnly: true };
    }
    if (volume.emptyDir) return { source: own, readOnly: false };
    throw new Error(`volume ${volume.name} is of a kind that is not played here`);
  }

  /** Once for each text: events are for people. */
  private async warn(pod: V1Pod, reason: string, message: string): Promise<void> {
    const { uid = "", name = "", namespace = "" } = pod.metadata ?? {};
    if (this.told.get(uid) === message) return;
    this.told.set(uid, message);
    const at = new Date().toISOString();
    await this.api.create({
      apiVersion: "v1",
      kind: "Event",
      metadata: { generateName: `${name}.`, namespace },
      involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid },
      ...{ type: "Warning", reason, message, source: { component: "kubelet", host: pod.spec?.nodeName } },
      ...{ firstTimestamp: at, lastTimestamp: at, count: 1 },
    });
  }

  /** `/containerLogs/<namespace>/<pod>/<container>?tailLines=N`. */
  private logOf({ pathname, searchParams }: URL): string | undefined {
    const [, what, namespace, name] = pathname.split("/");
    if (what !== "containerLogs") return undefined;
    const found = [...this.running.values()].find(
      ({ pod: { metadata } }) => metadata?.namespace === namespace && metadata?.name === name,
    );
    if (!found) return undefined;
    const text = readFileSync(found.log, "utf8");
    const lines = Number(searchParams.get("tailLines") ?? Infinity);
    return Number.isFinite(lines) ? lastLines(text, lines) : text;
  }

  private lastOf(uid: string): string {
    const found = this.running.get(uid);
    return found ? lastLines(readFileSync(found.log, "utf8"), 80).slice(-2048) : "";
  }
}

function lastLines(text: string, count: number): string {
  return text
    .split(/(?<=\n)/)
    .slice(-count)
    .join("");
}

/** As kwok is told, the other way round. */
function isReal(pod: V1Pod): boolean {
  const [[key, value] = ["", ""]] = Object.entries(realPods);
  return isMigration(pod) || pod.metadata?.annotations?.[key] === value;
}

/** Node's own error of a connection that was refused or broke. */
function isAway(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(ECONN|EPIPE)/.test(String(error.code));
}
