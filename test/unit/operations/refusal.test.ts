import assert from "node:assert/strict";
import { Refusal } from "../../../operations/refusal";

describe("Refusal", () => {
  const parts = { what: "debian-1: not joined", why: "Rancher shows it as registering", next: "pulumi up" };

  it("says what, why and the next command, each on its own line", () => {
    assert.equal(
      new Refusal(parts).message,
      "debian-1: not joined\n  why:  Rancher shows it as registering\n  next: pulumi up",
    );
  });

  it("is an Error with its own name and keeps its parts for programs", () => {
    const refusal = new Refusal(parts);
    assert.ok(refusal instanceof Error);
    assert.equal(refusal.name, "Refusal");
    assert.deepEqual(refusal.parts, parts);
  });
});
