import assert from "node:assert/strict";
import { retirementCalls } from "../../../support/retirement-calls";

describe("the calls of retirements side by side, on the pretend home", () => {
  it("every node asks as often with ten as with three; what waits reads the Lease alone", async () => {
    const [three, ten] = [await retirementCalls(3, 4), await retirementCalls(10, 4)];
    const [first] = three;
    assert.ok(first);
    assert.deepEqual(
      [...three, ...ten].map(({ calls }) => calls),
      Array.from({ length: 13 }, () => first.calls),
    );
  });
});
