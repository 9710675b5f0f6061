import { isDeepStrictEqual } from "node:util";
import type { StoredObject } from "../../../operations/clients";
import type { ApiClient } from "./api-client";

/** Every object that the API server lists, by `kind.group namespace/name`. */
export type Everything = ReadonlyMap<string, StoredObject>;

/** What is between two looks at everything. */
export interface Difference {
  readonly left: readonly string[];
  readonly gone: readonly string[];
  /** There before and after, as something else: what it says now and said before. */
  readonly changed: readonly string[];
}

/** Left out: what tells of moments and not of a state, and what follows from Services and their pods. */
const momentary = new Set(["Event", "Endpoints", "EndpointSlice", "ComponentStatus"]);

/** And what Kubernetes' own parts renew all the time. */
const renewed = /^Lease.* kube-/;

/** Lists all that can be listed, each kind in the version that the server prefers. */
export async function everything(api: ApiClient): Promise<Everything> {
  const found = new Map<string, StoredObject>();
  for (const root of ["/api/v1", ...(await groups(api))]) {
    const { resources = [] } = await get<{ resources?: Resource[] }>(api, root);
    for (const { name, kind, verbs } of resources) {
      if (name.includes("/") || !verbs.includes("list") || momentary.has(kind)) continue;
      const { items } = await get<{ items: StoredObject[] }>(api, `${root}/${name}`);
      const group = root.split("/").length === 4 ? `.${root.split("/")[2]}` : "";
      for (const item of items) {
        const { namespace, name: own = "" } = item.metadata ?? {};
        const key = `${kind}${group} ${namespace === undefined ? own : `${namespace}/${own}`}`;
        if (!renewed.test(key)) found.set(key, item);
      }
    }
  }
  return found;
}

/** What came, went and changed; a moment's traces (versions, times, who wrote a field) left out. */
export function difference(before: Everything, after: Everything): Difference {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort();
  return {
    left: keys.filter((key) => !before.has(key)),
    gone: keys.filter((key) => !after.has(key)),
    changed: keys.flatMap((key) => {
      const [was, is] = [before.get(key), after.get(key)].map((object) => object && lasting(object));
      if (!was || !is || isDeepStrictEqual(was, is)) return [];
      return [`${key}: ${JSON.stringify(is)}, and before ${JSON.stringify(was)}`];
    }),
  };
}

const traces = new Set(["resourceVersion", "generation", "observedGeneration", "managedFields"]);

/** Names of one moment, whatever they are of: `lastHeartbeatTime`, `endpoints.kubernetes.io/last-change-trigger-time`. */
const times = /^last\w*Time$|last-change-trigger-time$/;

function lasting(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lasting);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !traces.has(key) && !times.test(key))
      .map(([key, inner]) => [key, lasting(inner)]),
  );
}

async function groups(api: ApiClient): Promise<readonly string[]> {
  const { groups: found } = await get<{ groups: { preferredVersion: { groupVersion: string } }[] }>(api, "/apis");
  return found.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`);
}

async function get<T>(api: ApiClient, path: string): Promise<T> {
  const { status, body } = await api.send("GET", path);
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
  return body as T;
}

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly verbs: readonly string[];
}
