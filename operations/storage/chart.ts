import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "yaml";
import { z } from "zod";
import { Refusal } from "../refusal";

const chartFile = z.looseObject({ name: z.string(), version: z.string(), appVersion: z.coerce.string().optional() });

/** What a chart says of itself in its Chart.yaml. */
export type ChartFile = z.infer<typeof chartFile>;

/** Where relative chart paths start. Not the working directory, so that an operation run by hand from elsewhere reads the same chart. */
const checkout = join(__dirname, "..", "..");

/** Reads the Chart.yaml of a chart folder or archive (`.tgz`). Throws a Refusal when there is none. */
export function readChart(path: string): ChartFile {
  try {
    const found = resolve(checkout, path);
    const text = statSync(found).isDirectory() ? readFileSync(join(found, "Chart.yaml")) : fromArchive(found);
    return chartFile.parse(parse(text.toString("utf8")));
  } catch (error) {
    throw new Refusal({
      what: `longhorn.chart.path ${path}: no chart can be read there`,
      why: error instanceof z.ZodError ? "its Chart.yaml names no name or version" : firstLine(error),
      next: "give the path of a chart folder or .tgz archive, relative to the checkout, and run `npm run validate`",
    });
  }
}

/** `<chart>/Chart.yaml` of a packaged chart. Tar's own layout: a 512-byte header with name and octal size, then the content in 512-byte blocks. */
function fromArchive(path: string): Buffer {
  const tar = gunzipSync(readFileSync(path));
  for (let at = 0; at + 512 <= tar.length;) {
    const field = (start: number, length: number): string =>
      tar
        .toString("latin1", at + start, at + start + length)
        .split("\0", 1)
        .join("")
        .trim();
    const size = Number.parseInt(field(124, 12) || "0", 8);
    // The chart's own file, not that of a chart in its charts/ folder.
    if (/^[^/]+\/Chart\.yaml$/.test(field(0, 100))) return tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error("the archive holds no Chart.yaml");
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split("\n", 1)
    .join("");
}
