import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { hasChanges } from "../diff/compare";
import { renderHtml } from "../diff/render/html";
import { renderJson } from "../diff/render/json";
import { renderMarkdown } from "../diff/render/markdown";
import { renderTerminal } from "../diff/render/terminal";
import { count, summaryLine } from "../diff/render/words";
import type { Report } from "../diff/report";
import { diff } from "../diff/run";
import { SideFailure } from "../diff/side";
import { checkout, type Surroundings } from "./validate";

const formats = ["terminal", "markdown", "html", "json"] as const;
type Format = (typeof formats)[number];

const usage = `usage: npm run diff -- <base> [<head>] [--format ${formats.join(" | ")}] [--output <file>] [--exit-code]
  What a change would do to every layer of every environment, without engine, cluster or secret. <base> and <head> are git refs; without <head> it is
  the working tree.
  --output: into that file, and in one line to standard output.
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
    if (options.output === undefined) where.out(render(report, options));
    else {
      write(render(report, options), options.output, where);
      where.out(`${summaryLine(report)}; ${count(report.summary.unacknowledged, "danger")} not acknowledged`);
    }
    return exitCode(report, options.exitCode);
  } catch (error) {
    if (!(error instanceof SideFailure)) throw error;
    where.error(error.message);
    return 2;
  }
}

function render(report: Report, { format, output }: Options): string {
  switch (format) {
    case "terminal":
      return renderTerminal(report, output === undefined && process.stdout.isTTY && process.env.NO_COLOR === undefined);
    case "markdown":
      return renderMarkdown(report);
    case "html":
      return renderHtml(report);
    case "json":
      return renderJson(report);
  }
}

/** npm runs scripts in the checkout; a relative file is meant from where the operator stands. */
function write(text: string, file: string, { from }: Surroundings): void {
  const target = resolve(from.filter(Boolean).at(-1) ?? ".", file);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
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
  readonly output: string | undefined;
}

function read(args: readonly string[]): Options | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        format: { type: "string", default: "terminal" },
        "exit-code": { type: "boolean", default: false },
        output: { type: "string" },
      },
      allowPositionals: true,
    });
    const [base, head, ...more] = positionals;
    const format = formats.find((known) => known === values.format);
    if (base === undefined || base === "" || head === "" || more.length > 0 || format === undefined) return undefined;
    if (values.output === "") return undefined;
    return { base, head, format, exitCode: values["exit-code"], output: values.output };
  } catch {
    return undefined;
  }
}
