import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { isCollection, isMap, isScalar, LineCounter, parseDocument, visit, type Document } from "yaml";
import type { Checked } from "./check";
import { checkConfig, project, type ConfigValue } from "./config";
import { refuses, type Problem } from "./problem";
import { isMapping } from "./salvage";

/** Reads a stack's configuration file without Pulumi: no engine, no secret, no passphrase. */

export interface ConfigFile {
  /** By full key; undefined when the file cannot be read as YAML. */
  readonly config: ReadonlyMap<string, ConfigValue> | undefined;
  readonly problems: readonly Problem[];
}

/** Checks a file of the form Pulumi.<stack>.yaml as a whole; the environment is there only when nothing refuses it. Never throws for a bad or missing file. */
export function checkFile(path: string): Checked {
  const { config, problems } = readConfigFile(path);
  if (!config) return { environment: undefined, problems };
  const checked = checkConfig(config);
  const all = [...problems, ...checked.problems];
  return { environment: refuses(all) ? undefined : checked.environment, problems: all };
}

/** The configuration of a file as Pulumi would hand it on, encrypted values unread. */
export function readConfigFile(path: string): ConfigFile {
  const file = basename(path);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return { config: undefined, problems: [unreadable(file, error)] };
  }
  return parseConfigFile(file, text);
}

function unreadable(file: string, error: unknown): Problem {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const why = { ENOENT: "there is no such file", EISDIR: "is a folder" }[code] ?? `cannot be read (${code})`;
  const remedy = `give the name of an environment, or the path of a file like Pulumi.home.yaml`;
  return { severity: "error", rule: "file", path: file, value: "(missing)", why, remedy };
}

/** The same for text that was read already; `file` is only named in problems. */
export function parseConfigFile(file: string, text: string): ConfigFile {
  const lines = new LineCounter();
  // Not pretty: pretty errors quote the line, and the line may hold a secret. `merge` because Pulumi's YAML reader takes `<<`.
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines, merge: true });
  const problem = (offset: number, why: string, remedy: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { severity: "error", rule: "yaml", path: file, value: `line ${line}, column ${col}`, why, remedy };
  };
  const errors = document.errors.map(({ code, message, pos }) =>
    code === "DUPLICATE_KEY"
      ? problem(pos[0], "the same key stands here a second time", "remove one of the two; only one would count")
      : // After the colon stands what was found, which may be a secret.
        problem(
          pos[0],
          `is no YAML: ${lowerFirst(message.split(":")[0] ?? "")}`,
          "correct the line or the one before it",
        ),
  );
  // With a key given twice the rest can still be checked; with broken structure nothing means what it seems to.
  if (document.errors.some(({ code }) => code !== "DUPLICATE_KEY")) return { config: undefined, problems: errors };
  const misread = misreadScalars(document).map(({ offset, why }) =>
    problem(offset, why, "write it in quotes if it is text"),
  );
  return values(file, document, [...errors, ...misread]);
}

function values(file: string, document: Document.Parsed, problems: readonly Problem[]): ConfigFile {
  const refuse = (why: string, remedy: string): ConfigFile => ({
    config: undefined,
    problems: [...problems, { severity: "error", rule: "file", path: file, value: "(config)", why, remedy }],
  });
  let plain: unknown;
  try {
    plain = document.toJS();
  } catch {
    // An alias without its anchor, or one that would unfold for ever.
    return refuse("an alias (*name) names no anchor (&name)", "write the value itself");
  }
  const config = isMapping(plain) ? plain.config : undefined;
  if (config === undefined || config === null) return { config: new Map(), problems };
  if (!isMapping(config)) return refuse("must be a mapping of keys to values", "write config as in Pulumi.home.yaml");
  const stray = Object.keys(config).find((key) => !key.includes(":"));
  if (stray !== undefined)
    return refuse(`its key ${stray} has no namespace, so Pulumi refuses the file`, `write ${project}:${stray}`);
  const entries = Object.entries(config).map(
    ([key, value]) => [key, toConfigValue(value, document.getIn(["config", key], true))] as const,
  );
  return { config: new Map(entries), problems };
}

/** As Pulumi does (sdk/go/common/resource/config/value.go): scalars keep the text that stands in the file, structures become JSON. */
function toConfigValue(value: unknown, node: unknown): ConfigValue {
  if (value === null || value === undefined) return { text: "", encrypted: false };
  if (typeof value === "object") return { text: JSON.stringify(value), encrypted: isEncrypted(value) };
  return { text: (isScalar(node) && node.source) || JSON.stringify(value), encrypted: false };
}

/** `{secure: …}` at any depth makes the whole value a secret. */
function isEncrypted(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isEncrypted);
  if (!isMapping(value)) return false;
  const keys = Object.keys(value);
  return (keys.length === 1 && typeof value.secure === "string") || Object.values(value).some(isEncrypted);
}

/**
 * Plain scalars inside our values that Pulumi's YAML reader (Go, YAML 1.1 numbers) takes for something else than this one does. Directly under config it keeps their text.
 */
function misreadScalars(document: Document): { readonly offset: number; readonly why: string }[] {
  const config = document.get("config", true);
  const found: { offset: number; why: string }[] = [];
  for (const { key, value } of isMap(config) ? config.items : []) {
    if (!isCollection(value) || !String(key).startsWith(`${project}:`)) continue;
    visit(value, {
      Scalar: (position, { source = "", type, range }) => {
        if (position === "key" || type !== "PLAIN") return;
        const offset = range?.[0] ?? 0;
        if (/^[-+]?0\d+$/.test(source))
          found.push({ offset, why: "Pulumi reads a number with a leading zero as octal" });
        if (/^\d{4}-\d\d?-\d\d?($|[Tt\s])/.test(source)) found.push({ offset, why: "Pulumi reads this as a date" });
      },
    });
  }
  return found;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
