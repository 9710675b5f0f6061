import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goEnvironment } from "../cluster/lab/build";
import { cannotIsolate, isolated, namespacePrograms } from "../support/namespace";
import { missingPrograms } from "../support/needs";

/** Copy, stop window and verification against what people use, on two file systems of their own. False above a bar, or where it cannot run. */
export async function migration(): Promise<boolean> {
  const programs = [...namespacePrograms, "rsync", "busybox", "python3", "mkfs.ext4", "go"];
  const missing = missingPrograms(programs) ?? cannotIsolate();
  if (missing !== undefined) {
    process.stderr.write(`bench migration: cannot run, ${missing}\n`);
    return false;
  }
  // On a disk and not in memory, where nothing would ever have to be waited for; some 20 GiB.
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-bench-"));
  try {
    const slowSource = join(folder, "slow-source");
    execFileSync("go", ["build", "-trimpath", "-o", slowSource, "."], {
      cwd: join(__dirname, "slow-source"),
      env: { ...process.env, ...goEnvironment },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const scratch = join(folder, "tmp");
    mkdirSync(scratch);
    const inside = ["-r", join(__dirname, "..", "register.js"), join(__dirname, "migration-inside.ts"), folder];
    const [program = "", ...args] = isolated([process.execPath, ...inside], scratch);
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    return (await new Promise<number | null>((resolve) => child.once("close", resolve))) === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
