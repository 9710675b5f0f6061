import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { buildTools } from "../test/cluster/lab/build";
import { fetchCrds } from "../test/cluster/lab/crds";
import { cannotIsolate, isolated, namespacePrograms } from "../test/support/namespace";
import { missingPrograms } from "../test/support/needs";
import type { Summary } from "../test/support/summary";
import { checkout, type Surroundings } from "./validate";

/** A group of tests with needs of its own. */
export interface Tier {
  readonly name: string;
  /** What mocha runs, relative to the checkout; undefined while the tier is not built. */
  readonly spec: string | undefined;
  /** Why it cannot run, beside missing programs; undefined when it can. */
  readonly cannot?: string;
  /** Programs that must be on PATH. */
  readonly programs: readonly string[];
  /** For one test, in seconds. */
  readonly timeout: number;
  /** mocha's reporter: a dot per test, or its title where a test takes long. */
  readonly shows: "dot" | "spec";
  /**
   * What has to be there before mocha starts, made outside of the tier's namespace; `say` takes a line of progress. Returns why the tier cannot run, if so.
   * What it throws counts as one failure.
   */
  readonly prepare?: (say: (line: string) => void) => Promise<string | undefined>;
  /** Runs in namespaces of its own: its addresses exist nowhere else, and nothing that it started outlives it. Default false. */
  readonly isolated?: boolean;
  /** How many mocha processes share the files. Default 1: tests of the tier share something outside of their process. */
  readonly jobs?: number;
}

/** In the order in which `npm test` runs them. A new tier is an entry here and a folder under test/. */
export const tiers: readonly Tier[] = [
  {
    name: "offline",
    spec: "test/unit/**/*.test.ts",
    programs: [],
    timeout: 60,
    shows: "dot",
    jobs: availableParallelism(),
  },
  {
    name: "cluster",
    spec: "test/cluster/**/*.test.ts",
    prepare: async (say) => (await buildTools(say)) ?? (await fetchCrds()),
    isolated: true,
    // nice and sh are on every Debian.
    programs: ["go", "etcd", "openssl", "flock"],
    timeout: 180,
    shows: "spec",
  },
  {
    name: "engine",
    spec: "test/engine/**/*.test.ts",
    isolated: true,
    programs: [
      "sshd",
      "pulumi",
      "pulumi-language-nodejs",
      ...["command", "kubernetes", "random", "proxmoxve"].map((name) => `pulumi-resource-${name}`),
    ],
    timeout: 600,
    shows: "spec",
  },
  {
    // Real file systems: the copy and the verification of a volume.
    name: "files",
    spec: "test/files/**/*.test.ts",
    isolated: true,
    programs: ["busybox", "e2fsck", "mkfs.ext4", "python3", "resize2fs", "rsync", "umount"],
    timeout: 600,
    shows: "spec",
  },
  {
    name: "machine",
    ...(process.getuid?.() === 0
      ? { spec: "test/machine/**/*.test.ts" }
      : { spec: undefined, cannot: "skipped, needs root, for debootstrap and for namespaces with network cards" }),
    programs: [
      ...["qemu-system-x86_64", "qemu-img", "apt-get", "debootstrap", "sfdisk", "mkfs.ext4", "xorriso"],
      ...["ssh", "ssh-keygen", "ssh-keyscan", "ip", "sysctl", "unshare", "nsenter", "flock"],
    ],
    // The longest is an installation of forty packages on a processor that is a program.
    timeout: 2400,
    shows: "spec",
  },
];

/**
 * `npm test`, and with names of tiers those alone. A tier that cannot run says why in one line and counts nothing; the last line is the sum over all that
 * ran. Exit 0: nothing failed; 1: something did; 2: wrong usage.
 */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  known: readonly Tier[] = tiers,
  mochaOutput: "inherit" | "ignore" = "inherit",
): Promise<number> {
  const chosen = args.length === 0 ? known : known.filter(({ name }) => args.includes(name));
  if (chosen.length < new Set(args).size) {
    where.error(
      `usage: npm test, or some tiers: node commands/run test [${known.map(({ name }) => name).join(" | ")} …]`,
    );
    return 2;
  }
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const tier of chosen) {
    const missing = tier.spec === undefined ? undefined : lacks(tier);
    if (tier.spec === undefined || missing !== undefined) {
      where.out(`${tier.name}: ${missing === undefined ? (tier.cannot ?? "") : `skipped, ${missing}`}`);
      continue;
    }
    try {
      const cannot = await tier.prepare?.(where.out);
      if (cannot !== undefined) {
        where.out(`${tier.name}: skipped, ${cannot}`);
        continue;
      }
    } catch (error) {
      where.error(`${tier.name}: ${error instanceof Error ? error.message : String(error)}`);
      where.out(`${tier.name}: ${counts(0, 1, 0)}`);
      sum.failed += 1;
      continue;
    }
    const jobs = tier.jobs ?? 1;
    const shares = divide(tier.spec, jobs, where.folder);
    const { passed, failed, failures, skipped } = add(
      await inTurn(shares, jobs, (files) => run(tier, files, where, mochaOutput)),
    );
    where.out(`${tier.name}: ${counts(passed, failed, skipped.length)}`);
    for (const { title, message } of failures) where.out(`  failed: ${title}: ${message}`);
    for (const line of reasons(skipped)) where.out(line);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped.length;
  }
  where.out(counts(sum.passed, sum.failed, sum.skipped));
  return sum.failed === 0 ? 0 : 1;
}

