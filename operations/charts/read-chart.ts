import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { list } from "tar";
import { parse } from "yaml";
import { z } from "zod";
import { Refusal } from "../refusal";

const chartFile = z.looseObject({ name: z.string(), version: z.string(), appVersion: z.coerce.string().optional() });
/** A chart without values has an empty file or none. */
const valuesFile = z.record(z.string(), z.unknown()).nullish();

/** What a chart says of itself in its Chart.yaml, and what can be set of it. */
export interface Chart extends z.infer<typeof chartFile> {
  /** Its values.yaml. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** A chart that the file gives by its place. */
export interface ChartPlace {
  /** The setting that names the place, for what is said: `longhorn.chart.path`. */
  readonly setting: string;
  /** A chart folder or archive, relative to the checkout. */
  readonly path: string;
  /** The chart that must be there. */
  readonly name: string;
}

/** Where relative chart paths start. Not the working directory, so that an operation run by hand from elsewhere reads the same chart. */
const checkout = join(__dirname, "..", "..");

/** Reads a chart folder or archive (`.tgz`). Throws a Refusal when there is none, or another one. */
export function readChart({ setting, path, name }: ChartPlace): Chart {
  const chart = refusing({ setting, path }, () => {
    const found = resolve(checkout, path);
    const files = statSync(found).isDirectory() ? fromFolder(found) : fromArchive(found);
    const text = files.get("Chart.yaml");
    if (text === undefined) throw new Error("it holds no Chart.yaml");
    const values = valuesFile.safeParse(yaml(files.get("values.yaml") ?? ""));
    if (!values.success) throw new Error("its values.yaml is no mapping");
    return { ...chartFile.parse(yaml(text)), values: values.data ?? {} };
  });
  if (chart.name === name) return chart;
  throw new Refusal({
    what: `${setting} ${path}: holds the chart ${chart.name}`,
    why: `declared is the chart ${name}`,
    next: `put the ${name} chart there, or remove ${setting}`,
  });
}

function refusing<T>({ setting, path }: Omit<ChartPlace, "name">, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Refusal({
      what: `${setting} ${path}: no chart can be read there`,
      why: error instanceof z.ZodError ? "its Chart.yaml names no name or version" : firstLine(error),
      next: "give the path of a chart folder or .tgz archive, relative to the checkout, and run `pulumi preview`",
    });
  }
}

const wanted = ["Chart.yaml", "values.yaml"];

function fromFolder(folder: string): ReadonlyMap<string, string> {
  const there = wanted.filter((file) => statSync(join(folder, file), { throwIfNoEntry: false }));
  return new Map(there.map((file) => [file, readFileSync(join(folder, file), "utf8")]));
}

/** The chart's own files in a packaged chart, which lie in one folder of any name; not those of a chart in its charts/ folder. */
function fromArchive(file: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  list({
    file,
    sync: true,
    // What is no archive would otherwise be one without entries.
    strict: true,
    filter: (path) => wanted.includes(path.split("/").slice(1).join("/")),
    onReadEntry: (entry) => {
      const parts: Buffer[] = [];
      entry.on("data", (part) => parts.push(part));
      entry.on("end", () => found.set(entry.path.split("/").slice(1).join("/"), Buffer.concat(parts).toString("utf8")));
    },
  });
  return found;
}

/** As Helm reads it: with YAML 1.1's merge keys, which charts use beside anchors. */
function yaml(text: string): unknown {
  return parse(text, { merge: true });
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split("\n", 1)
    .join("");
}
