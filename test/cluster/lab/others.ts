import { createServer, type Server } from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import type {
  V1ConfigMap,
  V1CSINode,
  V1DaemonSet,
  V1Deployment,
  V1PersistentVolume,
  V1Pod,
  V1Service,
} from "@kubernetes/client-node";
import type { Environment } from "../../../environment/schema";
import { ApiRefusal, type Kind, type KubernetesApi, type StoredObject } from "../../../operations/clients";
import { kubernetesClient } from "../../../operations/clients/kubernetes";
import * as kinds from "../../../operations/kinds";
import {
  addressAnnotation,
  helmChartConfigs,
  helmCharts,
  isOurs,
  poolAnnotation,
} from "../../../operations/load-balancer/names";
import { chartService } from "../../../rehearsal/models/kubernetes";
import { ApiClient } from "./api-client";
import type { Pair } from "./certificates";
import type { ControlPlane } from "./control-plane";
import { createOnce } from "./crds";
import { classMap, webhookName } from "./made-up-charts";
import { isReady, readiness } from "./nodes";

/** Seconds that others take. */
export interface Pace {
  /** From a pod of MetalLB or Longhorn to its readiness: images are pulled. */
  readonly pods: number;
  /** From MetalLB's ready controller to its listening webhook. */
  readonly webhook: number;
  /** From Longhorn's ready managers to its class, its driver on the nodes, and its disks. */
  readonly disks: number;
  /** From a HelmChartConfig to the Service that its chart makes of it. */
  readonly chart: number;
  /** From a Service to its address. */
  readonly address: number;
}

export const atOnce: Pace = { pods: 0, webhook: 0, disks: 0, chart: 0, address: 0 };

export interface OthersOptions {
  readonly file: Environment;
  /** MetalLB's webhook: where it listens once it does, and as whom. */
  readonly webhook: { readonly port: number } & Pair;
  /** Default: at once. */
  readonly pace?: Pace;
  /** Something that must have happened before the webhook listens. Default nothing. */
  readonly listens?: () => boolean;
}

/**
 * Stands in for Longhorn's manager, driver and uninstaller, MetalLB's controller and webhook, and the distribution's helm-controller, as far as the program waits
 * for them. It looks at the cluster again and again, and does what each of them would. It shows nothing about any of them.
 */
export class Others {
  private stopped = false;
  private failure: Error | undefined;
  private webhook: Server | undefined;
  private readonly api: KubernetesApi;
  private readonly raw: ApiClient;
  private readonly since = new Map<string, number>();
  private readonly loop: Promise<void>;
  private readonly pace: Pace;

  private constructor(
    plane: ControlPlane,
    private readonly options: OthersOptions,
  ) {
    const kubeconfig = plane.kubeconfigFor("others", ["system:masters"]);
    this.api = kubernetesClient(kubeconfig);
    this.raw = new ApiClient(kubeconfig);
    this.pace = options.pace ?? atOnce;
    this.loop = this.rounds().catch((error: unknown) => {
      this.failure = new Error("the stand-in for others gave up", { cause: error });
    });
  }

  static start(plane: ControlPlane, options: OthersOptions): Others {
    return new Others(plane, options);
  }

  /** Throws what ended it before, if anything did. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.loop;
    await this.deaf();
    this.raw.close();
    if (this.failure) throw this.failure;
  }

  private async rounds(): Promise<void> {
    const parts = [() => this.pods(), () => this.longhorn(), () => this.metallb(), () => this.charts()];
    while (!this.stopped) {
      for (const part of parts) {
        try {
          await part();
        } catch (error) {
          // Things come and go in the meantime, kinds with their charts among them; the next round sees what is there then.
          if (!(error instanceof ApiRefusal)) throw error;
        }
      }
      await pause(100);
    }
  }

  /** Whether so many seconds have passed since this was first asked. `forget` begins anew. */
  private due(what: string, seconds: number): boolean {
    const first = this.since.get(what) ?? performance.now();
    this.since.set(what, first);
    return performance.now() - first >= seconds * 1000;
  }

  private forget(what: string): void {
    this.since.delete(what);
  }

  private async pods(): Promise<void> {
    for (const namespace of [kinds.longhornNamespace, metallbNamespace]) {
      for (const pod of await this.api.list<V1Pod>(kinds.pods, { namespace })) {
        const { name = "", uid = "", deletionTimestamp } = pod.metadata ?? {};
        if (isReady(pod) || deletionTimestamp !== undefined || pod.status?.phase !== "Running") continue;
        if (this.due(uid, this.pace.pods))
          await this.api.patch(kinds.pods, name, { metadata: { annotations: readiness(true) } }, namespace);
      }
    }
  }

