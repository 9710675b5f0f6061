import assert from "node:assert/strict";
import { claims } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { ledgerPhases, writeLedger, type Ledger } from "../../../../operations/volumes/ledger";
import { readLedgers } from "../../../../operations/volumes/read-ledgers";
import { makeClaim, migrationHome, newClaim, put, ref, stored, type MigrationHome } from "../../../support/volumes";

const declared = { ...ref, newClaim, accessMode: "ReadWriteOnce", stage: "copy", attempt: 1 } as const;
const other = { ...declared, namespace: "media", claim: "jellyfin-config", newClaim: "jellyfin-config-longhorn" };

describe("operations/volumes/read-ledgers", () => {
  let at: MigrationHome;
  let base: Ledger;
  beforeEach(async () => {
    at = await migrationHome();
    base = {
      version: 1,
      volume: "games/valheim-server-data",
      phase: "prepared",
      attempt: 1,
      sourceUid: stored(at.home, claims, ref.claim, ref.namespace).metadata?.uid ?? "",
      sourceVolume: "pvc-games-valheim-server-data",
      targetClaim: newClaim,
      times: {},
      consumers: [],
    };
  });
  const run = () => readLedgers.run({ volumes: [declared, other] }, at.clients);
  const open = { copy: false, cutover: false, finalize: false };
  const names = (phase: string) => ({
    volumes: [
      { namespace: "games", claim: "valheim-server-data", newClaim, phase, over: open },
      { namespace: "media", claim: "jellyfin-config", newClaim: "jellyfin-config-longhorn", phase: "none", over: open },
    ],
  });

  describe("says for which Jobs there is nothing more to do, should one come back", () => {
    const past = { copy: true, cutover: false, finalize: false };
    const cutover = {
      at: "2026-01-01T00:00:00.000Z",
      attempt: 1,
      switch: "new-claim" as const,
      workload: { volume: "games/valheim-server-data", namespace: "games", claim: ref.claim, owners: [], paused: [] },
    };
    const rollback = {
      state: "done",
      at: "2026-01-01T00:00:00.000Z",
      from: "quiesced",
      attempt: 1,
      used: false,
    } as const;
    const over = async (ledger: Partial<Ledger>, file: object = {}) => {
      const targetUid = await makeClaim(at);
      await writeLedger(at.clients, ref, () => ({ ...base, targetUid, ...ledger }));
      const volume = { ...declared, stage: "cutover", switch: "new-claim", ...file } as const;
      return (await readLedgers.run({ volumes: [volume] }, at.clients)).volumes[0]?.over;
    };
    const cases: readonly (readonly [string, Partial<Ledger>, object])[] = [
      ["a warm copy", { phase: "warm" }, open],
      ["a cutover that is about to stop the workload", { phase: "warm", cutover }, past],
      ["a fence", { phase: "quiesced", cutover }, past],
      ["a comparison without a difference", { phase: "settled", cutover }, { ...past, cutover: true }],
      ["a switch", { phase: "switched", cutover }, { ...past, cutover: true }],
    ];
    for (const [title, ledger, expected] of cases)
      it(title, async () => assert.deepEqual(await over(ledger), expected));
    it("what was let go of", async () =>
      assert.deepEqual(await over({ phase: "finalized", cutover }, { stage: "finalize" }), {
        copy: true,
        cutover: true,
        finalize: true,
      }));
    it("a cutover that was rolled back: its final pass may stand half done in the new volume", async () =>
      assert.deepEqual(await over({ phase: "warm", rollback }, { attempt: 2 }), past));
    it("but of another copy altogether, everything is to be done", async () =>
      assert.deepEqual(
        await over(
          { phase: "warm", rollback: { ...rollback, used: true } },
          { stage: "copy", attempt: 2, newClaim: "another" },
        ),
        open,
      ));
  });

  it("says none before anything has begun", async () => {
    assert.deepEqual(await run(), names("none"));
  });
  for (const phase of ledgerPhases.slice(0, 4)) {
    it(`says ${phase}, and writes nothing`, async () => {
      await writeLedger(at.clients, ref, () => ({ ...base, phase }));
      const before = JSON.stringify(at.home.kubernetes.objects);
      assert.deepEqual(await run(), names(phase));
      assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
    });
  }
  it("refuses with every volume that disagrees, its reason and its remedy", async () => {
    await makeClaim(at);
    await writeLedger(at.clients, ref, () => ({ ...base, phase: "switched" }));
    await writeLedger(at.clients, other, () => ({
      ...base,
      volume: "media/jellyfin-config",
      attempt: 2,
      sourceUid: stored(at.home, claims, other.claim, other.namespace).metadata?.uid ?? "",
      targetClaim: other.newClaim,
    }));
    await assert.rejects(run(), (error) => {
      assert.ok(error instanceof Refusal);
      assert.deepEqual(error.parts, {
        what: "the file and the volumes' ledgers disagree: refused, nothing was touched",
        why:
          "volume games/valheim-server-data: the ledger says switched with a cutover begun, and the file says stage copy: its workload lives on the new volume\n" +
          "        volume media/jellyfin-config: attempt is 1, and the ledger has seen 2",
        next:
          "volume games/valheim-server-data: write stage: cutover to go on, or go back to the old volume: `npm run rollback -- <environment> games/valheim-server-data`\n" +
          "        volume media/jellyfin-config: write attempt: 2, or 3 to run the copy again",
      });
      return true;
    });
  });
  it("refuses a broken ledger", async () => {
    await put(at.clients, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "volume-media-jellyfin-config", namespace: "home-cluster" },
    });
    await assert.rejects(run(), /of volume media\/jellyfin-config: refused/);
  });
  it("an environment without volumes has nothing to read", async () => {
    assert.deepEqual(await readLedgers.run({ volumes: [] }, at.clients), { volumes: [] });
  });
});
