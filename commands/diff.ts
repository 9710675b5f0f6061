import { join } from "node:path";
import { parseArgs } from "node:util";
import { hasChanges } from "../diff/compare";
import { renderJson } from "../diff/render/json";
import { renderTerminal } from "../diff/render/terminal";
import type { Report } from "../diff/report";
import { diff } from "../diff/run";
import { SideFailure } from "../diff/side";
import { checkout, type Surroundings } from "./validate";

const formats = ["terminal", "json"] as const;
type Format = (typeof formats)[number];

const usage = `usage: npm run diff -- <base> [<head>] [--format ${formats.join(" | ")}] [--exit-code]
  What a change would do to every layer of every environment, without engine, cluster or secret. <base> and <head> are git refs; without <head> it is
  the working tree.
  Exit 0: compared; 2: wrong usage, or a side does not evaluate; 3: a danger that nobody acknowledged; 1: with --exit-code, something changes.`;

/** `npm run diff`. A test gives its own `compare`. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  compare: typeof diff = diff,
): Promise<number> {
  const options = read(args);
  if (!options) {
    where.error(usage);
    return 2;
  }
  try {
    const { base, head } = options;
    const folder = where.folder;
    const report = await compare({
      checkout: folder,
      cache: join(folder, ".cache", "diff"),
      base,
      head,
      say: where.error,
    });
    where.out(render(report, options.format));
    return exitCode(report, options.exitCode);
  } catch (error) {
    if (!(error instanceof SideFailure)) throw error;
    where.error(error.message);
    return 2;
  }
}

function render(report: Report, format: Format): string {
  switch (format) {
    case "terminal":
      return renderTerminal(report, process.stdout.isTTY && process.env.NO_COLOR === undefined);
    case "json":
      return renderJson(report);
  }
}

/** 2 before 3 before 1: what was not compared may hide a danger, and a danger says more than that something changes. */
export function exitCode({ failures, summary, stacks, secrets }: Report, asked: boolean): number {
  if (failures.length > 0) return 2;
  if (summary.unacknowledged > 0) return 3;
  const changed = hasChanges(stacks) || secrets.changes.length + secrets.encryptedAnew.length > 0;
  return asked && changed ? 1 : 0;
}

interface Options {
  readonly base: string;
  readonly head: string | undefined;
  readonly format: Format;
  readonly exitCode: boolean;
}

function read(args: readonly string[]): Options | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { format: { type: "string", default: "terminal" }, "exit-code": { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [base, head, ...more] = positionals;
    const format = formats.find((known) => known === values.format);
    if (base === undefined || base === "" || head === "" || more.length > 0 || format === undefined) return undefined;
    return { base, head, format, exitCode: values["exit-code"] };
  } catch {
    return undefined;
  }
}
