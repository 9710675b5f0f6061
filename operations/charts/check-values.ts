import { nearest } from "../../environment/explain";
import { Refusal } from "../refusal";
import { readChart, type Chart, type ChartPlace } from "./read-chart";

type Values = Readonly<Record<string, unknown>>;

/** A chart given by its place, and what is set of it. */
export interface ChartUse extends ChartPlace {
  readonly values: Values;
  /** The version whose values.yaml the values were written for. */
  readonly version: string;
}

/**
 * Refuses a chart that does not know everything that would be set of it. Helm ignores a key that the chart does not know: a setting that the chart renamed
 * (Longhorn moved its backup target in 1.8) would be gone without a word, and with it backups, the reserve or the confirmation before an uninstall.
 */
export function checkValues(use: ChartUse): Chart {
  const chart = readChart(use);
  const wrong = misfits(use.values, chart.values);
  if (wrong.length === 0) return chart;
  throw new Refusal({
    what: `${use.setting} ${use.path}: the chart ${chart.name} ${chart.version} does not take ${wrong.length === 1 ? "a value" : `${wrong.length} values`} that would be set of it:\n${wrong.map((line) => `    ${line}`).join("\n")}`,
    why: "Helm ignores what a chart does not know, so these settings would silently be lost",
    next: `give the chart of version ${use.version}, which the program was written for, and run \`pulumi preview\``,
  });
}

/**
 * A line for each value that a chart's values.yaml does not know, or knows as something else. What the chart leaves open takes any key or value: an empty
 * map, nothing (`~`), and for texts and numbers an empty text. How a list's entries look, values.yaml does not say.
 */
export function misfits(values: Values, known: Values, path: readonly string[] = []): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const here = [...path, key];
    if (!Object.hasOwn(known, key)) return [`${here.join(".")}: ${unknownKey(key, known)}`];
    const place = known[key];
    if (value === undefined || value === null || isOpen(place, value)) return [];
    if (kindOf(value) !== kindOf(place)) return [`${here.join(".")}: is ${kindOf(value)}, and ${kindOf(place)} there`];
    return isMap(value) && isMap(place) ? misfits(value, place, here) : [];
  });
}

function unknownKey(key: string, known: Values): string {
  const near = nearest(key, Object.keys(known));
  return `no such key${near === undefined ? "" : ` (there is ${near})`}`;
}

function isOpen(place: unknown, value: unknown): boolean {
  if (place === null || place === undefined) return true;
  if (isMap(place)) return isMap(value) && Object.keys(place).length === 0;
  return place === "" && (typeof value === "string" || typeof value === "number");
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (isMap(value)) return "a map";
  return typeof value === "boolean" ? "true or false" : typeof value === "number" ? "a number" : "a text";
}

function isMap(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
