import { z } from "zod";
import { formatPath, type Path } from "./origin";
import { kindOf, show, type Problem } from "./problem";
import { isMapping, withoutDefault } from "./salvage";
import { secretKeys } from "./schema";

/** Stands for a value that is encrypted in the file and therefore not seen by any check. */
export const encrypted = Symbol("encrypted");

type Issue = z.core.$ZodIssue;
type Explained = Omit<Problem, "severity" | "rule">;

/** What the schema found, in words that say what to type instead. Values under unknown keys are not shown: a misspelt key may hold a secret. */
export function explain(schema: z.ZodType, raw: unknown, issue: Issue): Problem[] {
  return reasons(schema, raw, issue).map((explained) => ({ severity: "error", rule: "schema", ...explained }));
}

function reasons(schema: z.ZodType, raw: unknown, issue: Issue): Explained[] {
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(schema, raw, issue.path, key));
  const value = valueAt(raw, issue.path);
  const path = formatPath(issue.path) || "home-cluster";
  if (value === encrypted) return [encryptedValue(path)];
  const here = schemaAt(schema, issue.path);
  const example = exampleOf(here);
  if (value === undefined || value === null) {
    const why = issue.message.startsWith("must ")
      ? `is required and ${issue.message}`
      : `is required, as ${wanted(issue)}`;
    const last = String(issue.path.at(-1) ?? "it");
    const remedy = example === undefined ? `add ${last}` : `add it, for example \`${last}: ${example}\``;
    return [{ path, value: value === null ? "(nothing)" : "(missing)", why, remedy }];
  }
  const shown = here && withoutDefault(here).meta()?.sensitive === true ? `(${kindOf(value)}, not shown)` : show(value);
  return [
    { path, value: shown, why: why(issue, value), remedy: remedy(issue, value, rewritten(here, value), example) },
  ];
}

function unknownKey(schema: z.ZodType, raw: unknown, parent: Path, key: string): Explained {
  const known = [...keysOf(schemaAt(schema, parent)), ...(parent.length === 0 ? secretKeys : [])];
  const near = nearest(key, known);
  return {
    path: formatPath([...parent, key]),
    value: `(${kindOf(valueAt(raw, [...parent, key]))}, not shown)`,
    why: "there is no such key here, so it would do nothing",
    remedy: `${near === undefined ? "remove it" : `did you mean ${near}?`} (keys here: ${known.join(", ")})`,
  };
}

function encryptedValue(path: string): Explained {
  return {
    path,
    value: "(encrypted)",
    why: "is encrypted, so nobody can check or review it, and it is no secret",
    remedy: `write it as plain text; the secrets are ${secretKeys.join(", ")}`,
  };
}

