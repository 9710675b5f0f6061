import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { checkFile } from "../environment/file";
import { environmentFile, environmentNames, linkIsNone } from "../environment/links";
import { formatProblem, refuses, type Problem } from "../environment/problem";
import { layers } from "../environment/stack";

/** Where a command works and writes; tests give their own. */
export interface Surroundings {
  /** The folder of the environment files. */
  readonly folder: string;
  /** What relative paths may start from; the first where the file is counts. */
  readonly from: readonly string[];
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
}

/** The checkout, and the terminal. npm runs scripts in the checkout and says in INIT_CWD where the operator stands. */
export function checkout(): Surroundings {
  return {
    folder: join(__dirname, ".."),
    from: [process.cwd(), process.env.INIT_CWD ?? ""],
    out: (line) => process.stdout.write(`${line}\n`),
    error: (line) => process.stderr.write(`${line}\n`),
  };
}

const usage = `usage: npm run validate -- [<environment> | <path to a file>] [--json]
  Checks an environment, or all of them: form, how the values fit together, and that the layers' files are links. Needs no secret.
  Exit 0: valid, warnings aside; 1: problems; 2: wrong usage.`;

/** What `--json` prints for one environment; without an argument it is `{ok, environments: [...]}` over all. */
interface Report {
  readonly environment: string;
  readonly ok: boolean;
  readonly problems: readonly Problem[];
}

/** `npm run validate`: the checks alone, without Pulumi. */
export async function main(args: readonly string[], where: Surroundings = checkout()): Promise<number> {
  const options = read(args);
  if (!options) {
    where.error(usage);
    return 2;
  }
  const names = options.subject === undefined ? environmentNames(where.folder) : [options.subject];
  if (names.length === 0) {
    where.error(`no file Pulumi.<environment>.yaml with keys of this project in ${where.folder}\n${usage}`);
    return 2;
  }
  const reports = names.map((name) => report(name, where));
  const ok = reports.every((one) => one.ok);
  if (options.json) {
    where.out(JSON.stringify(options.subject === undefined ? { ok, environments: reports } : reports[0], undefined, 2));
  } else {
    for (const line of reports.flatMap(lines)) where.out(line);
  }
  return ok ? 0 : 1;
}

function read(args: readonly string[]): { readonly subject: string | undefined; readonly json: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    return positionals.length > 1 ? undefined : { subject: positionals[0], json: values.json };
  } catch {
    return undefined;
  }
}

/** A name is looked up in the checkout and has links; anything that looks like a path is a file by itself. */
function report(subject: string, where: Surroundings): Report {
  const isPath = /[/\\]|\.ya?ml$/.test(subject);
  const problems = isPath
    ? checkFile(locate(subject, where.from)).problems
    : [...named(subject, where.folder), ...linkIsNoneOf(subject, where.folder)];
  return { environment: subject, ok: !refuses(problems), problems };
}

function locate(path: string, from: readonly string[]): string {
  const places = from.map((folder) => resolve(folder, path));
  return places.find((place) => existsSync(place)) ?? path;
}

function named(name: string, folder: string): readonly Problem[] {
  const path = join(folder, environmentFile(name));
  if (existsSync(path) && !isLayer(name)) return checkFile(path).problems;
  const known = environmentNames(folder);
  return [
    {
      severity: "error",
      rule: "file",
      path: basename(path),
      value: name,
      why: isLayer(name) ? "is a stack, one layer of an environment" : "there is no such environment",
      remedy: `give one of ${known.join(", ")}, or the path of a file`,
    },
  ];
}

function linkIsNoneOf(name: string, folder: string): readonly Problem[] {
  return existsSync(join(folder, environmentFile(name))) && !isLayer(name) ? linkIsNone(folder, name) : [];
}

function isLayer(name: string): boolean {
  return layers.some((layer) => name.endsWith(`-${layer}`));
}

function lines({ environment, ok, problems }: Report): string[] {
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;
  const warnings = problems.length - errors;
  const verdict = ok ? "valid" : count(errors, "problem");
  return [
    ...problems.map(formatProblem),
    `${environment}: ${verdict}${warnings > 0 ? `, ${count(warnings, "warning")}` : ""}`,
  ];
}
