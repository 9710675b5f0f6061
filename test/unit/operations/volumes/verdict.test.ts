import assert from "node:assert/strict";
import fc from "fast-check";
import type { Comparison, Consumer } from "../../../../operations/volumes/ledger";
import { judge } from "../../../../operations/volumes/verdict";

const running: Consumer = { pod: "running", node: "debian-1" };
const waiting: Consumer = { pod: "waiting" };

function comparison(change: Partial<Comparison>): Comparison {
  return {
    attempt: 1,
    at: "2026-01-01T00:00:00.000Z",
    pod: "uid",
    entries: 10,
    bytes: 1000,
    differences: 0,
    first: [],
    manifest: "ab",
    vanished: 0,
    consumers: [],
    targetConsumers: [],
    ...change,
  };
}

describe("operations/volumes/verdict", () => {
  const cases: readonly (readonly [string, Partial<Comparison>, string])[] = [
    ["no difference, nobody there", {}, "verified"],
    ["no difference, a running user", { consumers: [running] }, "warm"],
    ["no difference, a waiting user", { consumers: [waiting] }, "warm"],
    ["no difference, but files vanished under it", { vanished: 1 }, "warm"],
    ["no difference, but somebody used the copy", { targetConsumers: [running] }, "warm"],
    ["a difference, nobody there", { differences: 1 }, "differs"],
    ["a difference, a running user", { differences: 1, consumers: [running] }, "warm"],
    ["a difference, a running and a waiting user", { differences: 1, consumers: [waiting, running] }, "warm"],
    ["a difference, only a waiting user", { differences: 1, consumers: [waiting] }, "differs"],
    ["a difference, and only the copy was used", { differences: 1, targetConsumers: [running] }, "differs"],
    ["vanished files, nobody there", { differences: 1, vanished: 1 }, "differs"],
  ];
  for (const [title, change, verdict] of cases) {
    it(`${title}: ${verdict}`, () => assert.equal(judge(comparison(change)), verdict));
  }

  it("is verified exactly when nothing at all stands against it, and never excuses a difference without a running user", () => {
    const users = fc.subarray([running, waiting]);
    fc.assert(
      fc.property(fc.nat(3), fc.nat(1), users, users, (differences, vanished, consumers, targetConsumers) => {
        const verdict = judge(comparison({ differences, vanished, consumers, targetConsumers }));
        const clean = differences + vanished + consumers.length + targetConsumers.length === 0;
        assert.equal(verdict === "verified", clean);
        assert.equal(verdict === "differs", differences > 0 && !consumers.includes(running));
      }),
    );
  });
});
