import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { root } from "../../support/environment";

/** A Go module of tools/ with the programs that are built from it. */
export interface Module {
  /** Its folder's name, such as `kubernetes-1.36`. */
  readonly name: string;
  /** Of what it takes the programs from, such as `v1.36.3`. */
  readonly version: string;
  /** Import paths. */
  readonly programs: readonly string[];
  /** `key=value` for the linker: what /version and --version say. */
  readonly says: readonly string[];
}

export const toolsFolder = join(root, "test", "cluster", "tools");

/** Days after which programs that nobody used go, when others are built. */
const keptDays = 14;

/** What go is told beside a module's own lines; a change makes all programs anew. No toolchain is downloaded and no go.mod rewritten. */
export const goEnvironment = {
  CGO_ENABLED: "0",
  GOFLAGS: "-mod=readonly -buildvcs=false",
  GOTOOLCHAIN: "local",
  GOWORK: "off",
};
const goFlags = ["-trimpath"];

/** Every module of tools/ of which something is built, by name. (Of crds/ nothing is.) */
export function modules(folder = toolsFolder): readonly Module[] {
  return readdirSync(folder)
    .filter((name) => name !== "crds" && existsSync(join(folder, name, "go.mod")))
    .sort()
    .map((name) => moduleOf(name, readFileSync(join(folder, name, "go.mod"), "utf8")));
}

/** The two releases of Kubernetes: the oldest and the newest minor. */
export function kubernetesModules(all = modules()): { readonly oldest: Module; readonly newest: Module } {
  const [oldest, ...others] = all
    .filter(({ name }) => name.startsWith("kubernetes-"))
    .sort((a, b) => minorOf(a) - minorOf(b));
  const newest = others.at(-1);
  if (!oldest || !newest) throw new Error(`${toolsFolder} has no two folders kubernetes-1.<minor>`);
  return { oldest, newest };
}

function minorOf({ version }: Module): number {
  return Number(version.split(".")[1]);
}

function moduleOf(name: string, text: string): Module {
  const block = /^tool \(\n([^)]*)\)/m.exec(text)?.[1] ?? /^tool (.+)$/m.exec(text)?.[1] ?? "";
  const programs = block.split("\n").flatMap((line) => line.trim() || []);
  const source = [...text.matchAll(/^(?:require )?\s*(\S+) (v\S+)/gm)].find(([, path]) =>
    programs.every((program) => path !== undefined && program.startsWith(`${path}/`)),
  );
  const version = source?.[2];
  if (programs.length === 0 || version === undefined)
    throw new Error(`${name}/go.mod names no tool of a module that it requires`);
  return { name, version, programs, says: name.startsWith("kubernetes-") ? kubernetesSays(version) : [] };
}

/** As Kubernetes' own hack/lib/version.sh does for a source without git: the commit is unknown, and is not said. */
function kubernetesSays(version: string): string[] {
  const [major = "", minor = ""] = version.slice(1).split(".");
  const values = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: "archive", gitCommit: "" };
  return ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].flatMap((where) =>
    Object.entries(values).map(([key, value]) => `${where}.${key}=${value}`),
  );
}

/** The built program; throws where it is not: tests run where there is no network to build it from. */
export function program(module: string, name: string): string {
  const file = join(cacheFolder(), module, name);
  if (existsSync(file)) return file;
  throw new Error(`${relative(root, file)} is not there: npm run test:cluster builds it`);
}

/** Where the programs of this checkout's modules are, whether or not they have been built. */
function cacheFolder(): string {
  const made = JSON.stringify([
    goEnvironment,
    goFlags,
    ...modules().flatMap((module) => [
      module,
      ...["go.mod", "go.sum"].map((file) => readFileSync(join(toolsFolder, module.name, file), "utf8")),
    ]),
  ]);
  const { XDG_CACHE_HOME: shared } = process.env;
  const cache = shared ? join(shared, "home-cluster") : join(root, ".cache");
  return join(cache, `cluster-${createHash("sha256").update(made).digest("hex").slice(0, 16)}`);
}

/**
 * Builds what is not there yet, a line a program. Runs outside of the tier's namespace, since modules come from the network unless Go has them already.
 * Returns why it cannot be done here, if so; throws with Go's own words when a build fails.
 */
export async function buildTools(say: (line: string) => void): Promise<string | undefined> {
  const folder = cacheFolder();
  const missing = modules().flatMap((module) =>
    module.programs
      .filter((path) => !existsSync(join(folder, module.name, basename(path))))
      .map((path) => ({ module, path })),
  );
  if (missing.length > 0) {
    const tooOld = await olderGo();
    if (tooOld !== undefined) return tooOld;
    say(
      `cluster: building ${missing.length} programs into ${folder}, about 20 minutes on 2 cores when Go has cached nothing`,
    );
    mkdirSync(folder, { recursive: true });
    for (const { module, path } of missing) {
      const started = Date.now();
      await build(folder, module, path);
      say(`  ${basename(path)} ${module.version}: ${Math.round((Date.now() - started) / 1000)} s`);
    }
    removeUnused(folder);
  }
  utimesSync(folder, new Date(), new Date());
  return undefined;
}

/** What the modules' `go` line asks for, when the machine's Go is older. */
async function olderGo(): Promise<string | undefined> {
  const environment = { ...process.env, ...goEnvironment };
  for (const { name } of modules()) {
    const cwd = join(toolsFolder, name);
    const said = await new Promise<string | undefined>((resolve) =>
      execFile("go", ["list", "-m"], { cwd, env: environment }, (error, _, stderr) =>
        resolve(error ? stderr : undefined),
      ),
    );
    const older = said === undefined ? undefined : /requires go >= \S+ \(running go [^;)]+/.exec(said)?.[0];
    if (older !== undefined) return `tools/${name}/go.mod ${older})`;
  }
  return undefined;
}

/**
 * Under a lock, since checkouts may share the cache; whoever waited for it finds the program made. Its processes are in a namespace that ends with this
 * process: a killed `npm test` must not leave a compiler at work.
 */
async function build(folder: string, { name, says }: Module, path: string): Promise<void> {
  const file = join(folder, name, basename(path));
  const linker = ["-s", "-w", ...says.map((value) => `-X ${value}`)].join(" ");
  const go = ["go", "build", ...goFlags, "-ldflags", linker, "-o", `${file}.part`, path];
  const alone = ["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
  const script = 'file="$1"; shift; test -e "$file" || { "$@" && mv "$file.part" "$file"; }';
  mkdirSync(join(folder, name), { recursive: true });
  const child = spawn(
    "setpriv",
    [...alone, "flock", join(folder, "lock"), "nice", "sh", "-c", script, "sh", file, ...go],
    { cwd: join(toolsFolder, name), env: { ...process.env, ...goEnvironment }, stdio: ["ignore", "ignore", "pipe"] },
  );
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  if (code === 0) return;
  const lines = said.split("\n").filter((line) => !/^go: downloading /.test(line));
  throw new Error(`${path} was not built (go: exit ${String(code)})\n${lines.slice(-40).join("\n").trim()}`);
}

/** Those of other versions of this checkout, or of other checkouts that share the cache. */
function removeUnused(used: string): void {
  const cache = join(used, "..");
  const old = Date.now() - keptDays * 24 * 3600 * 1000;
  for (const name of readdirSync(cache).filter((entry) => /^cluster-[0-9a-f]{16}$/.test(entry))) {
    if (name !== basename(used) && statSync(join(cache, name)).mtimeMs < old)
      rmSync(join(cache, name), { recursive: true });
  }
}
