import { reveal, type Registration } from "./record";
import { verbOf } from "./verb";

/**
 * What `--fail <part>` makes fail: every resource whose name, URN or name in the cluster or on Proxmox holds the part, and every operation whose
 * `<verb>:<resource>` does.
 */
export function matchesFault(part: string | undefined, candidates: readonly string[]): boolean {
  return part !== undefined && candidates.some((candidate) => candidate.includes(part));
}

/** The failure itself; its message says that it was asked for. */
export function injected(part: string, what: string): Error {
  return new Error(`${what}: made to fail by --fail ${part}`);
}

/** Everything by which a fault may name the creation of a resource. Components are not created, so only what is in them can fail. */
export function creationNames({ name, urn, custom, inputs }: Registration): readonly string[] {
  if (!custom) return [];
  const { metadata, name: given } = reveal(inputs) as { metadata?: { name?: unknown }; name?: unknown };
  const verb = verbOf(inputs.create);
  const own = [metadata?.name, given].filter((text): text is string => typeof text === "string");
  return [name, urn, ...own, ...(verb === undefined ? [] : [`${verb}:${name}`])];
}
