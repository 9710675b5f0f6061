import { lstatSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { project } from "./config";
import type { Problem } from "./problem";
import { layers } from "./stack";

/**
 * Pulumi reads Pulumi.<environment>-<layer>.yaml; each is a symbolic link to Pulumi.<environment>.yaml, so that values and secrets live once (tried on the real CLI:
 * `config set` through a link writes the one file and leaves the link). A copy in the place of a link goes its own way from then on, unseen.
 */

/** The file that holds an environment. */
export function environmentFile(environment: string): string {
  return `Pulumi.${environment}.yaml`;
}

/** Names of the environments in a folder: real files with configuration of this project, layers' own files left out. */
export function environmentNames(folder: string): readonly string[] {
  return readdirSync(folder)
    .flatMap((file) => /^Pulumi\.(.+)\.yaml$/.exec(file)?.[1] ?? [])
    .filter((name) => !layers.some((layer) => name.endsWith(`-${layer}`)))
    .filter((name) => {
      const path = join(folder, environmentFile(name));
      // By text, so that a file with broken YAML is found, too, and its problems are reported.
      return lstatSync(path).isFile() && new RegExp(`^\\s*["']?${project}:`, "m").test(readFileSync(path, "utf8"));
    })
    .sort();
}

/**
 * `right`: as it must be. `missing`: nothing there. `astray`: a link to something else. `copy`: a file with the environment's own content, or what git makes of a
 * link where links are switched off (a text file with the target's name): nothing is lost with it. `different`: something that nobody may throw away unseen.
 */
export type LinkState = "right" | "missing" | "astray" | "copy" | "different";

export interface Link {
  readonly file: string;
  readonly state: LinkState;
  /** What stands there, for the operator. */
  readonly found: string;
}

/** How the links of an environment are, in the order of the layers. */
export function inspectLinks(folder: string, environment: string): readonly Link[] {
  const target = environmentFile(environment);
  return layers.map((layer) => {
    const file = environmentFile(`${environment}-${layer}`);
    const path = join(folder, file);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return { file, state: "missing", found: "(missing)" };
    if (stat.isSymbolicLink()) {
      const pointsTo = readlinkSync(path);
      return pointsTo === target
        ? { file, state: "right", found: `link to ${pointsTo}` }
        : { file, state: "astray", found: `link to ${pointsTo}` };
    }
    if (!stat.isFile()) return { file, state: "different", found: "(no file)" };
    const content = readFileSync(path, "utf8");
    return content.trim() === target || content === contentOf(join(folder, target))
      ? { file, state: "copy", found: "a copy" }
      : { file, state: "different", found: "a file of its own" };
  });
}

function contentOf(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false }) ? readFileSync(path, "utf8") : undefined;
}

/** The rule "links that are not links", for an environment that is named; a file that is given by its path has none. */
export function linkIsNone(folder: string, environment: string): readonly Problem[] {
  return inspectLinks(folder, environment)
    .filter(({ state }) => state !== "right")
    .map((link) => problemOf(link, environment));
}

function problemOf({ file, state, found }: Link, environment: string): Problem {
  const target = environmentFile(environment);
  return {
    severity: "error",
    rule: linkIsNone.name,
    path: file,
    value: found,
    why: `must be a symbolic link to ${target}, so that values and secrets live once`,
    remedy: state === "different" ? keepBoth(file, target) : `run \`npm run links -- ${environment}\``,
  };
}

function keepBoth(file: string, target: string): string {
  return `take over into ${target} what only this one has (\`diff ${target} ${file}\`), remove it, and run \`npm run links\``;
}

export interface Repaired {
  /** What was made or replaced. */
  readonly made: readonly string[];
  /** What was left as it is. */
  readonly kept: readonly string[];
  readonly refused: readonly Problem[];
}

/** Makes or repairs the links of an environment. What holds something of its own is refused, never replaced. */
export function repairLinks(folder: string, environment: string): Repaired {
  const target = environmentFile(environment);
  const links = inspectLinks(folder, environment);
  const replaced = links.filter(({ state }) => state === "missing" || state === "astray" || state === "copy");
  for (const { file } of replaced) {
    // Renamed over what is there: whoever reads meanwhile finds the old or the new, never nothing.
    const fresh = join(folder, `${file}.tmp`);
    rmSync(fresh, { force: true });
    symlinkSync(target, fresh);
    renameSync(fresh, join(folder, file));
  }
  return {
    made: replaced.map(({ file }) => file),
    kept: links.filter(({ state }) => state === "right").map(({ file }) => file),
    refused: links.filter(({ state }) => state === "different").map((link) => problemOf(link, environment)),
  };
}
