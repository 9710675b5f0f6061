import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { Refusal } from "../operations/refusal";
import { unresolved } from "../versions";
import { debianUrl, resolveBuild } from "./pin/debian";
import { registryUrl, resolveDigest } from "./pin/registry";
import { readLeaves, withValues } from "./pin/source";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run pin -- [--all | --check]
  Looks up every digest and checksum that versions.ts has as \`unresolved\`, from the images' registries and from Debian, and writes them into it.
  --all    looks all of them up again: tags move, and Debian publishes new builds
  --check  changes and asks nothing, lists what is unresolved
  Exit 0: everything is resolved; 1: something is not; 2: wrong usage.`;

/** Where to look things up; tests give servers of their own. */
export interface Sources {
  readonly registry: (host: string) => string;
  readonly debian: string;
}

/** Something in versions.ts that is pinned as a whole or not at all: an image's digest, or Debian's build with its checksum. */
interface Entry {
  /** `images.copy` */
  readonly path: string;
  readonly now: Readonly<Record<string, string>>;
  /** Which of its values are looked up. */
  readonly keys: readonly string[];
  readonly resolve: (sources: Sources, all: boolean) => Promise<Readonly<Record<string, string>>>;
}

/** `npm run pin`: the only thing that writes a digest or checksum, and only one that somebody else vouches for. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  sources: Sources = { registry: registryUrl, debian: debianUrl },
): Promise<number> {
  const options = read(args);
  if (!options) {
    where.error(usage);
    return 2;
  }
  const file = join(where.folder, "versions.ts");
  const source = readFileSync(file, "utf8");
  const entries = entriesOf(source);
  const open = entries.filter(({ now, keys }) => keys.some((key) => now[key] === unresolved));
  if (options.check) {
    for (const { path, now, keys } of open) {
      for (const key of keys.filter((candidate) => now[candidate] === unresolved))
        where.out(`${path}.${key}: unresolved`);
    }
    where.out(open.length === 0 ? "versions.ts: everything is resolved" : "npm run pin resolves them");
    return open.length === 0 ? 0 : 1;
  }

  const table = new Table({ head: ["in versions.ts", "was", "is"], style: { head: [], border: [] } });
  const values = new Map<string, string>();
  const refused: string[] = [];
  // One after the other: registries count requests, and there are a handful.
  for (const { path, now, resolve } of options.all ? entries : open) {
    try {
      for (const [key, value] of Object.entries(await resolve(sources, options.all))) {
        values.set(`${path}.${key}`, value);
        table.push([`${path}.${key}`, short(now[key] ?? ""), value === now[key] ? "the same" : short(value)]);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refused.push(error.message);
    }
  }
  if (values.size > 0) {
    where.out(table.toString());
    write(file, withValues(source, values));
  } else if (refused.length === 0) {
    where.out("versions.ts: everything is resolved; `npm run pin -- --all` looks all of it up again");
  }
  for (const message of refused) where.error(message);
  return refused.length === 0 ? 0 : 1;
}

function read(args: readonly string[]): { readonly all: boolean; readonly check: boolean } | undefined {
  try {
    const flag = { type: "boolean", default: false } as const;
    const { values } = parseArgs({ args: [...args], options: { all: flag, check: flag } });
    return values.all && values.check ? undefined : values;
  } catch {
    return undefined;
  }
}

/** What can be looked up, known by its keys. Throws for an `unresolved` that nothing here can look up. */
function entriesOf(source: string): readonly Entry[] {
  const objects = new Map<string, Record<string, string>>();
  for (const { path, value } of readLeaves(source)) {
    const dot = path.lastIndexOf(".");
    const parent = path.slice(0, Math.max(dot, 0));
    objects.set(parent, { ...objects.get(parent), [path.slice(dot + 1)]: value });
  }
  return [...objects].flatMap(([path, now]): Entry[] => {
    const { repository, tag, digest, release, version, build, sha512 } = now;
    const entry = ((): Omit<Entry, "path" | "now"> | undefined => {
      if (repository !== undefined && tag !== undefined && digest !== undefined) {
        return {
          keys: ["digest"],
          resolve: async ({ registry }) => ({
            digest: await resolveDigest(`${path}.digest`, { repository, tag }, registry),
          }),
        };
      }
      if (release !== undefined && version !== undefined && build !== undefined && sha512 !== undefined) {
        return {
          keys: ["build", "sha512"],
          // A build that is pinned stays, unless all is asked for: only its checksum is missing then.
          resolve: async ({ debian }, all) => ({
            ...(await resolveBuild(
              path,
              { release, version },
              debian,
              all || build === unresolved ? undefined : build,
            )),
          }),
        };
      }
      return undefined;
    })();
    const lost = Object.keys(now).filter((key) => now[key] === unresolved && !entry?.keys.includes(key));
    if (lost.length > 0) {
      throw new Error(
        `versions.ts: ${path}.${lost[0]} is unresolved, and commands/pin.ts does not know where to look it up`,
      );
    }
    return entry ? [{ path, now, ...entry }] : [];
  });
}

/** By rename, so that an interrupted run leaves the file as it was. */
function write(file: string, text: string): void {
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, text, { mode: statSync(file).mode });
  renameSync(temporary, file);
}

/** Enough of a checksum to compare by eye. */
function short(value: string): string {
  return value.length > 40 ? `${value.slice(0, 26)}…${value.slice(-6)}` : value;
}