const wantedKinds: Readonly<Record<string, string>> = {
  string: "text",
  int: "a whole number",
  // Every number of the schema is whole.
  number: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

function wanted(issue: Issue): string {
  if (issue.code === "invalid_type") return wantedKinds[issue.expected] ?? issue.expected;
  if (issue.code === "invalid_value") return `one of ${issue.values.join(", ")}`;
  return "see environment/schema.ts";
}

function why(issue: Issue, value: unknown): string {
  const ofKind = issue.code === "invalid_type" && !fits(issue.expected, value);
  if (ofKind) return `must be ${wanted(issue)}, not ${kindOf(value)}`;
  if (issue.message.startsWith("must ")) return issue.message;
  if (issue.code === "invalid_type" || issue.code === "invalid_value") return `must be ${wanted(issue)}`;
  if (issue.code === "too_small") {
    if (!isNumeric(issue.origin)) return "must not be empty";
    return `must be ${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`;
  }
  if (issue.code === "too_big") return `must be at most ${issue.maximum}`;
  return issue.message;
}

function isNumeric(origin: string): boolean {
  return origin === "number" || origin === "int";
}

function remedy(issue: Issue, value: unknown, better: string | undefined, example: string | undefined): string {
  if (better !== undefined) return `write ${better}`;
  if (issue.code === "invalid_type" && !fits(issue.expected, value)) {
    if (issue.expected === "string" && typeof value !== "object")
      return `write it in quotes, or YAML reads it as ${kindOf(value)}`;
    return example === undefined ? (forms[wanted(issue)] ?? elsewhere) : `for example ${example}`;
  }
  if (issue.code === "invalid_value") return oneOf(issue.values.map(String), value);
  if (issue.code === "too_small" && issue.origin === "array") return "add at least one entry";
  if (issue.code === "too_big" && issue.origin === "string") return "shorten it";
  if (issue.code === "too_small" || issue.code === "too_big") return "choose a value within the limits";
  if (example === undefined) return elsewhere;
  return issue.message.includes(example) ? "write it in that form" : `for example ${example}`;
}

const elsewhere = "see environment/schema.ts for its form";

const forms: Readonly<Record<string, string>> = {
  "a whole number": "write it in digits",
  "a list": "write its entries below it, each behind a hyphen",
  "a mapping": "write its keys below it, each with a colon",
};

function oneOf(values: readonly string[], value: unknown): string {
  if (values.length === 1) return `write ${values[0] ?? ""}`;
  const near = typeof value === "string" ? nearest(value, values) : undefined;
  return near === undefined ? "choose one of them" : `did you mean ${near}?`;
}

/** Whether a value has the kind, so that only its form is wrong. A number with a fraction is not a wrong kind of value where a whole one is wanted. */
function fits(expected: string, value: unknown): boolean {
  if (expected === "int" || expected === "number") return typeof value === "number";
  if (expected === "record" || expected === "object") return isMapping(value);
  if (expected === "array") return Array.isArray(value);
  return typeof value === expected;
}

/** The same value as its schema would take it, where only upper and lower case, quotes or another spelling of the unit stand in the way. */
function rewritten(schema: z.ZodType | undefined, value: unknown): string | undefined {
  if (typeof value === "number")
    return schema?.safeParse(Math.ceil(value)).success ? String(Math.ceil(value)) : undefined;
  if (typeof value !== "string") return undefined;
  const size = /^(\d+) ?([MGT])i?B?$/i.exec(value.trim());
  const candidates = [
    value.trim(),
    value.toLowerCase(),
    value.toUpperCase(),
    value.toLowerCase().replace(/[_. ]+/g, "-"),
    ...(size ? [`${size[1]}${size[2]?.toUpperCase()}i`] : []),
    ...unquoted(value),
  ];
  const found = candidates.find((candidate) => schema?.safeParse(candidate).success);
  return found === undefined ? undefined : typeof found === "string" ? show(found) : `${found} without quotes`;
}

/** What YAML would make of the text without its quotes, where that is no text. */
function unquoted(text: string): readonly (number | boolean)[] {
  if (/^\d+$/.test(text)) return [Number(text)];
  return text === "true" || text === "false" ? [text === "true"] : [];
}

function valueAt(raw: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      Array.isArray(value) ? (value as unknown[])[Number(key)] : isMapping(value) ? value[String(key)] : undefined,
    raw,
  );
}

function schemaAt(schema: z.ZodType, path: Path): z.ZodType | undefined {
  return path.reduce<z.ZodType | undefined>((current, key) => {
    if (!current) return undefined;
    const inner = withoutDefault(current);
    if (inner instanceof z.ZodObject) return inner.shape[String(key)] as z.ZodType | undefined;
    if (inner instanceof z.ZodArray) return inner.element as z.ZodType;
    return inner instanceof z.ZodRecord ? (inner.valueType as z.ZodType) : undefined;
  }, schema);
}

function keysOf(schema: z.ZodType | undefined): readonly string[] {
  const inner = schema && withoutDefault(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** The example that the schema carries (`.meta({ example })`). */
function exampleOf(schema: z.ZodType | undefined): string | undefined {
  const example = schema && withoutDefault(schema).meta()?.example;
  return typeof example === "string" ? example : undefined;
}

/** The known word that somebody may have meant: at most a third of it typed wrong, capitals aside. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance: typos }) => typos <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((left, right) => left.distance - right.distance);
  return ranked[0]?.candidate;
}

/** Levenshtein's distance, row by row. */
function distance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [row, letter] of [...left].entries()) {
    const current = [row + 1];
    for (const [column, other] of [...right].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === other ? 0 : 1);
      current.push(Math.min(replaced, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
}
