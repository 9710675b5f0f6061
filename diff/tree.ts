import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { recordingVersion, type Recording } from "./format";
import type { Commit, Repository } from "./git";
import { isInstalled, lockKey, packagesOf } from "./packages";
import { SideFailure } from "./side";

/** A side as a folder that can be recorded. */
export interface Tree {
  readonly folder: string;
  /** Whose recorder is in it: its own, or, where it has none of this version, ours. */
  readonly recorder: "own" | "ours";
  /** Where its recording is kept; undefined for a working tree, which changes under its name. */
  readonly recording: string | undefined;
}

/** Trees and recordings that are kept, besides the one in use. */
const kept = 20;

/** Files of the recorder beside `diff/` that an older tree gets, too. None of them is part of the program that it records. */
const recorderFiles = ["rehearsal/record.ts", "rehearsal/stand-ins.ts", "rehearsal/verb.ts"];

/** The working tree itself, or a commit extracted once, with its own packages. */
export async function treeOf(
  repository: Repository,
  commit: Commit,
  cache: string,
  say: (line: string) => void,
): Promise<Tree> {
  const checkout = repository.folder;
  if (commit === undefined) {
    if (!isInstalled(join(checkout, "package-lock.json"), join(checkout, "node_modules")))
      throw new SideFailure("the working tree: node_modules is not what package-lock.json asks for: run `npm ci`");
    return { folder: checkout, recorder: "own", recording: undefined };
  }
  const own = recordedVersion(await repository.file(commit, "diff/format.ts")) === recordingVersion;
  const name = `${commit}-${own ? "own" : recorderKey(checkout)}`;
  const folder = join(cache, "trees", name);
  if (!existsSync(folder)) {
    mkdirSync(join(cache, "trees"), { recursive: true });
    const making = mkdtempSync(join(cache, "trees", "making-"));
    try {
      await repository.extract(commit, making);
      if (!own) lend(checkout, making);
      symlinkSync(await packagesOf(making, checkout, cache, say), join(making, "node_modules"));
      renameSync(making, folder);
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
    forgetOld(join(cache, "trees"));
  }
  // Used now, so that it is not the next one to be forgotten.
  utimesSync(folder, new Date(), new Date());
  const recording = join(cache, "recordings", `${name}-${lockKey(folder)}-${process.version}.json`);
  return { folder, recorder: own ? "own" : "ours", recording };
}

/** A kept recording; undefined where there is none, or none that can be read. */
export function keptRecording({ recording }: Tree): Recording | undefined {
  if (recording === undefined || !existsSync(recording)) return undefined;
  try {
    const read = JSON.parse(readFileSync(recording, "utf8")) as Recording;
    return read.version === recordingVersion ? read : undefined;
  } catch {
    return undefined;
  }
}

/** Kept only where every layer came to its end: what failed may have failed for a reason outside of the tree. */
export function keepRecording({ recording: path }: Tree, recording: Recording): void {
  if (path === undefined || recording.layers.some(({ error }) => error !== undefined)) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, JSON.stringify(recording));
  renameSync(`${path}.tmp`, path);
  forgetOld(dirname(path));
}

function recordedVersion(format: string | undefined): number | undefined {
  const [, version] = /recordingVersion = (\d+)/.exec(format ?? "") ?? [];
  return version === undefined ? undefined : Number(version);
}

/** Gives a tree our recorder. What registers resources stays the tree's own: its program, its environments and its packages. */
function lend(checkout: string, tree: string): void {
  if (!existsSync(join(tree, "index.ts")) || !existsSync(join(tree, "transpile.js")))
    throw new SideFailure(
      "is older than this command and cannot be recorded: it has no program that this recorder could run",
    );
  rmSync(join(tree, "diff"), { recursive: true, force: true });
  cpSync(join(checkout, "diff"), join(tree, "diff"), { recursive: true });
  mkdirSync(join(tree, "rehearsal"), { recursive: true });
  for (const file of recorderFiles) copyFileSync(join(checkout, file), join(tree, file));
}

function recorderKey(checkout: string): string {
  const files = readdirSync(join(checkout, "diff"), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(ts|js)$/.test(file))
    .map((file) => join("diff", file))
    .sort();
  const hash = createHash("sha256");
  for (const file of [...files, ...recorderFiles]) hash.update(file).update(readFileSync(join(checkout, file)));
  return hash.digest("hex").slice(0, 12);
}

function forgetOld(folder: string): void {
  const byAge = readdirSync(folder)
    .map((name) => ({ name, used: statSync(join(folder, name)).mtimeMs, half: /^making-|\.tmp$/.test(name) }))
    .sort((a, b) => b.used - a.used);
  const old = byAge.filter(({ half }) => !half).slice(kept);
  // Left by a run that was ended; an hour, since another one may be at it.
  const left = byAge.filter(({ half, used }) => half && used < Date.now() - 3_600_000);
  for (const { name } of [...old, ...left]) rmSync(join(folder, name), { recursive: true, force: true });
}
