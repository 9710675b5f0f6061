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
};

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

  for (const phase of ledgerPhases) {
    const agrees = phase !== "switched" && phase !== "finalized";
    it(`stage copy ${agrees ? "agrees" : "disagrees"} with a ledger that says ${phase}`, () => {
      const found = disagreements(declared, ledger(phase), live);
      if (agrees) assert.deepEqual(found, []);
      else
        assert.deepEqual(found, [
          {
            why: `the ledger says ${phase}, and the file says stage copy: a copy would go over the volume that the workload lives on`,
            next: "take the volume out of the file: its Jobs go, its data and its ledger stay",
          },
        ]);
    });
  }

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
