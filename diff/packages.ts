import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SideFailure } from "./side";

/** What the lock of a tree asks for, as a name for caches. */
export function lockKey(folder: string): string {
  const parts = ["package-lock.json"].map((file) =>
    existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : "",
  );
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

interface Lock {
  readonly packages?: Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>;
}

/** Whether node_modules of the checkout holds exactly what a lock asks for: every package that is installed is the one of the lock, and none is missing. */
export function isInstalled(lockFile: string, modules: string): boolean {
  const record = join(modules, ".package-lock.json");
  if (!existsSync(lockFile) || !existsSync(record)) return false;
  const [wanted, there] = [lockFile, record].map(
    (file) => (JSON.parse(readFileSync(file, "utf8")) as Lock).packages ?? {},
  );
  return Object.entries(wanted ?? {}).every(
    // A package of another platform is in the lock and not installed.
    ([path, { version, optional }]) =>
      path === "" || there?.[path]?.version === version || (optional && !there?.[path]),
  );
}

/**
 * The folder with the packages of a tree: those of the checkout where the lock is the same, else `npm ci` once per lock. No install script runs, whatever the tree's
 * own .npmrc says, since only its manifest and lock are taken; npm gets no token either.
 */
export async function packagesOf(
  tree: string,
  checkout: string,
  cache: string,
  say: (line: string) => void,
): Promise<string> {
  const own = join(checkout, "node_modules");
  const lock = join(tree, "package-lock.json");
  if (isInstalled(lock, own)) return own;
  const folder = join(cache, "packages", `${lockKey(tree)}-${process.version}`);
  const modules = join(folder, "node_modules");
  if (existsSync(modules)) return modules;
  if (!existsSync(lock))
    throw new SideFailure(`${tree}: no package-lock.json, so nobody knows which packages it ran with`);
  say("other packages than installed here: npm ci, once for this lock");
  mkdirSync(join(cache, "packages"), { recursive: true });
  const making = mkdtempSync(join(cache, "packages", "making-"));
  const home = mkdtempSync(join(tmpdir(), "home-cluster-npm-"));
  try {
    for (const file of ["package.json", "package-lock.json"]) copyFileSync(join(tree, file), join(making, file));
    await npm(making, home, cache);
    renameSync(making, folder);
    return modules;
  } finally {
    rmSync(making, { recursive: true, force: true });
    rmSync(home, { recursive: true, force: true });
  }
}

/** Settings of npm that reach a registry and are no secret. */
const reach =
  /^(https?_proxy|no_proxy|node_extra_ca_certs|npm_config_(registry|cafile|cache|proxy|https_proxy|noproxy))$/i;

function npm(folder: string, home: string, cache: string): Promise<void> {
  const variables = Object.entries(process.env).filter(([name]) => reach.test(name));
  return new Promise((resolve, reject) => {
    const child = spawn("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], {
      cwd: folder,
      env: {
        npm_config_cache: join(cache, "npm"),
        ...Object.fromEntries(variables),
        PATH: process.env.PATH ?? "",
        HOME: home,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)));
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new SideFailure(`npm ci of the other side's lock failed:\n${output.trim()}`)),
    );
  });
}
