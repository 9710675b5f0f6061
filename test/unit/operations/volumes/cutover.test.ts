import assert from "node:assert/strict";
import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { statefulSets, claims, nodes, volumes } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { finalizeVolume, prepareFinalize } from "../../../../operations/volumes/finalize-volume";
import { readLedger, writeLedger, type Ledger } from "../../../../operations/volumes/ledger";
import { migrationLabels } from "../../../../operations/volumes/migration-pod";
import { planRollback } from "../../../../operations/volumes/rollback-volume";
import {
  asked,
  cutOver,
  finalVerification,
  ledgerOf,
  newVolume,
  oldVolume,
  picture,
  rollback,
  step,
  steps,
  warmHome,
  type Way,
} from "../../../support/cutover";
import {
  agreement,
  cluster,
  difference,
  newClaim,
  ref,
  startPod,
  stored,
  type MigrationHome,
} from "../../../support/volumes";

const ways: readonly Way[] = ["new-claim", "same-name"];
const back = "`npm run rollback -- home games/valheim-server-data`";
const fenceForm = /^1-[0-9a-f]{8}-[0-9a-f-]{27}$/;

// Does not prove what a real control plane does with claims and workloads (test/cluster/cutover.test.ts), nor what the Jobs copy.
describe("operations/volumes: the steps of a cutover", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await warmHome();
  });
  const run = (name: (typeof steps)[number], way: Way = "new-claim", findings?: object) =>
    step(at.clients, name, asked(way), findings);
  const refused = async (made: Promise<unknown>): Promise<Refusal["parts"]> => {
    try {
      await made;
    } catch (error) {
      if (error instanceof Refusal) return error.parts;
      throw error;
    }
    return assert.fail("was not refused");
  };
  const change = (more: (ledger: Ledger) => Ledger) =>
    writeLedger(at.clients, ref, (current) => more(current as Ledger));
  const claimOf = (name: string) => stored<V1PersistentVolumeClaim>(at.home, claims, name, ref.namespace);

  describe("the whole way", () => {
    it("new-claim: the template names the new claim, both claims stay where they are", async () => {
      await cutOver(at.clients, asked("new-claim"));
      assert.deepEqual(await picture(at), {
        replicas: 1,
        annotations: {},
        template: [newClaim],
        pods: [["valheim-server-data-0", newClaim]],
        claims: { [ref.claim]: `${oldVolume} Bound`, [newClaim]: `${newVolume} Bound` },
        policies: { [oldVolume]: "Retain Bound", [newVolume]: "Retain Bound" },
      });
    });

    it("same-name: the new volume under the old name, the old one kept, the temporary claim gone, nothing else of the workload changed", async () => {
      await at.clients.kubernetes.patch(
        claims,
        ref.claim,
        {
          metadata: {
            labels: { app: "valheim" },
            annotations: { note: "theirs", "pv.kubernetes.io/bind-completed": "yes" },
          },
        },
        ref.namespace,
      );
      await cutOver(at.clients, asked("same-name"));
      assert.deepEqual(await picture(at), {
        replicas: 1,
        annotations: {},
        template: [ref.claim],
        pods: [["valheim-server-data-0", ref.claim]],
        claims: { [ref.claim]: `${newVolume} Bound`, [`${ref.claim}-old`]: `${oldVolume} Bound` },
        policies: { [oldVolume]: "Retain Bound", [newVolume]: "Retain Bound" },
      });
      const { metadata, spec } = claimOf(ref.claim);
      assert.deepEqual(metadata?.labels, { app: "valheim" });
      assert.deepEqual(metadata?.annotations, { note: "theirs", "home-cluster/volume": "games/valheim-server-data" });
      assert.deepEqual(spec, {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "longhorn",
        volumeName: newVolume,
        resources: { requests: { storage: "20Gi" } },
      });
      const old = claimOf(`${ref.claim}-old`);
      assert.deepEqual(old.metadata?.labels, migrationLabels);
      assert.deepEqual(old.spec?.resources?.requests, { storage: "10Gi" });
    });

    for (const way of ways) {
      it(`${way}: the ledger has every phase in its order, the fence, the comparison behind it and what was set to Retain`, async () => {
        for (const [name, phase] of [
          ["prepare", "warm"],
          ["quiesce", "quiesced"],
          ["conclude", "settled"],
          ["switch", "switching"],
          ["resume", "switching"],
          ["probe", "switched"],
        ] as const) {
          await run(name, way);
          assert.equal((await ledgerOf(at)).phase, phase, name);
        }
        const { cutover, reclaim } = await ledgerOf(at);
        assert.match(cutover?.fence?.id ?? "", fenceForm);
        assert.equal(cutover?.comparison?.fence, cutover?.fence?.id);
        assert.equal(cutover?.comparison?.manifest, agreement.manifest);
        assert.deepEqual(reclaim, {
          source: { volume: oldVolume, policy: "Delete" },
          target: { volume: newVolume, policy: "Delete" },
        });
        const live = way === "new-claim" ? newClaim : ref.claim;
        assert.deepEqual(cutover?.live, { claim: live, uid: claimOf(live).metadata?.uid });
      });

      it(`${way}: each step run again afterwards, as where the engine has lost its state, changes nothing`, async () => {
        await cutOver(at.clients, asked(way));
        const before = JSON.stringify(at.home.kubernetes.objects);
        for (const name of steps) await run(name, way);
        assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
      });
    }

    it("does not start again what a person has stopped since", async () => {
      await cutOver(at.clients, asked("new-claim"));
      await at.clients.kubernetes.patch(statefulSets, ref.claim, { spec: { replicas: 0 } }, ref.namespace);
      for (const name of steps) await run(name);
      assert.equal((await picture(at)).replicas, 0);
    });
  });

  describe("prepare-cutover", () => {
    it("refuses everything that stands against it at once, and changes nothing", async () => {
      await at.clients.kubernetes.patch(nodes, "rancheros-2", { spec: { unschedulable: null } });
      const own = claimOf(ref.claim);
      own.metadata = {
        ...own.metadata,
        ownerReferences: [{ apiVersion: "v1", kind: "Cluster", name: "db", uid: "u" }],
      };
      await at.clients.kubernetes.create({
        ...claims,
        metadata: { name: `${ref.claim}-old`, namespace: ref.namespace },
      });
      claimOf(newClaim).status = { phase: "Lost" };
      const before = cluster(at.home);
      const { what, why } = await refused(run("prepare", "same-name"));
      assert.equal(what, "volume games/valheim-server-data: not ready for its cutover, and nothing was stopped");
      assert.deepEqual(
        why.split("\n").map((line) => line.trim()),
        [
          "the claim valheim-server-data-longhorn is Lost, not Bound",
          "pods can still land on rancheros-2, where no volume of Longhorn can be attached",
          "the old claim belongs to Cluster db, which would make or delete claims of its name by itself",
          "the claim games/valheim-server-data-old, under which the old volume is to be kept, exists and is not this migration's",
        ],
      );
      assert.equal(cluster(at.home), before);
      assert.equal((await ledgerOf(at)).reclaim, undefined);
    });

    it("never takes what it set itself for what was there before", async () => {
      await run("prepare");
      await run("prepare");
      assert.equal((await ledgerOf(at)).reclaim?.source.policy, "Delete");
    });

    it("refuses when Retain does not stay", async () => {
      const patch = at.clients.kubernetes.patch.bind(at.clients.kubernetes);
      at.clients.kubernetes.patch = async (kind, name, body, namespace) =>
        kind.kind === volumes.kind ? stored(at.home, kind, name) : patch(kind, name, body, namespace);
      assert.match((await refused(run("prepare"))).what, /its reclaim policy is Delete, not Retain/);
    });
  });

  describe("the fence", () => {
    beforeEach(async () => {
      await run("prepare");
    });

    it("is written once nothing mounts, says what it is, how to go on and the way back", async () => {
      const { fence, supersedes } = (await run("quiesce")) as { fence: string; supersedes: string };
      assert.match(fence, fenceForm);
      assert.equal(supersedes, "");
      assert.equal(
        at.lines.at(-1),
        `volume games/valheim-server-data: stopped, fence ${fence}; next: let this \`pulumi up\` go on, or run it again; ` +
          `the workload stays stopped until then. Back to the old volume at any time: ${back}`,
      );
      assert.deepEqual((await picture(at)).pods, []);
    });

    it("is the same in a run that comes again", async () => {
      const first = await run("quiesce");
      assert.deepEqual(await run("quiesce"), first);
    });

    it("a volume without a warm copy is not stopped at all", async () => {
      const name = `volume-${ref.namespace}-${ref.claim}`;
      const map = stored(at.home, { apiVersion: "v1", kind: "ConfigMap" }, name, "home-cluster") as {
        data?: Record<string, string>;
      };
      map.data = { ledger: (map.data?.ledger ?? "").replace('"phase": "warm"', '"phase": "copied"') };
      assert.match((await refused(run("quiesce"))).why, /there is no warm copy/);
      assert.equal((await picture(at)).replicas, 1);
    });

    const crossings: readonly (readonly [string, () => Promise<void>, RegExp])[] = [
      [
        "a pod on the old claim",
        () => startPod(at, "intruder", ref.claim),
        /pod intruder \(Running\) refers to the volume/,
      ],
      ["a pod on the new claim", () => startPod(at, "intruder", newClaim), /pod intruder/],
      [
        "a pod that came and has ended",
        () => startPod(at, "backup", ref.claim, { status: { phase: "Succeeded" } }),
        /pod backup \(Succeeded\)/,
      ],
      [
        "an owner that was started and stopped again",
        async () => {
          const set = stored(at.home, statefulSets, ref.claim, ref.namespace);
          set.metadata = { ...set.metadata, generation: (set.metadata?.generation ?? 0) + 2 };
        },
        /StatefulSet games\/valheim-server-data was changed/,
      ],
    ];
    for (const [title, cross, why] of crossings) {
      it(`does not stand after ${title}: not for the verdict, not for the switch, not for a quiesce that runs again`, async () => {
        await run("quiesce");
        await cross();
        for (const name of ["quiesce", "conclude"] as const) {
          const parts = await refused(run(name));
          assert.match(parts.why, why);
          assert.ok(parts.next.startsWith(back), parts.next);
        }
        assert.equal((await ledgerOf(at)).phase, "quiesced");
        await change((ledger) => ({ ...ledger, phase: "settled" }));
        await change((ledger) => ({
          ...ledger,
          ...(ledger.cutover?.comparison && {
            cutover: {
              ...ledger.cutover,
              comparison: { ...ledger.cutover.comparison, consumers: [], targetConsumers: [] },
            },
          }),
        }));
        const before = cluster(at.home);
        assert.match((await refused(run("switch"))).why, why);
        assert.equal(cluster(at.home), before);
      });
    }

    it("a backup's pod that had ended before it is no crossing", async () => {
      await startPod(at, "backup", ref.claim, { status: { phase: "Succeeded" } });
      await run("quiesce");
      await run("conclude");
      await run("switch");
    });
  });

  describe("the verdict", () => {
    beforeEach(() => cutOver(at.clients, asked("new-claim"), "quiesce"));

    it("one difference keeps the workload on the old volume, with the first files, and the command to start it", async () => {
      await finalVerification(at.clients, (await ledgerOf(at)).cutover?.fence?.id ?? "", difference);
      const { what, why, next } = await refused(run("conclude"));
      assert.equal(
        what,
        "volume games/valheim-server-data: the new volume differs from the old one in 12 places with the workload stopped, and nothing was switched",
      );
      assert.match(why, /'db.sqlite': content\n *'db.sqlite': mtime\n *and 10 more$/);
      assert.ok(
        next.startsWith(
          `${back}, which starts the workload on the old volume (it is stopped until then); then write attempt: 2`,
        ),
      );
      const ledger = await ledgerOf(at);
      assert.equal(ledger.phase, "quiesced");
      assert.deepEqual(ledger.cutover?.comparison?.first, difference.first);
      assert.match(
        (await refused(run("switch"))).why,
        /the ledger says quiesced, and its comparison is of fence 1-.* with 12 differences/,
      );
    });

    it("a file that went away counts as a writer", async () => {
      await finalVerification(at.clients, (await ledgerOf(at)).cutover?.fence?.id ?? "", { ...agreement, vanished: 1 });
      assert.match((await refused(run("conclude"))).why, /1 files went away meanwhile/);
    });

    for (const [title, fence, findings, why] of [
      ["another fence", "1-other", agreement, /behind fence 1-other/],
      ["no fence", undefined, agreement, /behind no fence/],
      ["the warm phase", undefined, { ...agreement, phase: "warm" }, /behind no fence/],
    ] as const)
      it(`a verification of ${title} does not count`, async () => {
        await finalVerification(at.clients, fence as string, findings);
        const parts = await refused(run("conclude"));
        assert.match(parts.why, why);
        assert.ok(parts.next.endsWith(back));
        assert.equal((await ledgerOf(at)).cutover?.comparison, undefined);
      });
  });

  describe("switch-volume, same-name", () => {
    beforeEach(() => cutOver(at.clients, asked("same-name"), "conclude"));

    it("leaves a claim alone that somebody made under the freed name, and goes on once it is gone", async () => {
      const remove = at.clients.kubernetes.remove.bind(at.clients.kubernetes);
      at.clients.kubernetes.remove = async (kind, name, namespace, options) => {
        await remove(kind, name, namespace, options);
        if (kind.kind !== claims.kind || name !== ref.claim) return;
        at.clients.kubernetes.remove = remove;
        await at.clients.kubernetes.create({
          ...claims,
          metadata: { name, namespace },
          spec: { volumeName: "other" },
        } as never);
      };
      // The name is free for a moment, in which something else takes it: the new volume is not bound to that.
      const first = await refused(run("switch", "same-name"));
      assert.match(first.what + first.why, /valheim-server-data/);
      const second = await refused(run("switch", "same-name"));
      assert.match(
        second.what,
        /the claim valheim-server-data \(UID .*\) is not one of this migration, and it was left alone/,
      );
      await remove(claims, ref.claim, ref.namespace);
      await run("switch", "same-name");
      assert.equal(claimOf(ref.claim).spec?.volumeName, newVolume);
    });

    it("deletes a claim only as the one that it looked at", async () => {
      const asks: (string | undefined)[][] = [];
      const remove = at.clients.kubernetes.remove.bind(at.clients.kubernetes);
      at.clients.kubernetes.remove = async (kind, name, namespace, options) => {
        asks.push([kind.kind, name, options?.uid]);
        return remove(kind, name, namespace, options);
      };
      const [source, target] = [claimOf(ref.claim).metadata?.uid, claimOf(newClaim).metadata?.uid];
      await run("switch", "same-name");
      assert.deepEqual(
        asks.filter(([kind]) => kind === claims.kind),
        [
          [claims.kind, newClaim, target],
          [claims.kind, ref.claim, source],
        ],
      );
      assert.ok(
        asks.every(([, , uid]) => typeof uid === "string" && uid !== ""),
        "finished pods by their UIDs, too",
      );
    });

    it("deletes nothing while a Job of the migration still runs on it", async () => {
      await startPod(at, "late", newClaim, { labels: migrationLabels });
      const before = cluster(at.home);
      assert.match((await refused(run("switch", "same-name"))).what, /late/);
      assert.equal(cluster(at.home), before);
    });

    it("deletes nothing while a volume is not on Retain", async () => {
      await at.clients.kubernetes.patch(volumes, oldVolume, { spec: { persistentVolumeReclaimPolicy: "Delete" } });
      assert.match((await refused(run("switch", "same-name"))).what, /reclaim policy is Delete, not Retain/);
      assert.equal(claimOf(newClaim).metadata?.deletionTimestamp, undefined);
      assert.equal(claimOf(ref.claim).metadata?.deletionTimestamp, undefined);
    });

    it("refuses claims that are not those that were compared", async () => {
      claimOf(newClaim).metadata = { ...claimOf(newClaim).metadata, uid: "another" };
      assert.match((await refused(run("switch", "same-name"))).why, /the claims are not those that were compared/);
    });
  });

  describe("a rollback", () => {
    for (const way of ways) {
      for (const last of steps.slice(1)) {
        it(`${way}, after ${last}: as it was, with Retain; a second one has nothing to do`, async () => {
          const before = await picture(at);
          await cutOver(at.clients, asked(way), last);
          assert.equal((await rollback(at.clients)).state, "done");
          assert.deepEqual(await picture(at), {
            ...before,
            policies: { [oldVolume]: "Retain Bound", [newVolume]: "Retain Bound" },
          });
          const { phase, cutover, rollback: mark } = await ledgerOf(at);
          assert.deepEqual([phase, cutover, mark?.state], ["warm", undefined, "done"]);
          assert.equal(mark?.used, ["switch", "resume", "probe"].includes(last));
          const objects = cluster(at.home);
          assert.deepEqual(await rollback(at.clients), { state: "nothing", steps: [] });
          assert.equal(cluster(at.home), objects);
        });
      }
    }

    it("brings back the replicas that the workload has now, not those of the quiesce", async () => {
      await cutOver(at.clients, asked("new-claim"));
      await at.clients.kubernetes.patch(statefulSets, ref.claim, { spec: { replicas: 2 } }, ref.namespace);
      await rollback(at.clients);
      assert.equal((await picture(at)).replicas, 2);
    });

    it("stops every step of the cutover that still runs, from its first mark on", async () => {
      await cutOver(at.clients, asked("same-name"), "conclude");
      await change((ledger) => ({
        ...ledger,
        phase: "warm",
        rollback: { state: "begun", at: "2026-01-01T00:00:00.000Z", from: "settled", attempt: 1, used: false },
      }));
      const before = cluster(at.home);
      for (const name of steps.slice(1)) {
        const { what, next } = await refused(run(name, "same-name"));
        assert.match(what, /a rollback to the old volume was begun/);
        assert.equal(next, back);
      }
      assert.equal(cluster(at.home), before);
    });

    it("from before the switch, another cutover of the same copy takes the place of its fence", async () => {
      await cutOver(at.clients, asked("new-claim"), "quiesce");
      const first = (await ledgerOf(at)).cutover?.fence?.id ?? "";
      await rollback(at.clients);
      const again = asked("new-claim", { attempt: 2 });
      await step(at.clients, "prepare", again);
      const { fence, supersedes } = (await step(at.clients, "quiesce", again)) as { fence: string; supersedes: string };
      assert.match(fence, /^2-/);
      assert.equal(supersedes, first);
      for (const name of steps.slice(2)) await step(at.clients, name, again);
      assert.equal((await ledgerOf(at)).phase, "switched");
      assert.equal((await ledgerOf(at)).reclaim?.source.policy, "Delete");
    });

    it("from a volume that was in use, no fence is ever taken the place of", async () => {
      await cutOver(at.clients, asked("new-claim"));
      await rollback(at.clients);
      assert.equal((await ledgerOf(at)).fencesBefore, undefined);
    });

    it("says before what it will do, and changes nothing by that", async () => {
      await cutOver(at.clients, asked("new-claim"));
      const before = JSON.stringify(at.home.kubernetes.objects);
      const { state, steps: said } = await planRollback.run({ environment: "home", ...ref }, at.clients);
      assert.equal(state, "planned");
      assert.deepEqual(said.slice(0, 2), [
        "stop StatefulSet games/valheim-server-data",
        `point it from claim ${newClaim} to ${ref.claim}`,
      ]);
      assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
    });

    it("of a volume that has no ledger, or no cutover, there is nothing to do", async () => {
      assert.equal((await rollback(at.clients)).state, "nothing");
      at.home.kubernetes.objects = at.home.kubernetes.objects.filter(({ kind }) => kind !== "ConfigMap");
      assert.equal((await rollback(at.clients)).state, "nothing");
      assert.equal(await readLedger(at.clients.kubernetes, ref), undefined);
    });
  });

  describe("finalize", () => {
    const finalize = (way: Way) => finalizeVolume.run(asked(way), at.clients);

    it("refuses without a verified switch, at every step before it", async () => {
      for (const name of ["prepare", "quiesce", "conclude", "switch", "resume"] as const) {
        await run(name);
        if (name === "prepare") continue;
        const before = cluster(at.home);
        for (const operation of [prepareFinalize, finalizeVolume])
          assert.match(
            (await refused(operation.run(asked("new-claim"), at.clients))).what,
            /not finalized, and nothing was let go of/,
          );
        assert.equal(cluster(at.home), before);
      }
    });

    it("refuses a ledger that was only made to say so", async () => {
      await cutOver(at.clients, asked("new-claim"), "quiesce");
      await change((ledger) => ({ ...ledger, phase: "switched" }));
      assert.match((await refused(finalize("new-claim"))).what, /not finalized/);
    });

    it("refuses when the workload's claim is not the one it was switched to", async () => {
      await cutOver(at.clients, asked("new-claim"));
      claimOf(newClaim).metadata = { ...claimOf(newClaim).metadata, uid: "another" };
      assert.match(
        (await refused(prepareFinalize.run(asked("new-claim"), at.clients))).why,
        /is not the same any more/,
      );
    });

    for (const way of ways) {
      const kept = way === "new-claim" ? ref.claim : `${ref.claim}-old`;
      it(`${way}: deletes nothing, puts the policies back, and says which claim still keeps the old data`, async () => {
        await cutOver(at.clients, asked(way));
        const before = await picture(at);
        const live = way === "new-claim" ? newClaim : ref.claim;
        assert.deepEqual(await prepareFinalize.run(asked(way), at.clients), {
          claim: live,
          uid: claimOf(live).metadata?.uid,
          sourceUid: (await ledgerOf(at)).sourceUid,
          nodeSelector: { "kubernetes.io/hostname": "debian-1" },
        });
        const result = await finalize(way);
        assert.deepEqual(result, {
          kept: [
            `the old data stays in claim ${kept} (PersistentVolume ${oldVolume}, reclaim policy Delete) until you delete it: ` +
              `\`kubectl -n games delete persistentvolumeclaim ${kept}\``,
          ],
        });
        assert.deepEqual(await picture(at), {
          ...before,
          policies: { [oldVolume]: "Delete Bound", [newVolume]: "Delete Bound" },
        });
        assert.equal((await ledgerOf(at)).phase, "finalized");
        assert.deepEqual(await finalize(way), result);
        await assert.rejects(rollback(at.clients), /not rolled back, it is finalized/);
      });
    }

    it("a volume whose claim is gone already keeps Retain: with Delete its data would go at once", async () => {
      await cutOver(at.clients, asked("new-claim"));
      await at.clients.kubernetes.remove(claims, ref.claim, ref.namespace);
      assert.deepEqual((await finalize("new-claim")).kept, [
        `the old data stays in PersistentVolume ${oldVolume}, which no claim keeps any more: its reclaim policy stays Retain`,
      ]);
      assert.equal(stored(at.home, volumes, oldVolume).spec?.persistentVolumeReclaimPolicy, "Retain");
    });

    it("runs where Debian nodes are when nobody uses the new volume", async () => {
      await cutOver(at.clients, asked("new-claim"));
      await at.clients.kubernetes.patch(statefulSets, ref.claim, { spec: { replicas: 0 } }, ref.namespace);
      await picture(at);
      const { nodeSelector } = await prepareFinalize.run(asked("new-claim"), at.clients);
      assert.deepEqual(nodeSelector, { "home-cluster/node": "debian" });
    });
  });
});
