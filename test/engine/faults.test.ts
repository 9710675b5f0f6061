import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { isolated } from "../support/namespace";
import type { Survived } from "./lab/sweep";

/** Seconds for the whole sweep: some two hundred points, each an `up` or two. */
const bound = 60 * 60;

describe("nodes on the real engine, with one thing going wrong in each up (faults that come together are not tried)", () => {
  it("after each fault the documented commands, and no others, reach the same state: no machine twice, none lost, no stranger touched", async function () {
    this.timeout(bound * 1000);
    const results: Survived[] = [];
    const tried = (some: readonly Survived[]): number => some.reduce((sum, { points }) => sum + points, 0);
    const count = availableParallelism();
    await Promise.all(
      Array.from({ length: count }, (_, index) =>
        share(index, count, (survived) => {
          results.push(survived);
          const { trouble, problem } = survived;
          if (problem !== undefined) process.stdout.write(`      not survived: ${trouble}: ${problem}\n`);
          if (results.length % 10 === 0)
            process.stdout.write(`      ${tried(results)} points tried, the last: ${trouble}\n`);
        }),
      ),
    );
    const lost = results.filter(({ problem }) => problem !== undefined);
    process.stdout.write(`      ${tried(results)} points tried, ${tried(results) - tried(lost)} survived\n`);
    const ways = new Map<string, number>();
    for (const { commands, points } of results)
      ways.set(commands.join(", "), (ways.get(commands.join(", ")) ?? 0) + points);
    for (const [commands, times] of ways) process.stdout.write(`      ${times} × ${commands}\n`);
    assert.deepEqual(lost, []);
    assert.ok(results.length > 0);
  });
});

/** One worker in a namespace of its own: addresses are the same in each. */
async function share(index: number, count: number, each: (survived: Survived) => void): Promise<void> {
  const scratch = join(mkdtempSync(join(tmpdir(), "sweep-")), "tmp");
  mkdirSync(scratch);
  const register = join(__dirname, "..", "register.js");
  const worker = join(__dirname, "lab", "sweep-worker.ts");
  const [program = "", ...args] = isolated(
    [process.execPath, "-r", register, worker, String(index), String(count)],
    scratch,
  );
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  for await (const line of createInterface(child.stdout)) {
    each(JSON.parse(line) as Survived);
  }
  assert.equal(await ended, 0, errors);
}
