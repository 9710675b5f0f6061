import assert from "node:assert/strict";
import { claims, pods } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { concludeCopy } from "../../../../operations/volumes/conclude-copy";
import { readLedger, writeLedger, type Comparison, type Ledger } from "../../../../operations/volumes/ledger";
import {
  agreement,
  cluster,
  difference,
  drop,
  makeClaim,
  migrationHome,
  newClaim,
  ref,
  start,
  startPod,
  stopWorkload,
  stored,
  verificationPod,
  workload,
  type MigrationHome,
} from "../../../support/volumes";

const job = "volume-verification-valheim-server-data";

describe("operations/volumes/conclude-copy (does not prove what the verification compares, nor that nobody writes to the export from outside)", () => {
  let at: MigrationHome;
  let copied: Ledger;
  beforeEach(async () => {
    at = await migrationHome();
    copied = {
      version: 1,
      volume: "games/valheim-server-data",
      phase: "copied",
      attempt: 1,
      sourceUid: stored(at.home, claims, ref.claim, ref.namespace).metadata?.uid ?? "",
      sourceVolume: "pvc-games-valheim-server-data",
      targetClaim: newClaim,
      targetUid: await makeClaim(at),
      times: { prepared: start, copied: start },
      consumers: [],
      observed: { attempt: 1, at: start, consumers: [workload] },
    };
  });
  const run = (attempt = 1, name = job) => concludeCopy.run({ ...ref, newClaim, attempt, job: name }, at.clients);
  const ledger = () => readLedger(at.clients.kubernetes, ref);
  const begin = (change: Partial<Ledger> = {}) => writeLedger(at.clients, ref, () => ({ ...copied, ...change }));
  const quiet = { attempt: 1, at: start, consumers: [] };
  const refused = (pattern: RegExp) => (error: unknown) => error instanceof Refusal && pattern.test(error.message);

  function comparison(pod: string, change: Partial<Comparison> = {}): Comparison {
    const { entries, bytes, differences, first, manifest, vanished } = agreement;
    const found = { entries, bytes, differences, first, manifest, vanished };
    return { attempt: 1, at: start, pod, ...found, consumers: [], targetConsumers: [], ...change };
  }

  it("no difference and nobody there before and after: verified, with what it rests on", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    const pod = await verificationPod(at);
    const rest = cluster(at.home);
    assert.deepEqual(await run(), { phase: "verified", entries: 1200, bytes: 5_000_000, differences: 0, first: [] });
    assert.deepEqual(await ledger(), {
      ...copied,
      observed: quiet,
      phase: "verified",
      times: { prepared: start, copied: start, verified: start },
      comparison: comparison(pod),
    });
    assert.deepEqual(at.lines, [
      "volume games/valheim-server-data: verified; 1200 entries, 5000000 bytes, 0 differences",
    ]);
    assert.equal(cluster(at.home), rest);
  });

  describe("who used the old volume, and what was found", () => {
    type Users = "nobody" | "a running pod" | "a waiting pod" | "a pod that has ended since";
    const before: Record<string, Ledger["consumers"]> = {
      nobody: [],
      "a running pod": [workload],
      "a waiting pod": [{ pod: "waiting" }],
    };
    const after: Record<Users, () => Promise<void>> = {
      nobody: async () => undefined,
      "a running pod": () => startPod(at, "now", ref.claim),
      "a waiting pod": () => startPod(at, "now", ref.claim, { node: null }),
      "a pod that has ended since": () =>
        startPod(at, "now", ref.claim, {
          status: {
            phase: "Succeeded",
            containerStatuses: [
              {
                name: "main",
                image: "",
                imageID: "",
                ready: false,
                restartCount: 0,
                state: { terminated: { exitCode: 0, finishedAt: new Date(start) } },
              },
            ],
          },
        }),
    };
    const table: readonly (readonly [string, Users, "warm" | "verified" | "refused", "warm" | "refused"])[] = [
      // before, after, without differences, with them
      ["nobody", "nobody", "verified", "refused"],
      ["nobody", "a running pod", "warm", "warm"],
      ["nobody", "a waiting pod", "warm", "refused"],
      ["nobody", "a pod that has ended since", "warm", "warm"],
      ["a running pod", "nobody", "warm", "warm"],
      ["a running pod", "a running pod", "warm", "warm"],
      ["a waiting pod", "nobody", "warm", "refused"],
      ["a waiting pod", "a waiting pod", "warm", "refused"],
    ];
    for (const [earlier, later, agreeing, differing] of table) {
      for (const [findings, expected] of [
        [agreement, agreeing],
        [difference, differing],
      ] as const) {
        it(`${earlier} before, ${later} after, ${findings.differences} differences: ${expected}`, async () => {
          await begin({ observed: { attempt: 1, at: start, consumers: before[earlier] ?? [] } });
          await stopWorkload(at);
          await after[later]();
          await verificationPod(at, findings);
          if (expected === "refused") {
            await assert.rejects(
              run(),
              refused(/the copy differs from the old volume in 12 places \(ledger: copied\)/),
            );
            assert.equal((await ledger())?.phase, "copied");
          } else {
            assert.equal((await run()).phase, expected);
            assert.equal((await ledger())?.phase, expected);
          }
        });
      }
    }
  });

  it("differences under a running workload are told, file by file, and the ledger says warm", async () => {
    await begin();
    const pod = await verificationPod(at, difference);
    assert.deepEqual(await run(), {
      phase: "warm",
      entries: 1200,
      bytes: 5_000_000,
      differences: 12,
      first: ["'db.sqlite': content", "'db.sqlite': mtime"],
    });
    assert.deepEqual(
      (await ledger())?.comparison,
      comparison(pod, { differences: 12, first: difference.first, consumers: [workload] }),
    );
    assert.deepEqual(at.lines, [
      "volume games/valheim-server-data: warm; 1200 entries, 5000000 bytes, 12 differences, with the old volume in use by " +
        "StatefulSet/valheim-server-data (pod valheim-server-data-0 on rancheros-1)",
      "volume games/valheim-server-data: differs: 'db.sqlite': content",
      "volume games/valheim-server-data: differs: 'db.sqlite': mtime",
    ]);
  });

  it("a refused difference names the first files, how many more, and the way on", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    const pod = await verificationPod(at, difference);
    await assert.rejects(run(), (error) => {
      assert.ok(error instanceof Refusal);
      assert.equal(
        error.parts.what,
        "volume games/valheim-server-data: the copy differs from the old volume in 12 places (ledger: copied)",
      );
      assert.deepEqual(
        error.parts.why
          .split("\n")
          .slice(1)
          .map((line) => line.trim()),
        ["'db.sqlite': content", "'db.sqlite': mtime", "and 10 more"],
      );
      assert.match(
        error.parts.next,
        /attempt: 2 and another newClaim.*kubectl -n games logs job\/volume-verification-valheim-server-data/,
      );
      return true;
    });
    assert.deepEqual((await ledger())?.later, comparison(pod, { differences: 12, first: difference.first }));
    assert.equal((await ledger())?.comparison, undefined);
  });

  it("a list that is whole has no more to tell", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    await verificationPod(at, { ...difference, differences: 2 });
    await assert.rejects(run(), (error) => error instanceof Refusal && !error.message.includes("more"));
  });

  it("the same findings are judged once: a workload started afterwards does not make a wrong copy warm", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    await verificationPod(at, difference);
    await assert.rejects(run(), refused(/differs/));
    await startPod(at, "started", ref.claim);
    await assert.rejects(run(), refused(/differs/));
    assert.equal((await ledger())?.phase, "copied");
  });

  it("concluded again, it says the same and writes nothing", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    await verificationPod(at);
    const first = await run();
    const before = JSON.stringify(at.home.kubernetes.objects);
    await at.clients.clock.sleep(60_000);
    assert.deepEqual(await run(), first);
    assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
  });

  it("a pod that used the new volume keeps it from being verified, and excuses no difference", async () => {
    await begin({ observed: quiet });
    await stopWorkload(at);
    await startPod(at, "early", newClaim);
    await verificationPod(at);
    assert.equal((await run()).phase, "warm");
    assert.deepEqual((await ledger())?.comparison?.targetConsumers, [{ pod: "early", node: "rancheros-1" }]);
    at = await migrationHome();
    copied.targetUid = await makeClaim(at);
    await begin({ observed: quiet });
    await stopWorkload(at);
    await startPod(at, "early", newClaim);
    await verificationPod(at, difference);
    await assert.rejects(run(), refused(/differs/));
  });

  it("a pod that was given its node in between is counted once, and as running", async () => {
    await begin({ observed: { attempt: 1, at: start, consumers: [{ pod: workload.pod }] } });
    await verificationPod(at, difference);
    await run();
    assert.deepEqual((await ledger())?.comparison?.consumers, [workload]);
  });

  describe("a verified volume", () => {
    const old = comparison("old-pod");
    const second = `${job}-attempt-2`;
    beforeEach(async () => {
      await begin({ phase: "verified", comparison: old, observed: { attempt: 2, at: start, consumers: [workload] } });
    });

    it("stays so when a later attempt finds its workload running: the later findings stand beside", async () => {
      const pod = await verificationPod(at, difference, { job: second });
      assert.equal((await run(2, second)).phase, "verified");
      const after = await ledger();
      assert.equal(after?.phase, "verified");
      assert.deepEqual(after.comparison, old);
      assert.equal(after.later?.pod, pod);
      assert.match(at.lines[0] ?? "", /: verified; .*12 differences, with the old volume in use by/);
    });

    it("stays so, and is refused, when a later attempt finds it changed and quiet", async () => {
      await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), observed: { ...quiet, attempt: 2 } }));
      await stopWorkload(at);
      await verificationPod(at, difference, { job: second });
      await assert.rejects(run(2, second), refused(/in 12 places \(ledger: verified\)/));
      assert.deepEqual((await ledger())?.comparison, old);
    });

    it("rests on the newer comparison when that agrees too", async () => {
      await writeLedger(at.clients, ref, (current) => ({
        ...(current as Ledger),
        observed: { ...quiet, attempt: 2 },
        later: comparison("in-between", { differences: 1 }),
      }));
      await stopWorkload(at);
      const pod = await verificationPod(at, agreement, { job: second });
      await run(2, second);
      const after = await ledger();
      assert.equal(after?.comparison?.pod, pod);
      assert.equal(after.later, undefined);
    });
  });

  for (const phase of ["switched", "finalized"] as const) {
    it(`a volume that is ${phase} is left as it is, whatever was found`, async () => {
      const before = await begin({ phase });
      assert.deepEqual(await run(), { phase });
      assert.deepEqual(await ledger(), before);
      assert.match(at.lines[0] ?? "", new RegExp(`the ledger says ${phase}: a copy's verification says nothing`));
    });
  }

  describe("refuses, and leaves the ledger", () => {
    const cases: readonly { title: string; ledger?: () => Partial<Ledger>; set: () => unknown; pattern: RegExp }[] = [
      {
        title: "no pod of the Job",
        set: () => undefined,
        pattern: /the verification's findings are not there.*no finished pod/s,
      },
      {
        title: "a pod that did not finish",
        set: () => verificationPod(at, agreement, { phase: "Failed" }),
        pattern: /has no finished pod/,
      },
      {
        title: "another Job's pod",
        set: () => verificationPod(at, agreement, { job: "another" }),
        pattern: /has no finished pod/,
      },
      {
        title: "findings that are cut short",
        set: () => verificationPod(at, '{"version":1,"ent'),
        pattern: /cannot be read/,
      },
      { title: "no findings", set: () => verificationPod(at, ""), pattern: /cannot be read/ },
      {
        title: "a pod without a status of its container",
        set: async () => {
          await verificationPod(at);
          stored(at.home, pods, `${job}-x7k2p`, ref.namespace).status = { phase: "Succeeded" };
        },
        pattern: /cannot be read/,
      },
      {
        title: "a comparison that was not carried out",
        set: () => verificationPod(at, { version: 1, error: "3 could not be read", first: [] }),
        pattern: /cannot be read.*Unrecognized key.*error/s,
      },
      {
        title: "findings of another version",
        set: () => verificationPod(at, { ...agreement, version: 2 }),
        pattern: /cannot be read/,
      },
      {
        title: "a look of another attempt",
        ledger: () => ({ observed: { ...quiet, attempt: 2 } }),
        set: () => verificationPod(at),
        pattern: /nobody looked who used the old volume.*is of attempt 2, this is 1/s,
      },
      {
        title: "no look at all",
        ledger: () => ({ observed: undefined }),
        set: () => verificationPod(at),
        pattern: /is of attempt \(none\), this is 1/,
      },
      {
        title: "an old claim that was made anew",
        ledger: () => ({ sourceUid: "another" }),
        set: () => verificationPod(at),
        pattern: /does not count.*the claim valheim-server-data is not the one that was copied/s,
      },
      {
        title: "a new claim that is gone",
        set: async () => {
          await verificationPod(at);
          drop(at.home, stored(at.home, claims, newClaim, ref.namespace));
        },
        pattern: /the claim valheim-server-data-longhorn is gone/,
      },
    ];
    for (const { title, ledger: change, set, pattern } of cases) {
      it(title, async () => {
        const before = await begin(change?.());
        await set();
        await assert.rejects(run(), refused(pattern));
        assert.deepEqual(await ledger(), before);
      });
    }
    it("no ledger", async () => {
      await assert.rejects(run(), refused(/it has no ledger any more/));
    });
  });
});
