import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What `LoopMounts` uses. */
export const loopPrograms = ["mount", "mkfs.ext4"];

/** Why no file system can be mounted from a file here; undefined when one can. Only meant where mounts are private (`isolated`). */
export function cannotMount(folder: string): string | undefined {
  try {
    new LoopMounts(folder, 16).make("probe");
    return undefined;
  } catch (error) {
    return `needs a loop device to mount a file system from a file: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
  }
}

/** File systems of their own, each in a file. They go with the mount namespace that they were made in. */
export class LoopMounts {
  constructor(
    private readonly folder: string,
    private readonly mebibytes: number,
  ) {}

  /** Where it is mounted, empty but for lost+found. Made anew if it was there. */
  make(name: string, mebibytes = this.mebibytes): string {
    const [image, mounted] = [join(this.folder, `${name}.img`), join(this.folder, name)];
    if (existsSync(mounted)) execFileSync("umount", [mounted]);
    else mkdirSync(mounted, { recursive: true });
    if (!existsSync(image)) writeFileSync(image, "");
    truncateSync(image, mebibytes * 2 ** 20);
    // Otherwise the kernel goes on making it in the background, while it is used.
    const made = spawnSync("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=0", image], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(`mkfs.ext4: ${made.stderr}`);
    const mount = spawnSync("mount", ["-o", "loop", image, mounted], { encoding: "utf8" });
    if (mount.status !== 0) throw new Error(mount.stderr.trim());
    return mounted;
  }
}
