import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesOf } from "../../../../operations/volumes/quantity";

describe("operations/volumes/quantity", () => {
  const cases: readonly (readonly [string | undefined, number | undefined])[] = [
    ["10Gi", 10 * 2 ** 30],
    ["10240Mi", 10 * 2 ** 30],
    ["10485760Ki", 10 * 2 ** 30],
    ["1.5Gi", 1.5 * 2 ** 30],
    ["2Ti", 2 * 2 ** 40],
    ["1Pi", 2 ** 50],
    ["5G", 5e9],
    ["5k", 5000],
    ["3M", 3e6],
    ["1T", 1e12],
    ["1P", 1e15],
    ["1500m", 2],
    ["1e10", 1e10],
    ["1E3", 1000],
    ["123", 123],
    ["0", 0],
    ["", undefined],
    ["-1Gi", undefined],
    ["10 Gi", undefined],
    ["10gi", undefined],
    ["Gi", undefined],
    ["10Gigabytes", undefined],
    [undefined, undefined],
  ];
  for (const [text, bytes] of cases)
    it(`${text ?? "(none)"} is ${bytes ?? "no size"}`, () => assert.equal(bytesOf(text), bytes));

  it("a size in one unit equals the same size in the next smaller one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4000 }),
        fc.constantFrom(["Ti", "Gi"], ["Gi", "Mi"], ["Mi", "Ki"], ["Ki", ""]),
        (count, [large, small]) => bytesOf(`${count}${large}`) === bytesOf(`${count * 1024}${small}`),
      ),
    );
  });
});