  private async longhorn(): Promise<void> {
    const map = await this.api.read<V1ConfigMap>(kinds.configMaps, classMap, kinds.longhornNamespace);
    if (!map) {
      this.forget("longhorn");
      return this.withoutLonghorn();
    }
    const managers = await this.api.read(daemonSets, "longhorn-manager", kinds.longhornNamespace);
    const { numberReady = 0, desiredNumberScheduled = 0 } = managers?.status ?? {};
    if (numberReady === 0 || numberReady < desiredNumberScheduled || !this.due("longhorn", this.pace.disks)) return;
    await this.setting(await this.api.read<V1ConfigMap>(kinds.configMaps, "values", kinds.longhornNamespace));
    for (const { name } of this.options.file.nodes) {
      const csi = await this.api.read<V1CSINode>(kinds.csiNodes, name);
      if (csi && driversOf(csi).length === 0)
        await this.api.patch(kinds.csiNodes, name, { spec: { drivers: [driverOn(name)] } });
      if (!(await this.api.read(kinds.longhornNodes, name, kinds.longhornNamespace)))
        await this.withStatus(longhornNode(name), longhornNodeStatus);
    }
    if (!(await this.api.read(kinds.csiDrivers, kinds.longhornDriver))) await createOnce(this.api, csiDriver);
    // Last: what the program waits for first is there when all is.
    if (!(await this.api.read(kinds.storageClasses, kinds.longhornClass)))
      await createOnce(this.api, longhornClass(map));
    for (const volume of await this.api.list<V1PersistentVolume>(kinds.volumes)) await this.holds(volume);
  }

  /** As the chart's values say, at every upgrade. */
  private async setting(values: V1ConfigMap | undefined): Promise<void> {
    const { defaultSettings } = JSON.parse(values?.data?.values ?? "{}") as {
      defaultSettings?: { deletingConfirmationFlag?: boolean };
    };
    const value = String(defaultSettings?.deletingConfirmationFlag);
    const metadata = { name: "deleting-confirmation-flag", namespace: kinds.longhornNamespace };
    const found = await this.api.read(kinds.longhornSettings, metadata.name, metadata.namespace);
    if (!found) await this.api.create({ ...kinds.longhornSettings, metadata, value });
    else if (found.value !== value)
      await this.api.patch(kinds.longhornSettings, metadata.name, { value }, metadata.namespace);
  }

  /** Longhorn's own object of a volume, which outlives the claim. */
  private async holds({ metadata, spec }: V1PersistentVolume): Promise<void> {
    const { name = "" } = metadata ?? {};
    if (spec?.csi?.driver !== kinds.longhornDriver || metadata?.deletionTimestamp !== undefined) return;
    if (await this.api.read(kinds.longhornVolumes, name, kinds.longhornNamespace)) return;
    const { namespace, name: pvcName } = spec.claimRef ?? {};
    const volume = { ...kinds.longhornVolumes, metadata: { name, namespace: kinds.longhornNamespace }, spec: {} };
    await this.withStatus(volume, { kubernetesStatus: { namespace, pvcName } });
  }

  /** What the uninstaller takes along. */
  private async withoutLonghorn(): Promise<void> {
    const found = await this.api.read(kinds.storageClasses, kinds.longhornClass);
    if (found) await this.api.remove(kinds.storageClasses, kinds.longhornClass);
    if (await this.api.read(kinds.csiDrivers, kinds.longhornDriver))
      await this.api.remove(kinds.csiDrivers, kinds.longhornDriver);
    for (const node of await this.api.list<V1CSINode>(kinds.csiNodes))
      if (driversOf(node).length > 0)
        await this.api.patch(kinds.csiNodes, node.metadata?.name ?? "", { spec: { drivers: [] } });
  }

  private async metallb(): Promise<void> {
    const configured = (await this.api.list(webhooks)).some(({ metadata }) => metadata?.name === webhookName);
    if (!configured) {
      this.forget("webhook");
      return this.deaf();
    }
    const controller = await this.api.read(deployments, "metallb-controller", metallbNamespace);
    if ((controller?.status?.readyReplicas ?? 0) === 0) return;
    if (!this.webhook && this.due("webhook", this.pace.webhook) && (this.options.listens?.() ?? true))
      await this.listen();
    for (const service of await this.api.list<V1Service>(kinds.services)) await this.address(service);
  }

