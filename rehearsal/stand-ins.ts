import { secretKeys } from "../environment/schema";
import { unresolved, unresolvedPaths, versions } from "../versions";

/**
 * Puts stand-ins where versions.ts is unresolved, in this process only: the program is rehearsed as it will run once `npm run pin` has been. Returns what takes
 * them out again.
 */
export function standInVersions(): () => void {
  const paths = unresolvedPaths();
  for (const path of paths) setVersion(path, `stand-in-for-${path}`);
  return () => {
    for (const path of paths) setVersion(path, unresolved);
  };
}

/** Runs something with those stand-ins. */
export async function withVersions<T>(run: () => Promise<T>): Promise<T> {
  const takeOut = standInVersions();
  try {
    return await run();
  } finally {
    takeOut();
  }
}

function setVersion(path: string, value: string): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const holder = keys.reduce<Record<string, unknown>>((inner, key) => inner[key] as Record<string, unknown>, versions);
  holder[last] = value;
}

/** A recognisable value for every secret, so that one that leaks can be found in whatever the program registered. */
export function standInSecrets(): Readonly<Record<string, string>> {
  return Object.fromEntries(secretKeys.map((key) => [key, `secret-stand-in-${key}`]));
}
