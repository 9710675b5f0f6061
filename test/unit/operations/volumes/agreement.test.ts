import assert from "node:assert/strict";
import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import {
  disagreements,
  refuseFindings,
  startsAnew,
  type DeclaredVolume,
} from "../../../../operations/volumes/agreement";
import { ledgerPhases, type Ledger, type LedgerPhase } from "../../../../operations/volumes/ledger";

const declared: DeclaredVolume = {
  namespace: "games",
  claim: "valheim-server-data",
  newClaim: "valheim-server-data-longhorn",
  accessMode: "ReadWriteOnce",
  stage: "copy",
  attempt: 1,
  environment: "home",
};
const { newClaim } = declared;

function ledger(phase: LedgerPhase, change: Partial<Ledger> = {}): Ledger {
  return {
    version: 1,
    volume: "games/valheim-server-data",
    phase,
    attempt: 1,
    sourceUid: "source-uid",
    sourceVolume: "pvc-old",
    targetClaim: "valheim-server-data-longhorn",
    targetUid: "target-uid",
    times: {},
    consumers: [],
    ...change,
  };
}

const claim = (uid: string, accessModes = ["ReadWriteOnce"]): V1PersistentVolumeClaim => ({
  metadata: { uid },
  spec: { accessModes },
});
const live = { source: claim("source-uid", ["ReadWriteMany"]), target: claim("target-uid") };

