import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseDocument, type Document } from "yaml";
import { evaluationFailures, pairStacks, stackChanges, type ComparedStack } from "../../diff/compare";
import type { Plan, Recording, SecretTexts } from "../../diff/format";
import { planSide, recordSide } from "../../diff/recorder/record-side";
import type { ResourceChange, StackChanges } from "../../diff/report";
import { root } from "./environment";
import { keepingWarnings } from "./warnings";

/** One edit of an environment file: a path below `config` and the new value; undefined takes it out. */
export type Edit = readonly [path: readonly (string | number)[], value: unknown];

/** The committed home environment with edits, as text. */
export function edited(edits: readonly Edit[], name: "home" | "lab" = "home"): string {
  return editedText(readFileSync(join(root, `Pulumi.${name}.yaml`), "utf8"), edits);
}

/** The same of any text. */
export function editedText(text: string, edits: readonly Edit[]): string {
  const document: Document = parseDocument(text);
  for (const [[section, ...rest], value] of edits) {
    const path = ["config", `home-cluster:${String(section)}`, ...rest];
    if (value === undefined) document.deleteIn(path);
    else document.setIn(path, value);
  }
  return document.toString({ lineWidth: 0 });
}

/** Both sides of a change to an environment file, recorded in this process with the program that it has loaded. */
export interface ComparedSides {
  readonly base: Recording;
  readonly head: Recording;
  readonly plan: Plan;
  readonly stacks: readonly StackChanges[];
  readonly compared: readonly ComparedStack[];
}

let baseRecording: Promise<Recording> | undefined;

/** The committed home environment against itself with edits. */
export async function compareHome(edits: readonly Edit[], secretTexts: SecretTexts = {}): Promise<ComparedSides> {
  baseRecording ??= recordText(edited([]), (folder) => recordSide(folder, {}));
  const base = await baseRecording;
  return recordText(edited(edits), async (folder) => {
    const head = await recordSide(folder, secretTexts);
    const plan = await planSide(folder, base, head, secretTexts);
    const [failure] = evaluationFailures(base, head, plan);
    if (failure) throw new Error(`${failure.stack}: ${failure.message}`);
    const compared = pairStacks(base, head, plan);
    return { base, head, plan, compared, stacks: stackChanges(compared, base, head) };
  });
}

/** Puts an environment file called home into a folder of its own, for as long as that is used. */
export async function recordText<T>(text: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-sides-"));
  try {
    writeFileSync(join(folder, "Pulumi.home.yaml"), text);
    return (await keepingWarnings(() => use(folder))).result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `name operation` of everything that changes, in any order; settings and order alone are `same`. */
export function named(stacks: readonly StackChanges[]): readonly string[] {
  return stacks
    .flatMap(({ stack, resources }) => resources.map(({ name, operation }) => `${stack} ${name} ${operation}`))
    .sort();
}

/** The one change of this name. */
export function changeOf(stacks: readonly StackChanges[], name: string): ResourceChange {
  const found = stacks.flatMap(({ resources }) => resources).filter((change) => change.name === name);
  const [change] = found;
  if (!change || found.length > 1) throw new Error(`${name}: ${found.length} changes, of ${named(stacks).join(", ")}`);
  return change;
}

/** A repository of its own with this checkout as its first commit, and the packages linked. */
export class TestRepository {
  readonly folder = mkdtempSync(join(tmpdir(), "home-cluster-repository-"));

  constructor() {
    const files = execFileSync("git", ["-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
      encoding: "utf8",
    }).split("\0");
    for (const file of files.filter((path) => path !== "" && !path.startsWith("test/"))) {
      mkdirSync(dirname(join(this.folder, file)), { recursive: true });
      cpSync(join(root, file), join(this.folder, file), { verbatimSymlinks: true });
    }
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
    writeFileSync(join(this.folder, ".gitignore"), "node_modules\n.cache/\n");
    this.git("init", "--quiet", "--initial-branch", "main");
    this.commit("base");
  }

  git(...args: readonly string[]): string {
    const identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
    return execFileSync("git", ["-C", this.folder, ...identity, ...args], { encoding: "utf8" }).trim();
  }

  /** Commits everything; returns the commit. */
  commit(message: string): string {
    this.git("add", "--all");
    this.git("commit", "--quiet", "--allow-empty", "--message", message);
    return this.git("rev-parse", "HEAD");
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), "utf8");
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
