import type { Finding } from "./problem";

/** A value that must be there once, and whose it is. */
export interface Entry {
  readonly value: string;
  readonly who: string;
  readonly path: string;
  /** A retired node: gone, but what it had stays taken. */
  readonly retired?: boolean;
}

/** One finding for every entry whose value an earlier one has. */
export function repeated(entries: readonly Entry[], what: string, remedy: string): Finding[] {
  const first = new Map<string, Entry>();
  return entries.flatMap((entry) => {
    const other = first.get(entry.value);
    if (!other) {
      first.set(entry.value, entry);
      return [];
    }
    const why = other.retired
      ? `${other.who} had this ${what}, and what a retired node had stays taken (${other.path})`
      : `is the ${what} of ${other.who} already (${other.path})`;
    return [{ path: entry.path, value: entry.value, why, remedy }];
  });
}
