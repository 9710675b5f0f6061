import type { JsonPatch, Kind, StoredObject } from "../../clients";
import { pointer, setKey, type Hold } from "./hold";
import type { OwnerRecord, PauseRecord } from "./record";
import { podTemplate, type Workload } from "./template";

/** How an object of a kind is stopped, and let go on. Each is one field, and none touches any other. */
export interface Lever {
  /** Whether it is as `rest` makes it. */
  atRest(object: Workload): boolean;
  /** What has to be known to let it go on as before. */
  original(object: Workload): Hold["original"];
  rest(object: Workload): JsonPatch;
  restore(object: Workload, original: Hold["original"]): JsonPatch;
  /** Whether it was at rest before we came. */
  wasAtRest(original: Hold["original"]): boolean;
  /** `3 replicas`: what it goes back to. */
  says(original: Hold["original"]): string;
}

/** A node selector that no node meets. */
export const nowhere = "home-cluster/stopped";
/** KEDA's own way to rest: it leaves the number of replicas as it is, and takes its autoscaler away. */
const kedaPaused = "autoscaling.keda.sh/paused";

const replicas: Lever = {
  atRest: ({ spec }) => spec?.replicas === 0,
  // The API server fills it in; 1 is what it fills in.
  original: ({ spec }) => ({ replicas: spec?.replicas ?? 1 }),
  rest: () => [{ op: "add", path: "/spec/replicas", value: 0 }],
  restore: (_, original) => [{ op: "add", path: "/spec/replicas", value: original.replicas }],
  wasAtRest: (original) => original.replicas === 0,
  says: (original) => (original.replicas === 1 ? "1 replica" : `${String(original.replicas)} replicas`),
};

/** A DaemonSet has no number of pods to set. A key beside its own selector's, so that what others do to theirs meanwhile stays. */
const nodeSelector: Lever = {
  atRest: (object) => selectorOf(object)?.[nowhere] !== undefined,
  original: (object) => ({ nodeSelector: { ...selectorOf(object) } }),
  rest: (object) => setKey("/spec/template/spec/nodeSelector", selectorOf(object), nowhere, "true"),
  restore: (object) => {
    const path = "/spec/template/spec/nodeSelector";
    const others = Object.keys(selectorOf(object) ?? {}).length > 1;
    return [{ op: "remove", path: others ? `${path}/${pointer(nowhere)}` : path }];
  },
  wasAtRest: () => false,
  says: () => "its node selector",
};

const suspend: Lever = {
  atRest: ({ spec }) => spec?.suspend === true,
  original: ({ spec }) => ({ suspend: spec?.suspend ?? false }),
  rest: () => [{ op: "add", path: "/spec/suspend", value: true }],
  restore: (_, original) => [{ op: "add", path: "/spec/suspend", value: original.suspend }],
  wasAtRest: (original) => original.suspend === true,
  says: (original) => (original.suspend === true ? "suspended" : "not suspended"),
};

/** Flux knows no `suspend: false` that it would not also leave out. */
const fluxSuspend: Lever = {
  ...suspend,
  restore: (_, original) => (original.suspend === true ? [] : [{ op: "remove", path: "/spec/suspend" }]),
};

const annotation: Lever = {
  atRest: ({ metadata }) => metadata?.annotations?.[kedaPaused] === "true",
  original: ({ metadata }) => ({ paused: metadata?.annotations?.[kedaPaused] ?? null }),
  rest: ({ metadata }) => setKey("/metadata/annotations", metadata?.annotations, kedaPaused, "true"),
  restore: (_, { paused }) => {
    const path = `/metadata/annotations/${pointer(kedaPaused)}`;
    return [typeof paused === "string" ? { op: "add", path, value: paused } : { op: "remove", path }];
  },
  wasAtRest: ({ paused }) => paused === "true",
  says: () => "not paused",
};

export const levers: Readonly<Record<Exclude<OwnerRecord["kind"], "Pod"> | PauseRecord["kind"], Lever>> = {
  Deployment: replicas,
  StatefulSet: replicas,
  ReplicaSet: replicas,
  DaemonSet: nodeSelector,
  CronJob: suspend,
  Job: suspend,
  ScaledObject: annotation,
  Kustomization: fluxSuspend,
  HelmRelease: fluxSuspend,
};

/** The kind of a recorded object, read as what all of them have in common. */
export function kindOf({ apiVersion, kind }: OwnerRecord | PauseRecord): Kind<Workload> {
  return { apiVersion, kind };
}

function selectorOf(object: Workload): Record<string, string> | undefined {
  return podTemplate(object)?.spec.nodeSelector;
}

/** Whether an object is gone for good or on its way. */
export function isLeaving(object: StoredObject | undefined): boolean {
  return object?.metadata?.deletionTimestamp !== undefined;
}
