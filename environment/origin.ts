/**
 * Where a checked value stands in the file. Rules get typed values and name paths, so the way back is remembered beside the values, not in them: a list from which
 * an invalid entry was left out still names the others by the index that the operator sees.
 */

export type Path = readonly PropertyKey[];

interface Origin {
  readonly path: Path;
  /** Lists: whether nothing was left out. */
  readonly whole: boolean;
  /** Lists: the index in the file of each entry. */
  readonly indexes?: readonly number[];
}

const origins = new WeakMap<object, Origin>();

/** `nodes[0].labels["example.org/zone"]`. */
export function formatPath(path: Path): string {
  return path
    .map((key, position) => {
      if (typeof key === "number") return `[${key}]`;
      const name = String(key);
      if (!/^[A-Za-z_][\w-]*$/.test(name)) return `[${JSON.stringify(name)}]`;
      return position === 0 ? name : `.${name}`;
    })
    .join("");
}

/** Remembers where a value and everything in it stand. Returns the value. */
export function remember<T>(value: T, path: Path): T {
  if (typeof value !== "object" || value === null) return value;
  origins.set(value, { path, whole: true });
  for (const [key, child] of Object.entries(value))
    remember(child, [...path, Array.isArray(value) ? Number(key) : key]);
  return value;
}

/** Remembers where a mapping stands whose entries are remembered already. */
export function rememberMapping(value: object, path: Path): void {
  origins.set(value, { path, whole: true });
}

/** Remembers where a list stands whose entries are remembered already, and which index each has in the file. */
export function rememberList(list: readonly unknown[], path: Path, { whole, indexes }: ListOrigin): void {
  origins.set(list, { path, whole, indexes });
}

interface ListOrigin {
  readonly whole: boolean;
  readonly indexes: readonly number[];
}

function originOf(value: object): Origin {
  const origin = origins.get(value);
  if (!origin) throw new Error("this value does not come from checkEnvironment, so nobody knows where it stands");
  return origin;
}

/** The path of a value, or of one key in it. */
export function at(value: object, key?: string): string {
  const { path } = originOf(value);
  return formatPath(key === undefined ? path : [...path, key]);
}

/** The path of a list's entry that is plain text or a number; `at` serves entries that are mappings. */
export function atIndex(list: readonly unknown[], index: number): string {
  const { path, indexes } = originOf(list);
  return formatPath([...path, indexes?.[index] ?? index]);
}

/**
 * Whether a list holds every entry of the file. Rules that conclude from absence ("there is no such network", "only two members") ask first: the entry that they miss
 * may be the one that was refused for its form.
 */
export function whole(list: readonly unknown[]): boolean {
  return originOf(list).whole;
}

/** A rule read something that the file does not hold in a usable form. */
export class Unusable extends Error {
  constructor(path: Path) {
    super(`${formatPath(path)} cannot be used`);
    this.name = "Unusable";
  }
}

/** What `read` gives, or the fallback where the file does not hold it in a usable form. For rules that gather from several sections. */
export function usable<T>(read: () => T, fallback: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Unusable) return fallback;
    throw error;
  }
}