describe("operations/volumes/agreement", () => {
  it("nothing can be contradicted before there is a ledger", () => {
    assert.deepEqual(disagreements(declared, undefined, { source: undefined, target: undefined }), []);
  });

  const back = "`npm run rollback -- home games/valheim-server-data`";
  const goOn = `write stage: cutover to go on, or go back to the old volume: ${back}`;
  const copyFirst = "write stage: copy and run `pulumi up` first";
  const cutoverFirst = "write stage: cutover and run `pulumi up` first";
  /** What each stage says to each phase; undefined where they agree. */
  const table: Record<LedgerPhase | "none", readonly [copy?: string, cutover?: string, finalize?: string]> = {
    none: [undefined, copyFirst, cutoverFirst],
    prepared: [undefined, copyFirst, cutoverFirst],
    copied: [undefined, copyFirst, cutoverFirst],
    warm: [undefined, undefined, cutoverFirst],
    verified: [undefined, undefined, cutoverFirst],
    quiesced: [goOn, undefined, cutoverFirst],
    settled: [goOn, undefined, cutoverFirst],
    switching: [goOn, undefined, cutoverFirst],
    switched: [goOn, undefined, undefined],
    finalized: [
      "write stage: finalize, or take the volume out of the file: its Jobs go, its data and its ledger stay",
      "write stage: finalize, or take the volume out of the file: its data and its ledger stay",
      undefined,
    ],
  };
  for (const phase of ["none", ...ledgerPhases] as const) {
    for (const [index, stage] of (["copy", "cutover", "finalize"] as const).entries()) {
      const next = table[phase][index];
      it(`stage ${stage} ${next === undefined ? "agrees" : "disagrees"} with a ledger that says ${phase}`, () => {
        const file = { ...declared, stage, switch: "new-claim" as const };
        const found = disagreements(file, phase === "none" ? undefined : ledger(phase), live);
        assert.deepEqual(
          found.map((finding) => finding.next),
          next === undefined ? [] : [next],
        );
      });
    }
  }

  describe("a cutover that has begun", () => {
    const workload = {
      volume: "games/valheim-server-data",
      namespace: "games",
      claim: declared.claim,
      owners: [],
      paused: [],
    };
    const cutover = { at: "2026-01-01T00:00:00.000Z", attempt: 1, switch: "new-claim" as const, workload };
    const wanted = { ...declared, stage: "cutover", switch: "new-claim" } as const;

    it("is not left by the stage alone, however far it came: its workload may be stopped", () => {
      for (const phase of ["warm", "verified"] as const)
        assert.deepEqual(disagreements(declared, ledger(phase, { cutover }), live), [
          {
            why: `the ledger says ${phase} with a cutover begun, and the file says stage copy: its workload may be stopped`,
            next: goOn,
          },
        ]);
      assert.match(
        disagreements(declared, ledger("switched", { cutover }), live)[0]?.why ?? "",
        /its workload lives on the new volume$/,
      );
    });

    it("goes on with the switch that it began with, at every stage", () => {
      for (const phase of ["warm", "quiesced", "settled", "switching", "switched"] as const)
        assert.deepEqual(disagreements({ ...wanted, switch: "same-name" }, ledger(phase, { cutover }), live), [
          {
            why: "the cutover began with switch new-claim, and the file says same-name",
            next: `write switch: new-claim, or go back to the old volume: ${back}`,
          },
        ]);
      const finalize = { ...wanted, stage: "finalize", switch: "same-name" } as const;
      assert.equal(disagreements(finalize, ledger("switched", { cutover }), live).length, 1);
    });

    it("looks at both claims until the switch, at none in the middle of it, and at the live one after it", () => {
      const gone = { source: undefined, target: undefined };
      const found = (phase: LedgerPhase, now: typeof live | typeof gone, name?: string) =>
        disagreements(
          { ...wanted, switch: name === undefined ? "new-claim" : "same-name" },
          ledger(phase, {
            cutover: {
              ...cutover,
              switch: name === undefined ? "new-claim" : "same-name",
              live: { claim: name ?? newClaim, uid: "target-uid" },
            },
          }),
          now,
        ).map(({ why }) => why);
      assert.equal(found("settled", gone).length, 2);
      assert.deepEqual(found("switching", gone), []);
      assert.deepEqual(found("switched", live), []);
      assert.deepEqual(found("switched", { ...live, source: undefined } as never), []);
      assert.deepEqual(found("switched", gone), [
        "the claim valheim-server-data-longhorn that the workload was switched to (UID target-uid) is gone",
      ]);
      const renamed = { source: claim("target-uid"), target: undefined } as never;
      assert.deepEqual(found("switched", renamed, declared.claim), []);
      assert.deepEqual(found("switched", live, declared.claim), [
        "the claim valheim-server-data that the workload was switched to (UID target-uid) was made anew",
      ]);
      assert.deepEqual(found("finalized", gone).length, 1, "stage cutover after finalize");
    });

    it("is not begun together with another copy", () => {
      const file = { ...wanted, newClaim: "another", attempt: 2 };
      assert.deepEqual(
        disagreements(file, ledger("warm"), live).map(({ next }) => next),
        [copyFirst],
      );
    });
  });

  describe("a rollback", () => {
    const rollback = {
      state: "done",
      at: "2026-01-01T00:00:00.000Z",
      from: "settled",
      attempt: 1,
      used: false,
    } as const;
    const wanted = { ...declared, stage: "cutover", switch: "new-claim" } as const;

    it("that did not come to its end comes first, at every stage", () => {
      for (const stage of ["copy", "cutover", "finalize"] as const)
        assert.deepEqual(
          disagreements({ ...wanted, stage }, ledger("warm", { rollback: { ...rollback, state: "begun" } }), live),
          [
            {
              why: "a rollback to the old volume was begun at 2026-01-01T00:00:00.000Z and did not come to its end",
              next: `run it again: ${back}`,
            },
          ],
        );
    });

    it("is agreed with by stage copy, or by a higher attempt", () => {
      const after = ledger("warm", { rollback });
      assert.deepEqual(disagreements(declared, after, live), []);
      assert.deepEqual(disagreements({ ...wanted, attempt: 2 }, after, live), []);
      assert.deepEqual(disagreements(wanted, after, live), [
        {
          why: "the cutover of attempt 1 was rolled back at 2026-01-01T00:00:00.000Z, and the file still says stage cutover",
          next: "write stage: copy to stay on the old volume, or attempt: 2 to cut over again",
        },
      ]);
    });

    it("from a volume that was in use never lets another copy go over it", () => {
      const after = ledger("warm", { rollback: { ...rollback, from: "switched", used: true } });
      assert.deepEqual(disagreements(declared, after, live), []);
      for (const stage of ["copy", "cutover"] as const)
        assert.deepEqual(disagreements({ ...wanted, stage, attempt: 2 }, after, live), [
          {
            why: "the new claim valheim-server-data-longhorn was in use until the rollback at 2026-01-01T00:00:00.000Z, and what was written there then is nowhere else",
            next: "write another newClaim with the higher attempt, and stage: copy",
          },
        ]);
      assert.deepEqual(disagreements({ ...declared, attempt: 2, newClaim: "another" }, after, live), []);
      assert.match(
        disagreements(wanted, after, live)[0]?.next ?? "",
        /attempt: 2 and another newClaim with stage: copy first to cut over again$/,
      );
    });
  });

  it("a claim that the ledger has not seen yet may be there or not", () => {
    const prepared = ledger("prepared", { targetUid: undefined });
    assert.deepEqual(disagreements(declared, prepared, { ...live, target: undefined }), []);
    assert.deepEqual(disagreements(declared, prepared, live), []);
  });

  const cases: readonly {
    title: string;
    volume?: Partial<DeclaredVolume>;
    ledger?: Ledger;
    live?: Partial<typeof live> | { source?: undefined; target?: undefined };
    why: string;
    next: string;
  }[] = [
    {
      title: "an attempt that went back",
      ledger: ledger("warm", { attempt: 3 }),
      why: "attempt is 1, and the ledger has seen 3",
      next: "write attempt: 3, or 4 to run the copy again",
    },
    {
      title: "an old claim that was made anew",
      live: { source: claim("other-uid") },
      why: "the old claim was made anew: its UID is other-uid, and the copy is of source-uid",
      next: "write attempt: 2 and another newClaim to copy anew",
    },
    {
      title: "an old claim that is gone",
      live: { source: undefined },
      why: "the old claim is gone, and the copy of it is only warm",
      next: "look for its data in PersistentVolume pvc-old: `kubectl get persistentvolume pvc-old -o yaml`",
    },
    {
      title: "another name for the new claim, without a higher attempt",
      volume: { newClaim: "another" },
      why: "the new claim is called another in the file, and the copy is in valheim-server-data-longhorn",
      next: "write newClaim: valheim-server-data-longhorn, or also attempt: 2 to copy anew",
    },
    {
      title: "another name for the new claim of a verified copy, even with a higher attempt",
      volume: { newClaim: "another", attempt: 2 },
      ledger: ledger("verified"),
      why: "the new claim is called another in the file, and the copy is in valheim-server-data-longhorn",
      next: "write newClaim: valheim-server-data-longhorn",
    },
    {
      title: "a new claim that is gone",
      live: { target: undefined },
      why: "the ledger says warm, and the new claim valheim-server-data-longhorn with the copy in it (UID target-uid) is gone",
      next: "write attempt: 2 and another newClaim to copy anew",
    },
    {
      title: "the new claim of a verified copy made anew",
      ledger: ledger("verified"),
      live: { target: claim("other-uid") },
      why: "the ledger says verified, and the new claim valheim-server-data-longhorn with the copy in it (UID target-uid) was made anew",
      next:
        "once you know that nothing uses the new claim, `kubectl -n home-cluster delete configmap volume-games-valheim-server-data`, " +
        "then write attempt: 2 and another newClaim to copy anew",
    },
    {
      title: "another access mode than the new claim has",
      volume: { accessMode: "ReadWriteMany" },
      why: "accessMode is ReadWriteMany, and the new claim valheim-server-data-longhorn has ReadWriteOnce, which no claim can change",
      next: "write accessMode: ReadWriteOnce, or another newClaim and a higher attempt to copy anew",
    },
  ];
  for (const { title, volume, ledger: recorded = ledger("warm"), live: change, why, next } of cases) {
    it(`finds ${title}`, () => {
      assert.deepEqual(disagreements({ ...declared, ...volume }, recorded, { ...live, ...change }), [{ why, next }]);
    });
  }

  it("finds everything at once", () => {
    const found = disagreements({ ...declared, accessMode: "ReadWriteMany" }, ledger("warm", { attempt: 2 }), {
      source: undefined,
      target: claim("other-uid"),
    });
    assert.equal(found.length, 4);
  });

  describe("another copy altogether", () => {
    const another = { newClaim: "another", attempt: 2 };
    const anew: readonly (readonly [
      string,
      boolean,
      Partial<DeclaredVolume>,
      Ledger,
      V1PersistentVolumeClaim | undefined,
    ])[] = [
      ["a higher attempt into another claim", true, another, ledger("warm"), undefined],
      ["a higher attempt into a claim made anew", true, { attempt: 2 }, ledger("copied"), claim("other-uid")],
      ["a higher attempt into the same claim", false, { attempt: 2 }, ledger("warm"), claim("target-uid")],
      ["the same attempt into another claim", false, { newClaim: "another" }, ledger("warm"), undefined],
      ["a verified one", false, another, ledger("verified"), undefined],
    ];
    for (const [title, expected, volume, recorded, target] of anew) {
      it(`${title}: ${expected ? "yes" : "no"}`, () => {
        assert.equal(startsAnew({ ...declared, ...volume }, recorded, target), expected);
      });
    }
    it("contradicts nothing, whatever became of the old copy and of the source", () => {
      assert.deepEqual(
        disagreements({ ...declared, ...another }, ledger("warm"), { source: claim("other-uid"), target: undefined }),
        [],
      );
    });
  });

  it("one refusal lists all findings, and none is no refusal", () => {
    refuseFindings("what", []);
    assert.throws(
      () =>
        refuseFindings("what", [
          { why: "one", next: "mend one" },
          { why: "two", next: "mend two" },
        ]),
      { message: "what\n  why:  one\n        two\n  next: mend one\n        mend two" },
    );
  });
});
