import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lacks, tiers } from "../../commands/test";
import { isolated } from "../support/namespace";

/** Runs a file of this folder in namespaces of its own, with what tiers of the tests need. False when it exits otherwise than 0, or where it cannot run. */
export async function inside(bench: string, tierNames: readonly string[], file: string): Promise<boolean> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  for (const tier of tiers.filter(({ name }) => tierNames.includes(name))) {
    const missing = lacks(tier) ?? (await tier.prepare?.(say));
    if (missing !== undefined) {
      say(`bench ${bench}: cannot run, ${missing}`);
      return false;
    }
  }
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-bench-"));
  try {
    const scratch = join(folder, "tmp");
    mkdirSync(scratch);
    const command = [process.execPath, "-r", join(__dirname, "..", "register.js"), join(__dirname, file)];
    const [program = "", ...args] = isolated(command, scratch);
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    return (await new Promise<number | null>((resolve) => child.once("close", resolve))) === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
