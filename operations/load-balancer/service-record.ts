import type { V1ConfigMap, V1Service } from "@kubernetes/client-node";
import { z } from "zod";
import type { KubernetesApi } from "../clients";
import { configMaps } from "../kinds";
import { Refusal } from "../refusal";
import { ownersAfterwards } from "./field-owners";
import {
  addressAnnotation,
  creatorLabel,
  ingressLabels,
  poolAnnotation,
  recordName,
  takenOver,
  targetWorkloads,
  targetWorkloadsNoop,
} from "./names";

/** What of a Service is changed by taking it over, by us or as a consequence of its type; nothing else of it is recorded or put back. */
const specFields = [
  "type",
  "ports",
  "selector",
  "externalTrafficPolicy",
  "sessionAffinity",
  "sessionAffinityConfig",
  "healthCheckNodePort",
  "allocateLoadBalancerNodePorts",
] as const;
const labels = [...Object.keys(ingressLabels), creatorLabel];
const annotations = [
  addressAnnotation,
  poolAnnotation,
  // MetalLB's own note of the pool, in case it is gone before it can take it away.
  "metallb.io/ip-allocated-from-pool",
  targetWorkloads,
  targetWorkloadsNoop,
  takenOver,
  // Pulumi's words to its provider, which stay on the object.
  "pulumi.com/patchForce",
  "pulumi.com/skipAwait",
];

const original = z.strictObject({
  version: z.literal(1),
  /** Of the Service that was recorded: another one of the same name is somebody's new one. */
  uid: z.string(),
  spec: z.record(z.string(), z.unknown()),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
});
export type Original = z.infer<typeof original>;

/** What the Service is now, as far as it will be changed. */
export function originalOf(service: V1Service): Original {
  return {
    version: 1,
    uid: service.metadata?.uid ?? "",
    spec: pick({ ...service.spec }, specFields),
    labels: pick(service.metadata?.labels ?? {}, labels),
    annotations: pick(service.metadata?.annotations ?? {}, annotations),
  };
}

/** The Service as it was: recorded fields as recorded, the others of ours gone, everything else (cluster IP, what others wrote) as it is now. */
export function withOriginal(service: V1Service, record: Original): V1Service {
  return {
    ...service,
    metadata: {
      ...service.metadata,
      labels: { ...omit(service.metadata?.labels ?? {}, labels), ...record.labels },
      annotations: { ...omit(service.metadata?.annotations ?? {}, annotations), ...record.annotations },
      ...(service.metadata?.managedFields && { managedFields: ownersAfterwards(service.metadata.managedFields) }),
    },
    spec: { ...omit({ ...service.spec }, specFields), ...record.spec },
  };
}

/** The record that stands beside a Service; undefined when none does. */
export async function readRecord(
  kubernetes: KubernetesApi,
  namespace: string,
): Promise<{ readonly map: V1ConfigMap; readonly original: Original } | undefined> {
  const map = await kubernetes.read(configMaps, recordName, namespace);
  if (!map) return undefined;
  const parsed = original.safeParse(json(map.data?.original));
  if (parsed.success) return { map, original: parsed.data };
  throw new Refusal({
    what: `ConfigMap ${namespace}/${recordName}: cannot be read`,
    why: "it says what the ingress controller's Service was before it was taken over, and somebody changed it",
    next: `mend it (\`kubectl -n ${namespace} edit configmap ${recordName}\`; docs/decisions/taking-over-the-service.md shows one), then run it again`,
  });
}

export function recordMap(namespace: string, record: Original): V1ConfigMap {
  return {
    apiVersion: configMaps.apiVersion,
    kind: configMaps.kind,
    metadata: { name: recordName, namespace, labels: { "app.kubernetes.io/managed-by": "home-cluster" } },
    data: { original: JSON.stringify(record, undefined, 2) },
  };
}

/** Taken over by us, while what it was before stands nowhere. */
export function recordMissing(namespace: string, name: string): Refusal {
  return new Refusal({
    what: `Service ${namespace}/${name}: was taken over or made by this program, and there is no record of what it was before`,
    why: `ConfigMap ${namespace}/${recordName} is gone, or the Service was created by this stack and the file now says existing: true`,
    next:
      "write the ConfigMap again by hand (docs/decisions/taking-over-the-service.md), or set ingress.service.existing back to false " +
      "if this stack made the Service",
  });
}

function json(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}

function pick<T>(from: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(from).filter(([key, value]) => keys.includes(key) && value !== undefined));
}

function omit<T>(from: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(from).filter(([key]) => !keys.includes(key)));
}
