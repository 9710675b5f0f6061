import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { goEnvironment } from "../cluster/lab/build";
import { root } from "./environment";
import { missingPrograms } from "./needs";

/**
 * The two that read workflows, fetched from their registries into .cache when a test wants them, at a version and checksum that stand here: actionlint as Go
 * source, zizmor as the wheel of PyPI (x86_64's alone).
 */
export interface Linter {
  readonly name: "actionlint" | "zizmor";
  /** Its path, or why there is none. */
  readonly program: () => { readonly path: string } | { readonly missing: string };
  readonly arguments: readonly string[];
}

const zizmor = {
  requirement: "zizmor==1.32.0",
  wheel: "zizmor-1.32.0-py3-none-manylinux_2_28_x86_64.whl",
  sha256: "84a6acb975accc13408786a2bd274b572537ca19c933ebbc13e78f3988562071",
  program: "zizmor-1.32.0.data/scripts/zizmor",
};

const actionlintFolder = join(root, "test", "actionlint");

export const linters: readonly Linter[] = [
  // shellcheck reads the scripts in the workflows; it is on test/packages.txt.
  { name: "actionlint", program: actionlint, arguments: ["-no-color", "-shellcheck=shellcheck", "-pyflakes="] },
  // Offline: whether a digest is a tag of the action's own is not asked.
  {
    name: "zizmor",
    program: fetchZizmor,
    arguments: ["--offline", "--no-progress", "--persona=pedantic", "--color=never"],
  },
];

/** What a linter says of a checkout's .github. */
export function lint(
  { name, arguments: args }: Linter,
  path: string,
  checkout: string,
): { code: number | null; said: string } {
  const files = name === "zizmor" ? [".github"] : [];
  const { status, stdout, stderr } = spawnSync(path, [...args, ...files], { cwd: checkout, encoding: "utf8" });
  return { code: status, said: `${stdout}${stderr}` };
}

function actionlint(): ReturnType<Linter["program"]> {
  const files = ["go.mod", "go.sum"].map((name) => readFileSync(join(actionlintFolder, name), "utf8"));
  const pinned = createHash("sha256").update(files.join()).digest("hex").slice(0, 16);
  return cached(
    join(root, ".cache", `actionlint-${pinned}`, "actionlint"),
    ["go", "shellcheck"],
    "the Go module proxy",
    (part) =>
      run("go", ["build", "-trimpath", "-o", part, "github.com/rhysd/actionlint/cmd/actionlint"], actionlintFolder),
  );
}

function fetchZizmor(): ReturnType<Linter["program"]> {
  if (process.arch !== "x64" || process.platform !== "linux")
    return { missing: `${zizmor.requirement} is pinned for Linux on x86_64` };
  return cached(join(root, ".cache", "zizmor-1.32.0", "zizmor"), ["pip3", "python3"], "PyPI", (part) => {
    const folder = mkdtempSync(join(tmpdir(), "zizmor-"));
    try {
      writeFileSync(join(folder, "wanted"), `${zizmor.requirement} --hash=sha256:${zizmor.sha256}\n`);
      const quick = ["--disable-pip-version-check", "--timeout", "10", "--retries", "1"];
      run(
        "pip3",
        ["download", ...quick, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", "wanted"],
        folder,
      );
      run("python3", ["-m", "zipfile", "-e", zizmor.wheel, "all"], folder);
      copyFileSync(join(folder, "all", zizmor.program), part);
      chmodSync(part, 0o755);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

function run(program: string, args: readonly string[], cwd: string): void {
  execFileSync(program, args, {
    cwd,
    env: { ...process.env, ...goEnvironment },
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 240_000,
  });
}

/** Renamed when it is whole, so that a run beside this one never starts half of it. */
function cached(
  path: string,
  programs: readonly string[],
  source: string,
  make: (part: string) => void,
): ReturnType<Linter["program"]> {
  const missing = missingPrograms(programs);
  if (missing !== undefined) return { missing };
  if (existsSync(path)) return { path };
  const part = `${path}.${process.pid}`;
  mkdirSync(dirname(path), { recursive: true });
  try {
    make(part);
  } catch (error) {
    rmSync(part, { force: true });
    const { stderr } = error as { readonly stderr?: Buffer };
    const said = (stderr?.toString() ?? String(error)).trim().split("\n").at(-1);
    return { missing: `not in .cache, and could not be had from ${source}: ${said}` };
  }
  renameSync(part, path);
  return { path };
}
