import assert from "node:assert/strict";
import { NotYet, waitFor } from "../../../operations/poll";
import { Refusal } from "../../../operations/refusal";
import { VirtualClock } from "../../../rehearsal/home/clock";

const wait = { what: "node debian-1 is Ready", timeoutSeconds: 60, next: "pulumi up" };
const start = 1_000_000;

/** Runs `waitFor` and returns its answer or refusal with the seconds that passed and the times of its looks. */
async function run<T>(
  options: Partial<typeof wait> & { readonly everySeconds?: number; readonly firstSeconds?: number },
  probe: (look: number) => Promise<T | undefined>,
): Promise<{ answer: T | undefined; error: unknown; seconds: number; looks: number[] }> {
  const clock = new VirtualClock(start);
  const looks: number[] = [];
  const [answer, error] = await waitFor(clock, { ...wait, ...options }, () => {
    looks.push((clock.now() - start) / 1000);
    return probe(looks.length);
  }).then(
    (value) => [value, undefined] as const,
    (reason: unknown) => [undefined, reason] as const,
  );
  return { answer, error, seconds: (clock.now() - start) / 1000, looks };
}

describe("waitFor (on virtual time: does not prove that the real clock sleeps)", () => {
  it("returns at once what is there at once, without sleeping", async () => {
    assert.deepEqual(await run({}, async () => "there"), { answer: "there", error: undefined, seconds: 0, looks: [0] });
  });

  it("looks every 5 seconds unless told otherwise, and stops at the first answer", async () => {
    const { answer, looks } = await run({}, async (look) => (look === 4 ? "there" : undefined));
    assert.deepEqual([answer, looks], ["there", [0, 5, 10, 15]]);
  });

  it("looks as often as it is told", async () => {
    const { looks } = await run({ everySeconds: 20 }, async (look) => (look === 3 ? "there" : undefined));
    assert.deepEqual(looks, [0, 20, 40]);
  });

  it("looks soon where it is told so, later a twentieth of the time so far apart, and never less often than it is told", async () => {
    const { looks } = await run({ timeoutSeconds: 600, everySeconds: 5, firstSeconds: 1 }, async () => undefined);
    assert.deepEqual(looks.slice(0, 4), [0, 1, 2, 3]);
    const gaps = looks.slice(1).map((at, index) => at - (looks[index] ?? 0));
    for (const [index, gap] of gaps.entries())
      assert.ok(Math.abs(gap - Math.min(5, Math.max(1, (looks[index] ?? 0) / 20))) < 0.01, `${looks[index]} s: ${gap}`);
    assert.deepEqual([gaps[0], gaps.at(-1)], [1, 5]);
  });

  for (const answer of [false, 0, "", null]) {
    it(`takes ${JSON.stringify(answer)} as an answer: only undefined means not yet`, async () => {
      assert.deepEqual((await run<unknown>({}, async () => answer)).answer, answer);
    });
  }

  it("still takes an answer that comes exactly when the time is up", async () => {
    const { answer, seconds } = await run({ everySeconds: 30 }, async (look) => (look === 3 ? "late" : undefined));
    assert.deepEqual([answer, seconds], ["late", 60]);
  });

  it("refuses after its time with what it waited for, what it last saw and the next command", async () => {
    const { error, looks } = await run({ everySeconds: 30 }, async (look) => {
      throw new NotYet(`condition Ready is False (look ${look})`);
    });
    assert.ok(error instanceof Refusal);
    assert.deepEqual(error.parts, {
      what: "node debian-1 is Ready: not within 60 s",
      why: "last seen: condition Ready is False (look 3)",
      next: "pulumi up",
    });
    assert.deepEqual(looks, [0, 30, 60]);
  });

  it("says so when no look ever gave a reason", async () => {
    const { error } = await run({}, async () => undefined);
    assert.ok(error instanceof Refusal);
    assert.equal(error.parts.why, "last seen: it never came about");
  });

  it("looks once even with no time at all", async () => {
    const { error, looks } = await run({ timeoutSeconds: 0 }, async () => undefined);
    assert.ok(error instanceof Refusal);
    assert.deepEqual(looks, [0]);
  });

  it("passes on any other error at once: only NotYet is waited out", async () => {
    const broken = new Error("403 Forbidden");
    const { error, looks } = await run({}, async () => Promise.reject(broken));
    assert.equal(error, broken);
    assert.deepEqual(looks, [0]);
  });
});
