import assert from "node:assert/strict";
import { keep } from "../../../operations/keep";
import { buildHome } from "../../../rehearsal/home/build";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { environment } from "../../support/environment";

describe("keep (repeating the previous result is dispatch's part, tested there)", () => {
  it("needs no system, so that a record can be updated while everything is down", () => {
    assert.deepEqual(keep.needs, []);
  });

  it("takes any input, since it stands in for the update of every once-only effect", () => {
    for (const input of [undefined, null, 3, "text", [], { any: { thing: 1 } }]) {
      assert.equal(keep.schema.safeParse(input).success, true, JSON.stringify(input));
    }
  });

  it("changes nothing in the home", async () => {
    const home = buildHome(environment("home"));
    const before = structuredClone(home);
    assert.deepEqual(await keep.run({}, pretendClients(home, new VirtualClock(home.now))), {});
    assert.deepEqual(home, before);
  });
});
