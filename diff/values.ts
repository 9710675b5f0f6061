import { isDeepStrictEqual } from "node:util";
import { isSecret, isUnknown, reveal, type Properties } from "../rehearsal/record";

/** A path inside a value: keys of objects and indices of lists. */
export type Path = readonly (string | number)[];

/** Two values that differ at one path; undefined where there is none. Secret marks are kept. */
export interface Difference {
  readonly path: Path;
  readonly before: unknown;
  readonly after: unknown;
}

/**
 * Where two values differ, as deep as both have the same form: a map against a map key by key, a list against a list entry by entry. Whether a value is marked as a
 * secret is no difference, since no provider acts on it.
 */
export function differences(before: unknown, after: unknown, path: Path = []): readonly Difference[] {
  const [one, other] = [unmarked(before), unmarked(after)];
  if (isMap(one) && isMap(other)) {
    return [...new Set([...Object.keys(one), ...Object.keys(other)])].flatMap((key) =>
      differences(marked(before, one[key]), marked(after, other[key]), [...path, key]),
    );
  }
  if (Array.isArray(one) && Array.isArray(other)) {
    return Array.from({ length: Math.max(one.length, other.length) }, (_, index) => index).flatMap((index) =>
      differences(marked(before, one[index]), marked(after, other[index]), [...path, index]),
    );
  }
  return isDeepStrictEqual(reveal(one), reveal(other)) ? [] : [{ path, before, after }];
}

/** What is inside of a secret is a secret. */
function marked(whole: unknown, part: unknown): unknown {
  return isSecret(whole) && part !== undefined && !isSecret(part) ? { ...whole, value: part } : part;
}

function unmarked(value: unknown): unknown {
  return isSecret(value) ? unmarked(value.value) : value;
}

export function isMap(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isSecret(value);
}

/** Whether anything in the value is not known yet. */
export function hasUnknown(value: unknown): boolean {
  if (isUnknown(value)) return true;
  if (isSecret(value)) return hasUnknown(value.value);
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isMap(value) && Object.values(value).some(hasUnknown);
}

/** Where in the value something is not known yet. */
export function unknownPaths(value: unknown, path: Path = []): readonly Path[] {
  if (isUnknown(value)) return [path];
  const plain = unmarked(value);
  if (plain !== value) return unknownPaths(plain, path);
  if (Array.isArray(plain)) return plain.flatMap((entry, index) => unknownPaths(entry, [...path, index]));
  return isMap(plain) ? Object.entries(plain).flatMap(([key, entry]) => unknownPaths(entry, [...path, key])) : [];
}

/** A path as Pulumi writes it: `spec.ports[0].nodePort`, `metadata.labels["app.kubernetes.io/name"]`. */
export function formatPath(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      if (!/^[A-Za-z_$][\w$-]*$/.test(part)) return `[${JSON.stringify(part)}]`;
      return index === 0 ? part : `.${part}`;
    })
    .join("");
}

/** The other way; `*` stands for any key or index. */
export function parsePath(text: string): Path {
  return [...text.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|([^.[\]]+)/g)].map(([, quoted, index, name]) => {
    if (quoted !== undefined) return JSON.parse(`"${quoted}"`) as string;
    if (index !== undefined) return index === "*" ? "*" : Number(index);
    return name ?? "";
  });
}

/** Whether `path` is the one that `pattern` says, or inside of it. */
export function isWithin(path: Path, pattern: Path): boolean {
  return pattern.length <= path.length && pattern.every((part, index) => part === "*" || part === path[index]);
}

/** Whether the one is inside of the other, or the other way round: a whole that is gone or unknown takes its parts along. */
export function touches(path: Path, pattern: Path): boolean {
  return isWithin(path, pattern.slice(0, path.length)) || isWithin(path, pattern);
}

/** The value at a path; undefined where there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  const plain = unmarked(value);
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (typeof plain !== "object" || plain === null) return undefined;
  return valueAt((plain as Properties)[first], rest);
}

/** The value with another one at the path; undefined takes it out. Where the way to it is missing, nothing changes. */
export function withValueAt(value: unknown, path: Path, replacement: unknown): unknown {
  if (isSecret(value)) return { ...value, value: withValueAt(value.value, path, replacement) };
  const [first, ...rest] = path;
  if (first === undefined) return replacement;
  if (first === "*") {
    const keys = Array.isArray(value) ? value.map((_, index) => index) : isMap(value) ? Object.keys(value) : [];
    return keys.reduce<unknown>((all, key) => withValueAt(all, [key, ...rest], replacement), value);
  }
  if (Array.isArray(value) && typeof first === "number" && first < value.length)
    return value.map((entry: unknown, index) => (index === first ? withValueAt(entry, rest, replacement) : entry));
  if (!isMap(value) || (rest.length > 0 && !(first in value))) return value;
  const changed = withValueAt(value[first], rest, replacement);
  return Object.fromEntries(
    [...Object.entries(value).filter(([key]) => key !== first), [String(first), changed]].filter(
      ([, entry]) => entry !== undefined,
    ),
  );
}
