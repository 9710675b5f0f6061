import { environmentNames } from "../environment/links";
import { evaluationFailures, pairStacks, stackChanges, summarize } from "./compare";
import { addedAcknowledgements } from "./danger/acknowledge";
import { findDangers } from "./danger/rules";
import type { Plan, Recording } from "./format";
import { Repository, type Commit } from "./git";
import { reportVersion, type Report, type SideName } from "./report";
import { changedTexts, encryptedFiles, secretChanges } from "./secrets";
import { SideFailure, startSide } from "./side";
import { keepRecording, keptRecording, treeOf, type Tree } from "./tree";

export interface DiffOptions {
  readonly checkout: string;
  /** Where trees, packages and recordings are kept. */
  readonly cache: string;
  readonly base: string;
  /** undefined: the working tree. */
  readonly head: string | undefined;
  /** Takes a line of progress. */
  readonly say: (line: string) => void;
}

/** Compares two sides of this repository, whole. A side that does not evaluate is in the report's failures. */
export async function diff(options: DiffOptions): Promise<Report> {
  const repository = new Repository(options.checkout);
  const base: SideName = { ref: options.base, commit: await repository.commit(options.base) };
  const head: SideName = {
    ref: options.head ?? "the working tree",
    commit: options.head === undefined ? undefined : await repository.commit(options.head),
  };
  const empty: Report = {
    version: reportVersion,
    base,
    head,
    failures: [],
    notes: [],
    stacks: [],
    secrets: { changes: [], encryptedAnew: [] },
    dangers: [],
    summary: summarize([], []),
  };
  const trees = await bothTrees(repository, base, head, options);
  if ("failure" in trees) return { ...empty, failures: [trees.failure] };

  const read = (commit: Commit) => (path: string) => repository.file(commit, path);
  const secrets = secretChanges(
    await encryptedFiles(environmentNames(trees.base.folder), read(base.commit)),
    await encryptedFiles(environmentNames(trees.head.folder), read(head.commit)),
  );
  const recorded = await recordBoth(trees.base, trees.head, changedTexts(secrets));
  if ("failure" in recorded) return { ...empty, failures: [recorded.failure] };
  const { baseRecording, headRecording, plan } = recorded;
  const compared = pairStacks(baseRecording, headRecording, plan);
  const stacks = stackChanges(compared, baseRecording, headRecording);
  const dangers = findDangers(compared, await addedAcknowledgements(repository, base.commit ?? "", head.commit));
  return {
    ...empty,
    failures: evaluationFailures(baseRecording, headRecording, plan),
    notes: notes(trees),
    stacks,
    secrets,
    dangers,
    summary: summarize(stacks, dangers),
  };
}

type Trees = { readonly base: Tree; readonly head: Tree };

async function bothTrees(
  repository: Repository,
  base: SideName,
  head: SideName,
  { cache, say }: DiffOptions,
): Promise<Trees | { readonly failure: Report["failures"][number] }> {
  const trees: Tree[] = [];
  for (const [side, name] of [["base", base] as const, ["head", head] as const]) {
    try {
      trees.push(await treeOf(repository, name.commit, cache, (line) => say(`${side}: ${line}`)));
    } catch (error) {
      if (error instanceof SideFailure) return { failure: { side, stack: undefined, message: error.message } };
      throw error;
    }
  }
  const [one, other] = trees;
  if (!one || !other) throw new Error("two sides have two trees");
  return { base: one, head: other };
}

interface Recorded {
  readonly baseRecording: Recording;
  readonly headRecording: Recording;
  readonly plan: Plan;
}

/** Both at once: each side is a process of its own, and most of its time is loading the program. */
async function recordBoth(
  base: Tree,
  head: Tree,
  secretTexts: ReturnType<typeof changedTexts>,
): Promise<Recorded | { readonly failure: Report["failures"][number] }> {
  const headSide = startSide("head", head.folder);
  const record = async (): Promise<Recording> => {
    const kept = keptRecording(base);
    if (kept) return kept;
    const side = startSide("base", base.folder);
    try {
      const recording = await side.record({});
      keepRecording(base, recording);
      return recording;
    } finally {
      side.end();
    }
  };
  const failing = (side: "base" | "head") => (error: unknown) => {
    if (!(error instanceof SideFailure)) throw error;
    const older = side === "base" && base.recorder === "ours" ? " (older than this command, recorded by ours)" : "";
    return { failure: { side, stack: undefined, message: `${error.message}${older}` } };
  };
  try {
    const [one, other] = await Promise.all([
      record().catch(failing("base")),
      headSide.record(secretTexts).catch(failing("head")),
    ]);
    if ("failure" in one) return one;
    if ("failure" in other) return other;
    const plan = await headSide.plan(one).catch(failing("head"));
    return "failure" in plan ? plan : { baseRecording: one, headRecording: other, plan };
  } finally {
    headSide.end();
  }
}

function notes({ base, head }: Trees): readonly string[] {
  return (["base", "head"] as const)
    .filter((side) => ({ base, head })[side].recorder === "ours")
    .map(
      (side) => `the ${side} has no recorder of its own in this version: its program was recorded with this checkout's`,
    );
}
