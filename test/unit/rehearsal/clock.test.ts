import assert from "node:assert/strict";
import { VirtualClock } from "../../../rehearsal/home/clock";

const start = Date.UTC(2026, 0, 1);

/** Sleeps several times and notes when it woke. */
async function sleeper(clock: VirtualClock, name: string, naps: readonly number[], woken: string[]): Promise<void> {
  for (const nap of naps) {
    await clock.sleep(nap);
    woken.push(`${name}@${clock.now() - start}`);
  }
}

describe("VirtualClock", () => {
  it("starts where it is told and stands still while nobody sleeps", async () => {
    const clock = new VirtualClock(start);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(clock.now(), start);
  });

  it("jumps to the end of a sleep, however long", async () => {
    const clock = new VirtualClock(start);
    await clock.sleep(30 * 24 * 3600 * 1000);
    assert.equal(clock.now() - start, 30 * 24 * 3600 * 1000);
  });

  it("wakes those who sleep at the same time in the order of their times, and lets each nap again in between", async () => {
    const clock = new VirtualClock(start);
    const woken: string[] = [];
    await Promise.all([sleeper(clock, "slow", [50, 50], woken), sleeper(clock, "quick", [20, 20, 20, 20, 20], woken)]);
    // Both wake at 100; slow asked for it first (at 50, quick at 80).
    assert.deepEqual(woken, ["quick@20", "quick@40", "slow@50", "quick@60", "quick@80", "slow@100", "quick@100"]);
    assert.equal(clock.now() - start, 100);
  });

  it("wakes those of one moment in the order in which they lay down", async () => {
    const clock = new VirtualClock(start);
    const woken: string[] = [];
    await Promise.all(["a", "b", "c"].map((name) => sleeper(clock, name, [10], woken)));
    assert.deepEqual(woken, ["a@10", "b@10", "c@10"]);
  });

  it("never goes back: a negative sleep is none", async () => {
    const clock = new VirtualClock(start);
    await clock.sleep(-5000);
    assert.equal(clock.now(), start);
  });

  it("lets whoever is awake go as far as it can before the next one wakes", async () => {
    const clock = new VirtualClock(start);
    const seen: string[] = [];
    const long = clock.sleep(1000).then(() => seen.push("woken"));
    await clock.sleep(10);
    for (let step = 0; step < 100; step += 1) await Promise.resolve();
    seen.push("a hundred steps");
    await clock.sleep(10);
    seen.push(`at ${clock.now() - start}`);
    await long;
    assert.deepEqual(seen, ["a hundred steps", "at 20", "woken"]);
  });

  it("is idle at once when nobody sleeps", async () => {
    const clock = new VirtualClock(start);
    await clock.idle();
    assert.equal(clock.now(), start);
  });

  it("is idle only after everything started in the background has happened, what that starts included", async () => {
    const clock = new VirtualClock(start);
    const woken: string[] = [];
    void sleeper(clock, "outer", [10, 10], woken).then(() => sleeper(clock, "inner", [1000], woken));
    await clock.idle();
    assert.deepEqual(woken, ["outer@10", "outer@20", "inner@1020"]);
  });

  it("gives the same order in every run", async () => {
    const runs = await Promise.all(
      [0, 1, 2].map(async () => {
        const clock = new VirtualClock(start);
        const woken: string[] = [];
        await Promise.all([7, 3, 5, 3].map((nap, index) => sleeper(clock, `s${index}`, [nap, nap, nap], woken)));
        return woken;
      }),
    );
    assert.deepEqual(runs[1], runs[0]);
    assert.deepEqual(runs[2], runs[0]);
  });
});
