import { parse } from "yaml";
import type { V1Job, V1PersistentVolumeClaim, V1Pod, V1Service } from "@kubernetes/client-node";
import type { Clients, StoredObject } from "../../operations/clients";
import { claims, debianLabels, nodes, pods, services, volumes } from "../../operations/kinds";
import type { VirtualClock } from "../home/clock";
import { helmRelease } from "./helm";
import type { Model, ModelContext } from ".";

/** Plausible durations in seconds; what each stands for is in the name. */
const seconds = {
  anyObject: 1,
  claimBound: 6,
  loadBalancerAddress: 4,
  jobStart: 8,
  copyPerGibibyte: 9,
  verifyPerGibibyte: 5,
  chartReconciled: 30,
};

/** Any Kubernetes object: created (or, with `import`, taken over and changed), then what its controller does with it. */
export const kubernetesObject: Model = async (context) => {
  if (context.registration.type === "kubernetes:helm.sh/v3:Release") return helmRelease(context);
  const object = toObject(context.inputs);
  const { name = "", namespace } = object.metadata ?? {};
  await context.clock.sleep(seconds.anyObject * 1000);
  if (context.registration.options.importId !== "") {
    // Server-side apply replaces a selector whole, which a merge would not.
    if (object.kind === "Service")
      await context.clients.kubernetes.patch(services, name, { spec: { selector: null } }, namespace);
    await context.clients.kubernetes.patch(
      { apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" },
      name,
      object,
      namespace,
    );
    await reconcile(context, object);
  } else if (await made(context.clients, object)) {
    await reconcile(context, object);
  }
  const stored = await context.clients.kubernetes.read(
    { apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" },
    name,
    namespace,
  );
  return { id: namespace === undefined ? name : `${namespace}/${name}`, outputs: stored ? outputs(stored) : {} };
};

/** Whether it was not there before; else it is taken over as it is, which the volumes layer's provider is told to do (upsertExistingObjects). */
async function made({ kubernetes }: Clients, object: StoredObject): Promise<boolean> {
  const { name = "", namespace } = object.metadata ?? {};
  const kind = { apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" };
  const taken = ["Job", "PersistentVolumeClaim", "ConfigMap", "Namespace"].includes(kind.kind);
  if (taken && (await kubernetes.read(kind, name, namespace)) !== undefined) return false;
  await kubernetes.create(object);
  return true;
}

/** What the provider waits for: the part of the cluster that reacts to this kind. */
async function reconcile({ clients, clock }: ModelContext, object: StoredObject): Promise<void> {
  switch (`${object.apiVersion}/${object.kind}`) {
    case "v1/PersistentVolumeClaim":
      return bind(clients, clock, object);
    case "v1/Service":
      return announce(clients, clock, object);
    case "batch/v1/Job":
      return runJob(clients, clock, object);
    case "helm.cattle.io/v1/HelmChartConfig":
      return applyChartConfig(clients, clock, object);
  }
}

/** Longhorn binds a claim once its class exists. */
async function bind(clients: Clients, clock: VirtualClock, claim: V1PersistentVolumeClaim): Promise<void> {
  const { name = "", namespace = "" } = claim.metadata ?? {};
  await clock.sleep(seconds.claimBound * 1000);
  const volume = `pvc-new-${namespace}-${name}`;
  const storage = claim.spec?.resources?.requests?.storage ?? "1Gi";
  await clients.kubernetes.create({
    apiVersion: volumes.apiVersion,
    kind: volumes.kind,
    metadata: { name: volume },
    spec: {
      storageClassName: claim.spec?.storageClassName,
      capacity: { storage },
      claimRef: { namespace, name },
      persistentVolumeReclaimPolicy: "Retain",
    },
    status: { phase: "Bound" },
  } as StoredObject);
  await clients.kubernetes.patch(
    claims,
    name,
    { spec: { volumeName: volume }, status: { phase: "Bound", capacity: { storage } } },
    namespace,
  );
}

/** MetalLB gives a LoadBalancer Service the address that it asks for. */
async function announce(clients: Clients, clock: VirtualClock, service: V1Service): Promise<void> {
  const address = service.metadata?.annotations?.["metallb.io/loadBalancerIPs"];
  if (service.spec?.type !== "LoadBalancer" || address === undefined) return;
  await clock.sleep(seconds.loadBalancerAddress * 1000);
  const { name = "", namespace } = service.metadata ?? {};
  await clients.kubernetes.patch(
    services,
    name,
    { status: { loadBalancer: { ingress: [{ ip: address }] } } },
    namespace,
  );
  const [announcer] = await clients.kubernetes.list(nodes, { labels: debianLabels });
  if (announcer) await clients.kubernetes.create(announcementOf(service, announcer.metadata?.name ?? ""));
}

/** MetalLB's record of the node whose speaker answers for a Service's address. */
export function announcementOf({ metadata }: V1Service, node: string): StoredObject {
  const { name, namespace } = metadata ?? {};
  const status = { node, serviceName: name, serviceNamespace: namespace };
  const object = { apiVersion: "metallb.io/v1beta1", kind: "ServiceL2Status", status };
  return { ...object, metadata: { name: `l2-${name}`, namespace: "metallb-system" } };
}

/**
 * A migration Job runs to its end on a node that takes it. Where a running pod mounts the old claim the pretend application writes while it is compared, so
 * the verification finds two differences, as it would in life.
 */
async function runJob(clients: Clients, clock: VirtualClock, job: V1Job): Promise<void> {
  const { name = "", namespace = "" } = job.metadata ?? {};
  const template = job.spec?.template;
  const mounted = (template?.spec?.volumes ?? []).flatMap((volume) => volume.persistentVolumeClaim?.claimName ?? []);
  const sizes = await Promise.all(
    mounted.map(async (claim) => {
      const found = await clients.kubernetes.read(claims, claim, namespace);
      if (!found) throw new Error(`Job ${namespace}/${name}: its pod waits for the claim ${claim}, which is not there`);
      return found.spec?.resources?.requests?.storage ?? "0Gi";
    }),
  );
  const gibibytes = Math.max(0, ...sizes.map((size) => Number.parseInt(size, 10)));
  const verifying = name.includes("verif");
  await clock.sleep(
    (seconds.jobStart + gibibytes * (verifying ? seconds.verifyPerGibibyte : seconds.copyPerGibibyte)) * 1000,
  );
  const selector = template?.spec?.nodeSelector ?? {};
  const node = (await clients.kubernetes.list(nodes, { labels: selector }))[0];
  if (!node) throw new Error(`Job ${namespace}/${name}: no node takes its pod (${JSON.stringify(selector)})`);
  const fence = template?.spec?.containers[0]?.env?.find((one) => one.name === "FENCE")?.value;
  const writers = (await clients.kubernetes.list(pods, { namespace })).filter(
    (pod) =>
      pod.status?.phase === "Running" &&
      pod.spec?.volumes?.some((volume) => mounted.includes(volume.persistentVolumeClaim?.claimName ?? "")),
  );
  const pod: V1Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${name}-x7k2p`,
      namespace,
      labels: { ...template?.metadata?.labels, "job-name": name, "batch.kubernetes.io/job-name": name },
    },
    spec: { ...template?.spec, containers: template?.spec?.containers ?? [], nodeName: node.metadata?.name },
    status: {
      phase: "Succeeded",
      containerStatuses: (template?.spec?.containers ?? []).map((container) => ({
        name: container.name,
        image: container.image ?? "",
        imageID: "",
        ready: false,
        restartCount: 0,
        state: {
          terminated: {
            exitCode: 0,
            reason: "Completed",
            ...(verifying && mounted.length > 0 && { message: verification(gibibytes, writers.length > 0, fence) }),
          },
        },
      })),
    },
  };
  await clients.kubernetes.create(pod);
  await clients.kubernetes.patch(
    { apiVersion: "batch/v1", kind: "Job" },
    name,
    { status: { succeeded: 1, conditions: [{ type: "Complete", status: "True" }] } },
    namespace,
  );
}

/** What `verify.py` leaves as its termination message. */
function verification(gibibytes: number, written: boolean, fence: string | undefined): string {
  return JSON.stringify({
    version: 1,
    entries: 1200 * gibibytes,
    bytes: gibibytes * 2 ** 29,
    differences: written ? 2 : 0,
    first: written ? ["'db.sqlite': content", "'db.sqlite': mtime"] : [],
    manifest: "0".repeat(64),
    vanished: 0,
    ...(fence !== undefined && { phase: "final", fence }),
  });
}

/** The helm-controller installs the ingress chart again: its Service appears as the values say, and MetalLB gives it its address. */
async function applyChartConfig(clients: Clients, clock: VirtualClock, config: StoredObject): Promise<void> {
  await clock.sleep(seconds.chartReconciled * 1000);
  const service = chartService(config);
  await clients.kubernetes.create(service);
  await announce(clients, clock, service);
}

/** The Service that a packaged chart makes of the values in its HelmChartConfig. */
export function chartService(config: StoredObject): V1Service {
  const { name = "", namespace } = config.metadata ?? {};
  const { valuesContent } = (config as { spec?: { valuesContent?: unknown } }).spec ?? {};
  const values = (parse(typeof valuesContent === "string" ? valuesContent : "") ?? {}) as ChartValues;
  const nginx = name.endsWith("ingress-nginx");
  const settings = nginx ? values.controller?.service : { ...values.service, ...values.service?.spec };
  const nodePorts = settings?.nodePorts ?? {
    http: values.ports?.web?.nodePort,
    https: values.ports?.websecure?.nodePort,
  };
  return {
    apiVersion: services.apiVersion,
    kind: services.kind,
    metadata: {
      name: nginx ? `${name}-controller` : name,
      namespace,
      annotations: settings?.annotations,
      labels: settings?.labels,
    },
    spec: {
      type: settings?.type,
      externalTrafficPolicy: settings?.externalTrafficPolicy,
      healthCheckNodePort: settings?.healthCheckNodePort,
      selector: { "app.kubernetes.io/name": name },
      ports: [
        { name: "http", port: 80, targetPort: 80, protocol: "TCP", nodePort: nodePorts.http },
        { name: "https", port: 443, targetPort: 443, protocol: "TCP", nodePort: nodePorts.https },
      ],
    },
  };
}

/** What the packaged charts read of the values, as far as it makes their Service. */
interface ChartValues {
  readonly controller?: { readonly service?: ServiceValues };
  readonly service?: ServiceValues & { readonly spec?: ServiceValues };
  readonly ports?: Readonly<Record<"web" | "websecure", { readonly nodePort?: number }>>;
}
interface ServiceValues {
  readonly type?: string;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly externalTrafficPolicy?: string;
  readonly healthCheckNodePort?: number;
  readonly nodePorts?: { readonly http?: number; readonly https?: number };
}

function toObject(inputs: Readonly<Record<string, unknown>>): StoredObject {
  return structuredClone(inputs);
}

/** Plain data for the engine: dates as text, what the server added beside what was declared. */
function outputs(object: StoredObject): Record<string, unknown> {
  return JSON.parse(JSON.stringify(object)) as Record<string, unknown>;
}
