import { execFile, spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SideFailure } from "./side";

/** A commit, or the working tree as it stands (undefined). */
export type Commit = string | undefined;

/** The repository that the diff is of. */
export class Repository {
  constructor(readonly folder: string) {}

  /** The commit of a ref. Throws a SideFailure that names the ref. */
  async commit(ref: string): Promise<string> {
    try {
      return (await this.git("rev-parse", "--verify", "--quiet", "--end-of-options", `${ref}^{commit}`)).trim();
    } catch {
      throw new SideFailure(
        `${ref}: no commit of this repository has that name; in a shallow clone fetch it first: \`git fetch origin ${ref}\``,
      );
    }
  }

  /** A file's text; undefined where it is not there. */
  async file(at: Commit, path: string): Promise<string | undefined> {
    try {
      return at === undefined ? readFileSync(join(this.folder, path), "utf8") : await this.git("show", `${at}:${path}`);
    } catch {
      return undefined;
    }
  }

  /** Paths that differ, new files included; of the working tree also those that git does not know yet. */
  async changed(base: string, head: Commit): Promise<readonly string[]> {
    const differing = await this.git("diff", "--name-only", "--no-renames", "-z", base, ...(head ? [head] : []), "--");
    const unknown = head ? "" : await this.git("ls-files", "--others", "--exclude-standard", "-z");
    return `${differing}${unknown}`.split("\0").filter((path) => path !== "");
  }

  /** The files of a commit, links as links, into a folder. */
  async extract(commit: string, folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true });
    const archive = spawn("git", ["-C", this.folder, "archive", "--format=tar", commit], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const unpack = spawn("tar", ["-x", "-C", folder], { stdio: ["pipe", "ignore", "ignore"] });
    // What tar no longer wants shows in its exit code.
    unpack.stdin.on("error", () => undefined);
    archive.stdout.pipe(unpack.stdin);
    const codes = await Promise.all(
      [archive, unpack].map(
        (child) =>
          new Promise<number | null>((resolve) => child.once("close", resolve).once("error", () => resolve(-1))),
      ),
    );
    if (codes.some((code) => code !== 0))
      throw new SideFailure(`${commit}: git archive could not be unpacked with tar`);
  }

  private git(...args: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) =>
      execFile("git", ["-C", this.folder, ...args], { maxBuffer: 256 * 1024 * 1024 }, (error, stdout) =>
        error ? reject(new Error(`git ${args[0] ?? ""}: ${error.message}`)) : resolve(stdout),
      ),
    );
  }
}
