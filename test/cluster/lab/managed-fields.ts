import type { StoredObject } from "../../../operations/clients";

/** Paths of the fields that a manager owns, `spec.ports[80/TCP].nodePort`, sorted; of its writes by apply or by all others. Status left out. */
export function ownedBy(object: StoredObject | undefined, manager: string | RegExp, operation?: string): string[] {
  const mine = (object?.metadata?.managedFields ?? []).filter(
    (entry) =>
      (typeof manager === "string" ? entry.manager === manager : manager.test(entry.manager ?? "")) &&
      (operation === undefined || entry.operation === operation) &&
      (entry.subresource ?? "") === "",
  );
  return [...new Set(mine.flatMap(({ fieldsV1 }) => leaves((fieldsV1 ?? {}) as object)))].sort();
}

/** Every manager with what it owns. */
export function owners(object: StoredObject | undefined): Record<string, string[]> {
  const managers = new Set((object?.metadata?.managedFields ?? []).map(({ manager }) => manager ?? ""));
  return Object.fromEntries([...managers].sort().map((name) => [name, ownedBy(object, name)]));
}

/** The fields that a declared Service names, in the same notation: what whoever applies it comes to own. */
export function declaredFields(value: unknown, path = ""): string[] {
  // As their merge keys and `mapType=atomic` have it (k8s.io/api, core/v1, ServiceSpec).
  if (path === "spec.selector" || typeof value !== "object" || value === null) return [path];
  const at = (key: string): string => (path === "" ? key : `${path}.${key}`);
  if (path === "spec.ports")
    return (value as { port: number; protocol: string }[]).flatMap((entry) =>
      declaredFields(entry, `${path}[${entry.port}/${entry.protocol}]`),
    );
  return Object.entries(value)
    .filter(([key]) => !identity.has(at(key)))
    .flatMap(([key, field]) => declaredFields(field, at(key)))
    .sort();
}

/** Of which nobody is an owner. */
const identity = new Set(["apiVersion", "kind", "metadata.name", "metadata.namespace"]);

function leaves(fields: object, path = ""): string[] {
  const inner = Object.entries(fields).filter(([key]) => key !== ".");
  if (inner.length === 0) return path === "" ? [] : [path];
  return inner.flatMap(([key, field]) => leaves(field as object, join(path, key)));
}

function join(path: string, key: string): string {
  if (key.startsWith("k:")) {
    const { port, protocol } = JSON.parse(key.slice(2)) as { port?: number; protocol?: string };
    return `${path}[${port}/${protocol}]`;
  }
  const name = key.slice(2);
  return path === "" ? name : `${path}.${name}`;
}
