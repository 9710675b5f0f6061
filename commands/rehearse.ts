import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readConfigFile } from "../environment/file";
import { judge } from "../rehearsal/checks";
import { html } from "../rehearsal/html";
import { render, report } from "../rehearsal/report";
import { rehearse } from "../rehearsal/run";
import { findEnvironment } from "./subject";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run rehearse -- [<environment> | <path to a file>] [--json] [--html <file>] [--fail <part of a name, a URN or <verb>:<resource>>]
  Runs the whole program against a pretend home: every layer up, then the old nodes retired. Needs no engine, cluster or secret.
  --html: into that file too, as a page with pictures that needs nothing else.
  Exit 0: every check held; 1: one did not, or a fault was asked for; 2: wrong usage.`;

/** `npm run rehearse`: the main job, offline. A test gives its own `tell`. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  tell: typeof rehearse = rehearse,
): Promise<number> {
  const options = read(args);
  if (!options) {
    where.error(usage);
    return 2;
  }
  const { name, path, environment } = findEnvironment(options.subject, where);
  const { config } = readConfigFile(path);
  const result = await tell({
    environmentName: name,
    environment,
    config: new Map(
      [...(config ?? [])].flatMap(([key, value]) => (value.encrypted ? [] : [[key, value.text] as const])),
    ),
    fail: options.fail,
    progress: where.error,
  });
  const data = report(result, judge(result.story), options.fail);
  if (options.fail !== undefined && data.fault?.failed.length === 0) {
    where.error(
      `--fail ${options.fail}: nothing has that in its name; names stand in the table of gates, URNs in --json`,
    );
    return 2;
  }
  where.out(options.json ? JSON.stringify(data, undefined, 2) : render(data));
  if (options.html !== undefined) {
    // npm runs scripts in the checkout; a relative file is meant from where the operator stands.
    const file = resolve(where.from.filter(Boolean).at(-1) ?? ".", options.html);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, html(result, data));
    where.error(`report: ${file}`);
  }
  return data.ok ? 0 : 1;
}

interface Options {
  readonly subject: string;
  readonly json: boolean;
  readonly html: string | undefined;
  readonly fail: string | undefined;
}

function read(args: readonly string[]): Options | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: "boolean", default: false }, html: { type: "string" }, fail: { type: "string" } },
      allowPositionals: true,
    });
    if (positionals.length > 1 || values.fail === "" || values.html === "") return undefined;
    return { subject: positionals[0] ?? "home", json: values.json, html: values.html, fail: values.fail };
  } catch {
    return undefined;
  }
}
