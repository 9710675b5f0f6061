import { parseArgs } from "node:util";
import { readConfigFile } from "../environment/file";
import { judge } from "../rehearsal/checks";
import { render, report } from "../rehearsal/report";
import { rehearse } from "../rehearsal/run";
import { findEnvironment } from "./subject";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run rehearse -- [<environment> | <path to a file>] [--json] [--fail <part of a name, a URN or <verb>:<resource>>]
  Runs the whole program against a pretend home: every layer up, then the old nodes retired. Needs no engine, cluster or secret.
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
  return data.ok ? 0 : 1;
}

function read(
  args: readonly string[],
): { readonly subject: string; readonly json: boolean; readonly fail: string | undefined } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: "boolean", default: false }, fail: { type: "string" } },
      allowPositionals: true,
    });
    if (positionals.length > 1 || values.fail === "") return undefined;
    return { subject: positionals[0] ?? "home", json: values.json, fail: values.fail };
  } catch {
    return undefined;
  }
}
