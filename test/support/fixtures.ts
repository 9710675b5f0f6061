import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { rawEnvironment, root } from "./environment";

/** An edit of a committed environment: what the fixtures of a rule are made of. Paths are those that problems show: `nodes[0].cards[1].address`. */
export interface Edit {
  readonly title: string;
  readonly base: "home" | "lab";
  readonly set?: Readonly<Record<string, unknown>>;
  /** Appended to a list; a list of entries is appended entry by entry. */
  readonly push?: Readonly<Record<string, unknown>>;
  readonly remove?: readonly string[];
}

/** An edit that a rule must object to. */
export interface InvalidEdit extends Edit {
  /** Every line that the rule prints, whole and in order. */
  readonly lines: readonly string[];
  /** Other rules that object to the same, rightly. Default none. */
  readonly also?: readonly string[];
}

export interface RuleFixtures {
  readonly rule: string;
  readonly invalid: readonly InvalidEdit[];
  /** Neighbours just inside what is allowed: nothing at all may object to them. */
  readonly valid: readonly Edit[];
}

const folder = join(root, "test", "fixtures", "environment");

/** The fixtures of every rule, one file each, named after the rule. */
export function ruleFixtures(): readonly RuleFixtures[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .sort()
    .map((file) => ({
      rule: file.slice(0, -".yaml".length),
      ...(parse(readFileSync(join(folder, file), "utf8")) as Omit<RuleFixtures, "rule">),
    }));
}

type Container = Record<string | number, unknown>;

/** Read once: reading a file takes longer than checking it. */
const bases = { home: rawEnvironment("home"), lab: rawEnvironment("lab") };

/** The edited environment, as raw data. */
export function applyEdit(edit: Edit): unknown {
  const raw = structuredClone(bases[edit.base]) as unknown as Container;
  // Pushed first, so that `set` reaches what was pushed; removed last and from the back, so that no index moves.
  for (const [path, value] of Object.entries(edit.push ?? {})) {
    const list = parsePath(path).reduce<unknown>((at, key) => (at as Container)[key], raw) as unknown[];
    list.push(...(Array.isArray(value) ? (value as unknown[]) : [value]));
  }
  for (const [path, value] of Object.entries(edit.set ?? {})) {
    const { owner, key } = locate(raw, path);
    owner[key] = value;
  }
  for (const path of [...(edit.remove ?? [])].reverse()) {
    const { owner, key } = locate(raw, path);
    if (Array.isArray(owner)) owner.splice(Number(key), 1);
    else delete owner[key];
  }
  return raw;
}

function locate(raw: Container, path: string): { readonly owner: Container; readonly key: string | number } {
  const keys = parsePath(path);
  const owner = keys.slice(0, -1).reduce<unknown>((at, key) => (at as Container)[key], raw) as Container;
  return { owner, key: keys.at(-1) ?? "" };
}

/** `nodes[0].name` as its keys. */
export function parsePath(path: string): readonly (string | number)[] {
  return [...path.matchAll(/\[(\d+)\]|\["([^"]+)"\]|([^.[\]]+)/g)].map(([, index, quoted, name]) =>
    index === undefined ? (quoted ?? name ?? "") : Number(index),
  );
}
