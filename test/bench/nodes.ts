import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lacks, tiers } from "../../commands/test";
import { isolated } from "../support/namespace";

/** `up` of 30 nodes on the real engine, in namespaces of its own. False above the bar, or where it cannot run. */
export async function nodes(): Promise<boolean> {
  const engine = tiers.find(({ name }) => name === "engine");
  const missing = engine && lacks(engine);
  if (missing !== undefined) {
    process.stderr.write(`bench nodes: cannot run, ${missing}\n`);
    return false;
  }
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-bench-"));
  try {
    const scratch = join(folder, "tmp");
    mkdirSync(scratch);
    const inside = ["-r", join(__dirname, "..", "register.js"), join(__dirname, "nodes-inside.ts")];
    const [program = "", ...args] = isolated([process.execPath, ...inside], scratch);
    const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    return (await new Promise<number | null>((resolve) => child.once("close", resolve))) === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
