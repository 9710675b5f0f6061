import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { environmentFile, environmentNames, repairLinks } from "../environment/links";
import { formatProblem } from "../environment/problem";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run links -- [<environment>]
  Makes Pulumi.<environment>-<layer>.yaml symbolic links to Pulumi.<environment>.yaml, for one environment or all. What differs is left alone.
  Exit 0: all are links; 1: something had to be left alone; 2: wrong usage.`;

/** `npm run links`: makes or repairs the links of the layers. */
export async function main(args: readonly string[], where: Surroundings = checkout()): Promise<number> {
  const name = read(args);
  const known = environmentNames(where.folder);
  if (name === undefined || (name !== all && !existsSync(join(where.folder, environmentFile(name))))) {
    where.error(`${usage}\n  environments here: ${known.join(", ")}`);
    return 2;
  }
  const results = (name === all ? known : [name]).map((environment) => ({
    target: environmentFile(environment),
    ...repairLinks(where.folder, environment),
  }));
  for (const { target, made, kept, refused } of results) {
    for (const file of made) where.out(`${file} -> ${target}`);
    if (kept.length > 0) where.out(`${target}: ${kept.length} ${kept.length === 1 ? "link was" : "links were"} right`);
    for (const problem of refused) where.error(formatProblem(problem));
  }
  return results.some(({ refused }) => refused.length > 0) ? 1 : 0;
}

const all = Symbol("all");

function read(args: readonly string[]): string | typeof all | undefined {
  try {
    const { positionals } = parseArgs({ args: [...args], options: {}, allowPositionals: true });
    return positionals.length > 1 ? undefined : (positionals[0] ?? all);
  } catch {
    return undefined;
  }
}
