import assert from "node:assert/strict";
import { claims } from "../../../../operations/kinds";
import { readLedger, writeLedger, type Ledger, type LedgerPhase } from "../../../../operations/volumes/ledger";
import { observeConsumers } from "../../../../operations/volumes/observe-consumers";
import {
  cluster,
  drop,
  makeClaim,
  migrationHome,
  newClaim,
  ref,
  start,
  stopWorkload,
  stored,
  workload,
  type MigrationHome,
} from "../../../support/volumes";

const prepared: Ledger = {
  version: 1,
  volume: "games/valheim-server-data",
  phase: "prepared",
  attempt: 1,
  sourceUid: "source-uid",
  sourceVolume: "pvc-old",
  targetClaim: newClaim,
  times: {},
  consumers: [],
};
const described = "StatefulSet/valheim-server-data (pod valheim-server-data-0 on rancheros-1)";

describe("operations/volumes/observe-consumers (does not prove that nobody comes or goes between this look and the verification)", () => {
  let at: MigrationHome;
  let targetUid: string;
  beforeEach(async () => {
    at = await migrationHome();
    targetUid = await makeClaim(at);
  });
  const run = (attempt = 1) => observeConsumers.run({ ...ref, newClaim, attempt }, at.clients);
  const ledger = () => readLedger(at.clients.kubernetes, ref);
  const begin = (change: Partial<Ledger> = {}) => writeLedger(at.clients, ref, () => ({ ...prepared, ...change }));

  it("notes that it is copied, into which claim, and who uses the old one", async () => {
    await begin();
    const rest = cluster(at.home);
    assert.deepEqual(await run(), { consumers: [described] });
    assert.deepEqual(await ledger(), {
      ...prepared,
      phase: "copied",
      times: { prepared: start, copied: start },
      targetUid,
      observed: { attempt: 1, at: start, consumers: [workload] },
    });
    assert.deepEqual(at.lines, [`volume games/valheim-server-data: copied; ${described} may write to the old volume`]);
    assert.equal(cluster(at.home), rest);
  });

  it("notes that nobody does", async () => {
    await begin();
    await stopWorkload(at);
    assert.deepEqual(await run(), { consumers: [] });
    assert.deepEqual(at.lines, ["volume games/valheim-server-data: copied; nobody uses the old volume"]);
  });

  it("the first look of an attempt counts: a second one changes nothing and tells the first", async () => {
    await begin();
    await run();
    const before = await ledger();
    await at.clients.clock.sleep(60_000);
    await stopWorkload(at);
    assert.deepEqual(await run(), { consumers: [described] });
    assert.deepEqual(await ledger(), before);
  });

  it("the next attempt looks again", async () => {
    await begin();
    await run();
    await stopWorkload(at);
    await run(2);
    assert.deepEqual((await ledger())?.observed, { attempt: 2, at: start, consumers: [] });
  });

  for (const phase of ["warm", "verified"] as const satisfies readonly LedgerPhase[]) {
    it(`a ledger that says ${phase} does not go back to copied`, async () => {
      await begin({ phase });
      await run(2);
      const after = await ledger();
      assert.equal(after?.phase, phase);
      assert.equal(after.observed?.attempt, 2);
    });
  }
  for (const phase of ["switched", "finalized"] as const satisfies readonly LedgerPhase[]) {
    it(`a ledger that says ${phase} is left as it is`, async () => {
      const before = await begin({ phase });
      assert.deepEqual(await run(2), { consumers: [] });
      assert.deepEqual(await ledger(), before);
    });
  }

  it("refuses without a ledger", async () => {
    await assert.rejects(run(), /it has no ledger any more/);
  });
  it("refuses a new claim that is not bound or gone, and leaves the ledger", async () => {
    const before = await begin();
    stored(at.home, claims, newClaim, ref.namespace).status = { phase: "Lost" };
    await assert.rejects(run(), /the new claim valheim-server-data-longhorn is Lost after the copy/);
    drop(at.home, stored(at.home, claims, newClaim, ref.namespace));
    await assert.rejects(run(), /the new claim valheim-server-data-longhorn is gone after the copy/);
    assert.deepEqual(await ledger(), before);
  });
});
