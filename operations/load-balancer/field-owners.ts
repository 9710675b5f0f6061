import type { V1ManagedFieldsEntry, V1Service } from "@kubernetes/client-node";
import { ingressLabels } from "./names";

/**
 * Writers whose fields Pulumi's provider takes for its own former ones: before every update it adds them to what it applied, and so removes what it does not
 * declare, a label set with kubectl for instance (pulumi-kubernetes 4.34, await.go, fixCSAFieldManagers, which compares by prefix; tried).
 */
const takenForOwn: readonly (readonly [prefix: string, operations: readonly string[]])[] = [
  ["kubectl", ["Apply", "Update"]],
  ["before-first-apply", ["Update"]],
  ["pulumi-kubernetes", ["Update"]],
  ["pulumi-resource-kubernetes", ["Update"]],
];

/** Before the names of those writers for as long as the Service is taken over. */
const kept = "home-cluster/";

/** The Service with those writers under names that the provider leaves alone; undefined where there are none. Nothing else of it is different. */
export function withKeptOwners(service: V1Service): V1Service | undefined {
  const entries = service.metadata?.managedFields ?? [];
  if (!entries.some(isTakenForOwn)) return undefined;
  const managedFields = entries.map((entry) =>
    isTakenForOwn(entry) ? { ...entry, manager: `${kept}${entry.manager}` } : entry,
  );
  return { ...service, metadata: { ...service.metadata, managedFields } };
}

/** The Service with those writers under their own names again; undefined where none has another. */
export function withOwnNames(service: V1Service): V1Service | undefined {
  const entries = service.metadata?.managedFields ?? [];
  if (!entries.some(isKept)) return undefined;
  return { ...service, metadata: { ...service.metadata, managedFields: entries.map(named) } };
}

/**
 * Who owns what once the Service is given back: those writers under their own names, and not what the engine applied. The server would go on counting that
 * among the owners of all that it named and did not change (ports, for instance), and refuse them to whoever applies without force.
 */
export function ownersAfterwards(entries: readonly V1ManagedFieldsEntry[]): V1ManagedFieldsEntry[] {
  return entries.filter((entry) => !isOurApply(entry)).map(named);
}

function isKept({ manager }: V1ManagedFieldsEntry): boolean {
  return manager?.startsWith(kept) ?? false;
}

function named(entry: V1ManagedFieldsEntry): V1ManagedFieldsEntry {
  return isKept(entry) ? { ...entry, manager: entry.manager?.slice(kept.length) } : entry;
}

function isTakenForOwn({ manager = "", operation = "", subresource }: V1ManagedFieldsEntry): boolean {
  const isOne = ([prefix, operations]: (typeof takenForOwn)[number]): boolean =>
    manager.startsWith(prefix) && operations.includes(operation);
  return (subresource ?? "") === "" && takenForOwn.some(isOne);
}

function isOurApply({ operation, fieldsV1 }: V1ManagedFieldsEntry): boolean {
  const { "f:metadata": { "f:labels": owned = {} } = {} } = (fieldsV1 ?? {}) as OwnedLabels;
  return operation === "Apply" && Object.keys(ingressLabels).some((label) => `f:${label}` in owned);
}

interface OwnedLabels {
  readonly "f:metadata"?: { readonly "f:labels"?: object };
}
