import assert from "node:assert/strict";
import { ApiRefusal } from "../../../../operations/clients";
import { failureOf, oneLine, patiently } from "../../../../operations/cluster/failure";
import { refuseFindings } from "../../../../operations/cluster/finding";
import { NotYet } from "../../../../operations/poll";
import { Refusal } from "../../../../operations/refusal";

describe("what may be said of an error", () => {
  it("our own words as they are", () => {
    const parts = { what: "a", why: "b", next: "c" };
    assert.equal(failureOf(new Refusal(parts)), parts);
    assert.equal(oneLine(new Refusal({ what: "a\n  b", why: "c", next: "d" })), "a b (c)");
  });

  it("of the API server its reason and first line, of others name and first line, of what is no error nothing", () => {
    assert.deepEqual(failureOf(new ApiRefusal(403, "Forbidden", "may not\nBearer secret")), {
      what: "the Kubernetes API",
      why: "Forbidden: may not",
      next: undefined,
    });
    assert.equal(failureOf(new TypeError("fetch failed\nBearer secret")).why, "TypeError: fetch failed");
    assert.equal(failureOf("Bearer secret").why, "unknown error");
  });

  it("patiently turns every error into a wait, and keeps a wait's own reason", async () => {
    await assert.rejects(patiently(() => Promise.reject(new Error("reset")))(), new NotYet("it failed (Error: reset)"));
    const own = new NotYet("still there");
    await assert.rejects(patiently(() => Promise.reject(own))(), own);
    assert.equal(await patiently(async () => 1)(), 1);
  });

  it("a report of findings counts them and names a remedy each; none is no refusal", () => {
    refuseFindings("x", [], "y");
    assert.throws(
      () =>
        refuseFindings(
          "x",
          [
            { what: "a", remedy: "b" },
            { what: "c", remedy: "d" },
          ],
          "y",
        ),
      (error: unknown) =>
        error instanceof Refusal && error.parts.why === "2 things stand against it:\n        - a: b\n        - c: d",
    );
  });
});