/** Why the tier cannot run here; undefined when it can. */
export function lacks({ programs, isolated: apart = false }: Pick<Tier, "programs" | "isolated">): string | undefined {
  return missingPrograms([...programs, ...(apart ? namespacePrograms : [])]) ?? (apart ? cannotIsolate() : undefined);
}

function counts(passed: number, failed: number, skipped: number): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** One line a reason, with the tests that it kept from running. */
function reasons(skipped: Summary["skipped"]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { title, reason } of skipped) byReason.set(reason, [...(byReason.get(reason) ?? []), title]);
  return [...byReason].map(([reason, titles]) => {
    const more = titles.length > 1 ? ` and ${titles.length - 1} more` : "";
    return `  skipped, ${reason}: ${titles[0]}${more}`;
  });
}

/** Runs every share, as many at a time as there are jobs. */
async function inTurn<T, R>(shares: readonly T[], jobs: number, run: (share: T) => Promise<R>): Promise<R[]> {
  const waiting = [...shares];
  const results: R[] = [];
  const job = async (): Promise<void> => {
    for (let share = waiting.shift(); share !== undefined; share = waiting.shift()) results.push(await run(share));
  };
  await Promise.all(Array.from({ length: jobs }, job));
  return results;
}

/**
 * The files of a glob in twice as many shares as jobs, since a file's size only hints at its time: the larger files first, each to the share that has least.
 * Processes of our own and not mocha's parallel mode, which loses why a test was skipped. Without jobs to share it is the glob itself.
 */
function divide(spec: string, jobs: number, folder: string): readonly (readonly string[])[] {
  const [top = "", pattern = ""] = spec.split("/**/*");
  if (jobs < 2 || pattern === "") return [[spec]];
  const files = readdirSync(join(folder, top), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(pattern))
    .map((file) => ({ file: join(top, file), size: statSync(join(folder, top, file)).size }))
    .sort((a, b) => b.size - a.size);
  const shares = Array.from({ length: Math.min(jobs * 2, files.length) }, () => ({ size: 0, files: [] as string[] }));
  for (const { file, size } of files) {
    const least = shares.reduce((a, b) => (b.size < a.size ? b : a));
    least.files.push(file);
    least.size += size;
  }
  return shares.length === 0 ? [[spec]] : shares.map((share) => share.files);
}

function add(summaries: readonly Summary[]): Summary {
  return {
    passed: summaries.reduce((sum, { passed }) => sum + passed, 0),
    failed: summaries.reduce((sum, { failed }) => sum + failed, 0),
    failures: summaries.flatMap(({ failures }) => failures),
    skipped: summaries.flatMap(({ skipped }) => skipped),
  };
}

/** mocha in a process of its own, so that a crash or a hanging handle of one tier leaves the others and this command alone. */
async function run(
  tier: Tier,
  files: readonly string[],
  where: Surroundings,
  output: "inherit" | "ignore",
): Promise<Summary> {
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-test-"));
  try {
    const summary = join(folder, "summary.json");
    const options = [
      // Not .mocharc.json: mocha would add its files to those given here.
      "--no-config",
      ...["--require", "test/register.js", "--forbid-only", "--timeout", String(tier.timeout * 1000)],
      ...["--reporter", join(__dirname, "..", "test", "support", "summary.ts")],
      ...["--reporter-option", `shows=${tier.shows}`, "--reporter-option", `summary=${summary}`],
    ];
    const mocha = join(__dirname, "..", "node_modules", "mocha", "bin", "mocha.js");
    const scratch = join(folder, "tmp");
    mkdirSync(scratch);
    const command = [process.execPath, mocha, ...options, ...files];
    const [program = "", ...args] = tier.isolated === true ? isolated(command, scratch) : command;
    const child = spawn(program, args, {
      cwd: where.folder,
      stdio: ["ignore", output, output],
    });
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (...ended) => resolve(ended));
    });
    const found = existsSync(summary) ? (JSON.parse(readFileSync(summary, "utf8")) as Summary) : undefined;
    if (found && found.failed > 0) return found;
    if (found && code === 0 && found.passed + found.skipped.length > 0) return found;
    // A file that does not load, a forbidden `only`, a crash, no test at all: mocha counts none of these.
    where.error(
      `${tier.name}: mocha ended with ${signal ?? code} and reported neither a failure nor a whole run: counted as failed`,
    );
    return { passed: found?.passed ?? 0, failed: 1, failures: [], skipped: found?.skipped ?? [] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
