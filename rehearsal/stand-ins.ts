import { secretKeys } from "../environment/schema";
import { unresolved, unresolvedPaths, versions } from "../versions";

/**
 * Puts stand-ins where versions.ts is unresolved, in this process only: the program is rehearsed as it will run once `npm run pin` has been. Returns the
 * paths, which the report lists.
 */
export function standInVersions(): readonly string[] {
  const paths = unresolvedPaths();
  for (const path of paths) {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    const holder = keys.reduce<Record<string, unknown>>(
      (value, key) => value[key] as Record<string, unknown>,
      versions,
    );
    if (holder[last] === unresolved) holder[last] = `stand-in-for-${path}`;
  }
  return paths;
}

/** A recognisable value for every secret, so that one that leaks can be found in whatever the program registered. */
export function standInSecrets(): Readonly<Record<string, string>> {
  return Object.fromEntries(secretKeys.map((key) => [key, `secret-stand-in-${key}`]));
}
