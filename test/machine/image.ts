import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { versions } from "../../versions";
import { root } from "../support/environment";
import { guestScripts } from "../support/nodes";
import { leash } from "./namespace";

/** What QEMU boots, read-only: machines write to a layer of their own. */
export interface Image {
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
  /** The kernel's. */
  readonly arguments: string;
  /** Debian's name for the release. */
  readonly release: string;
}

/** Days after which an image that nobody used goes, when another is built: what makes it changed since. */
const keptDays = 14;

/**
 * The Debian image, from the cache or built now (1 to 2 minutes, from the mirror that this machine's own apt uses), a line a step on standard error. The
 * release is the one that the program installs; HOME_CLUSTER_MACHINE_RELEASE names another. Needs root.
 */
export async function debianImage(): Promise<Image> {
  const release = process.env.HOME_CLUSTER_MACHINE_RELEASE ?? versions.debian.release;
  const script = join(__dirname, "image.sh");
  const packages = packagesOf(readFileSync(join(guestScripts, "provision.sh"), "utf8"));
  const made = JSON.stringify([readFileSync(script, "utf8"), release, packages]);
  const { XDG_CACHE_HOME: shared } = process.env;
  const cache = shared ? join(shared, "home-cluster") : join(root, ".cache");
  const folder = join(cache, `debian-${createHash("sha256").update(made).digest("hex").slice(0, 16)}`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(folder)) {
    await build(cache, [script, folder, `${folder}.${process.pid}.part`, release, ...packages]);
    removeUnused(cache);
  }
  utimesSync(folder, new Date(), new Date());
  return {
    disk: join(folder, "disk.raw"),
    kernel: join(folder, "kernel"),
    initrd: join(folder, "initrd"),
    arguments: readFileSync(join(folder, "arguments"), "utf8").trim(),
    release: readFileSync(join(folder, "release"), "utf8").trim(),
  };
}

/** Everything that provision.sh may install, for any distribution: read from it, so that a package added there is in the archive too. */
export function packagesOf(provisioning: string): string[] {
  const found = [...provisioning.matchAll(/\bpackages\+?=\(([^)]+)\)/g)].flatMap(([, names = ""]) => names.split(" "));
  if (found.length > 0) return found;
  throw new Error("provision.sh has no line packages=(...) any more");
}

/** Under a lock, since checkouts may share the cache; whoever waited for it finds the image made. */
async function build(cache: string, [script = "", folder = "", work = "", ...rest]: readonly string[]): Promise<void> {
  const child = spawn(
    "unshare",
    [
      ...["--mount", "--pid", "--fork", "--kill-child", "bash", leash, work],
      ...["flock", join(cache, "lock"), "bash", script, folder, work, ...rest],
    ],
    // Standard input stays open as long as this process lives; a terminal's Ctrl-C reaches this process only.
    { stdio: ["pipe", "ignore", "inherit"], detached: true },
  );
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("exit", resolve));
  if (code !== 0) throw new Error(`the Debian image was not built (exit ${String(code)}); what failed stands above`);
}

function removeUnused(cache: string): void {
  const old = Date.now() - keptDays * 24 * 3600 * 1000;
  for (const name of readdirSync(cache).filter((entry) => /^debian-[0-9a-f]{16}$/.test(entry))) {
    if (statSync(join(cache, name)).mtimeMs < old) rmSync(join(cache, name), { recursive: true });
  }
}
