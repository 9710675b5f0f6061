import assert from "node:assert/strict";
import * as fc from "fast-check";
import { formatMebibytes, gibibytesToMebibytes, toMebibytes } from "../../../environment/quantity";

const count = fc.integer({ min: 1, max: 999_999 });

describe("environment/quantity", () => {
  it("counts in MiB", () => {
    assert.equal(toMebibytes("1Mi"), 1);
    assert.equal(toMebibytes("20Gi"), 20480);
    assert.equal(toMebibytes("2Ti"), 2097152);
    assert.equal(gibibytesToMebibytes(3), 3072);
  });

  it("knows one size in each of its units", () => {
    fc.assert(
      fc.property(count, (value) => {
        assert.equal(toMebibytes(`${value}Gi`), toMebibytes(`${value * 1024}Mi`));
        assert.equal(toMebibytes(`${value}Ti`), toMebibytes(`${value * 1024}Gi`));
        assert.equal(toMebibytes(`${value}Gi`), gibibytesToMebibytes(value));
      }),
    );
  });

  it("writes whole sizes in a form that it reads as the same size", () => {
    fc.assert(fc.property(count, (value) => toMebibytes(formatMebibytes(value)) === value));
  });

  it("writes the largest unit that loses nothing, and rounds parts of a MiB down", () => {
    assert.equal(formatMebibytes(1024 * 1024), "1Ti");
    assert.equal(formatMebibytes(1025 * 1024), "1025Gi");
    assert.equal(formatMebibytes(1025), "1025Mi");
    assert.equal(formatMebibytes(1024.9), "1Gi");
    assert.equal(formatMebibytes(0), "0Mi");
  });

  for (const text of ["", "20", "20G", "20GB", "1.5Gi", "-1Gi", "Gi", " 1Gi"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => toMebibytes(text), new Error(`${text}: not a size such as 20Gi`));
    });
  }
});