  /** Admits whatever it is asked about. */
  private async listen(): Promise<void> {
    const { port, cert, key } = this.options.webhook;
    const server = createServer({ cert, key }, (request, response) => {
      let text = "";
      request.setEncoding("utf8").on("data", (part: string) => (text += part));
      request.once("end", () => {
        const review = JSON.parse(text) as { apiVersion: string; kind: string; request: { uid: string } };
        const answer = { uid: review.request.uid, allowed: true };
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: review.kind, response: answer }));
      });
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
    this.webhook = server;
  }

  private async deaf(): Promise<void> {
    const server = this.webhook;
    if (!server) return;
    this.webhook = undefined;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  /** The one that a Service asks for, out of a pool that exists. */
  private async address(service: V1Service): Promise<void> {
    const { name = "", namespace = "", uid = "", annotations = {} } = service.metadata ?? {};
    const { [addressAnnotation]: ip, [poolAnnotation]: pool = "" } = annotations;
    if (service.spec?.type !== "LoadBalancer" || ip === undefined) return this.forget(`address ${uid}`);
    if (service.status?.loadBalancer?.ingress?.some((one) => one.ip === ip)) return;
    if (!(await this.api.read(pools, pool, metallbNamespace)) || !this.due(`address ${uid}`, this.pace.address)) return;
    const note = { metadata: { annotations: { "metallb.io/ip-allocated-from-pool": pool } } };
    await this.api.patch(kinds.services, name, note, namespace);
    await this.status(service, { loadBalancer: { ingress: [{ ip }] } });
  }

  /** A packaged chart, as far as it makes a Service: as its values say, and none by its own. */
  private async charts(): Promise<void> {
    for (const { metadata } of await this.api.list(helmCharts)) {
      const { name = "", namespace = "" } = metadata ?? {};
      const config = await this.api.read(helmChartConfigs, name, namespace);
      const service = config && chartService(config);
      const mine = (await this.api.list<V1Service>(kinds.services, { namespace })).filter(isOurs);
      if (!service) {
        this.forget(`chart ${name}`);
        for (const one of mine) await this.api.remove(kinds.services, one.metadata?.name ?? "", namespace);
      } else if (mine.length === 0 && this.due(`chart ${name}`, this.pace.chart)) await this.api.create(service);
    }
  }

  private async withStatus(object: StoredObject, status: object): Promise<void> {
    await this.api.create(object);
    await this.status(object, status);
  }

  private async status(object: StoredObject, status: object): Promise<void> {
    const { one } = await this.raw.paths(object);
    const body = { status };
    const reply = await this.raw.send("PATCH", `${one}/status`, { body, contentType: "application/merge-patch+json" });
    if (reply.status > 299) throw new ApiRefusal(reply.status, "", JSON.stringify(reply.body));
  }
}

const metallbNamespace = "metallb-system";
const pools: Kind = { apiVersion: "metallb.io/v1beta1", kind: "IPAddressPool" };
const deployments: Kind<V1Deployment> = { apiVersion: "apps/v1", kind: "Deployment" };
const daemonSets: Kind<V1DaemonSet> = { apiVersion: "apps/v1", kind: "DaemonSet" };
const webhooks: Kind = { apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingWebhookConfiguration" };

/** As its manager makes it. */
export function longhornNode(name: string): StoredObject {
  const metadata = { name, namespace: kinds.longhornNamespace };
  const disk = { allowScheduling: true, path: "/var/lib/longhorn/" };
  return { ...kinds.longhornNodes, metadata, ...{ spec: { allowScheduling: true, disks: { disk } } } };
}

const conditions = ["Ready", "Schedulable"].map((type) => ({ type, status: "True", reason: "", message: "" }));
export const longhornNodeStatus = {
  conditions,
  diskStatus: { disk: { conditions, scheduledReplica: {}, storageMaximum: 2 ** 37 } },
};

export const csiDriver: StoredObject = {
  ...kinds.csiDrivers,
  metadata: { name: kinds.longhornDriver },
  ...{ spec: { attachRequired: true, podInfoOnMount: true } },
};

/** A node's, as its kubelet makes it, with the driver registered or not. */
export function csiNode(name: string, registered: boolean): StoredObject {
  return { ...kinds.csiNodes, metadata: { name }, ...{ spec: { drivers: registered ? [driverOn(name)] : [] } } };
}

/** Go writes an empty list as null. */
function driversOf({ spec }: V1CSINode): readonly object[] {
  const { drivers } = spec as { drivers: readonly object[] | null };
  return drivers ?? [];
}

function driverOn(node: string) {
  return { name: kinds.longhornDriver, nodeID: node, topologyKeys: [] };
}

function longhornClass({ data = {} }: V1ConfigMap): StoredObject {
  const annotations = { "storageclass.kubernetes.io/is-default-class": data.default ?? "" };
  const settings = { reclaimPolicy: data.reclaimPolicy, volumeBindingMode: "Immediate", allowVolumeExpansion: true };
  return {
    ...kinds.storageClasses,
    metadata: { name: kinds.longhornClass, annotations },
    ...{ provisioner: kinds.longhornDriver, ...settings },
  };
}
