/**
 * What `--fail <part>` makes fail: every resource whose name or URN holds the part, and every operation whose `<verb>:<resource>` does.
 */
export function matchesFault(part: string | undefined, candidates: readonly string[]): boolean {
  return part !== undefined && candidates.some((candidate) => candidate.includes(part));
}

/** The failure itself; its message says that it was asked for. */
export function injected(part: string, what: string): Error {
  return new Error(`${what}: made to fail by --fail ${part}`);
}
