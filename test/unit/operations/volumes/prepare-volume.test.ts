import assert from "node:assert/strict";
import type { V1Job, V1Node } from "@kubernetes/client-node";
import { claims, csiNodes, jobs, namespaces, nodes, storageClasses } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { readLedger, writeLedger, type Ledger } from "../../../../operations/volumes/ledger";
import { migrationLabels } from "../../../../operations/volumes/migration-pod";
import { prepareVolume } from "../../../../operations/volumes/prepare-volume";
import {
  cluster,
  drop,
  makeClaim,
  migrationHome,
  newClaim,
  put,
  ref,
  start,
  startPod,
  stopWorkload,
  stored,
  workload,
  type MigrationHome,
} from "../../../support/volumes";

type Input = Parameters<typeof prepareVolume.run>[0];

const input: Input = {
  ...ref,
  newClaim,
  accessMode: "ReadWriteOnce",
  stage: "copy",
  attempt: 1,
  oldStorageClass: "nfs-client",
  storageClass: "longhorn",
  oldSize: "10Gi",
};

function copyJob(attempt: number, status: V1Job["status"], volume = "games/valheim-server-data"): V1Job {
  return {
    apiVersion: jobs.apiVersion,
    kind: jobs.kind,
    metadata: {
      name: `volume-migration-${attempt}`,
      namespace: ref.namespace,
      labels: migrationLabels,
      annotations: { "home-cluster/volume": volume, "home-cluster/attempt": String(attempt) },
    },
    status,
  };
}

describe("operations/volumes/prepare-volume (does not prove that NFS lets root read, nor that the new volume is large enough for what is really there)", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await migrationHome();
  });
  const run = (change: Partial<Input> = {}) => prepareVolume.run({ ...input, ...change }, at.clients);
  const ledger = () => readLedger(at.clients.kubernetes, ref);
  const source = () => stored(at.home, claims, ref.claim, ref.namespace);

  it("opens the ledger, says who uses the volume, and returns what the copy has to know", async () => {
    const uid = source().metadata?.uid ?? "";
    assert.deepEqual(await run(), { sourceUid: uid });
    const expected: Ledger = {
      version: 1,
      volume: "games/valheim-server-data",
      phase: "prepared",
      attempt: 1,
      sourceUid: uid,
      sourceVolume: "pvc-games-valheim-server-data",
      targetClaim: newClaim,
      times: { prepared: start },
      consumers: [workload],
    };
    assert.deepEqual(await ledger(), expected);
    assert.deepEqual(at.lines, [
      "volume games/valheim-server-data: ready to be copied (attempt 1, ledger in home-cluster: prepared); " +
        "in use by StatefulSet/valheim-server-data (pod valheim-server-data-0 on rancheros-1)",
    ]);
  });

  it("writes nothing else", async () => {
    const before = cluster(at.home);
    await run();
    assert.equal(cluster(at.home), before);
  });

  it("a volume that nobody uses is as ready", async () => {
    await stopWorkload(at);
    await run();
    assert.deepEqual((await ledger())?.consumers, []);
    assert.match(at.lines[0] ?? "", /in use by nobody$/);
  });

  describe("run again (its update)", () => {
    it("changes nothing when nothing changed", async () => {
      const first = await run();
      const before = JSON.stringify(at.home.kubernetes.objects);
      await at.clients.clock.sleep(3_600_000);
      assert.deepEqual(await run(), first);
      assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
    });

    it("a raised attempt and who uses it now are noted, and the phase stays", async () => {
      await run();
      await makeClaim(at);
      await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), phase: "warm" }));
      await stopWorkload(at);
      await run({ attempt: 2 });
      const after = await ledger();
      assert.equal(after?.attempt, 2);
      assert.equal(after.phase, "warm");
      assert.deepEqual(after.consumers, []);
    });

    it("a raised attempt with another new claim begins a new ledger", async () => {
      await run();
      await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), phase: "warm", targetUid: "old" }));
      await at.clients.clock.sleep(60_000);
      await run({ attempt: 2, newClaim: "another" });
      const after = await ledger();
      assert.equal(after?.phase, "prepared");
      assert.equal(after.targetClaim, "another");
      assert.equal(after.targetUid, undefined);
      assert.deepEqual(after.times, { prepared: "2026-01-01T00:01:00.000Z" });
    });

    it("our own new claim is accepted", async () => {
      await run();
      await makeClaim(at);
      await run();
      assert.equal((await ledger())?.phase, "prepared");
    });

    it("a Job of the same attempt, a finished one and another volume's are accepted", async () => {
      await run();
      await at.clients.kubernetes.create(copyJob(2, { active: 1 }));
      await at.clients.kubernetes.create(copyJob(1, { conditions: [{ type: "Failed", status: "True" }] }));
      await at.clients.kubernetes.create(copyJob(7, { active: 1 }, "games/another"));
      await run({ attempt: 2 });
      assert.equal((await ledger())?.attempt, 2);
    });
  });

  const cases: readonly {
    title: string;
    break?: () => unknown;
    change?: Partial<Input>;
    why: RegExp;
    next: RegExp;
  }[] = [
    {
      title: "no such claim",
      break: () => drop(at.home, source()),
      why: /there is no claim games\/valheim-server-data/,
      next: /kubectl -n games get persistentvolumeclaims/,
    },
    {
      title: "a claim that waits for a volume",
      break: () => (source().status = { phase: "Pending" }),
      why: /the old claim is Pending, not Bound/,
      next: /kubectl -n games describe persistentvolumeclaim valheim-server-data/,
    },
    {
      title: "a claim that lost its volume",
      break: () => (source().status = { phase: "Lost" }),
      why: /the old claim is Lost, not Bound/,
      next: /describe/,
    },
    {
      title: "a claim without a status",
      break: () => (source().status = undefined),
      why: /the old claim is of unknown phase, not Bound/,
      next: /describe/,
    },
    {
      title: "a claim that is being deleted",
      break: () => (source().metadata = { ...source().metadata, deletionTimestamp: new Date() }),
      why: /the old claim is being deleted, not Bound/,
      next: /describe/,
    },
    {
      title: "a claim of another class",
      break: () => (source().spec = { ...source().spec, storageClassName: "fast" }),
      why: /of the storage class fast, not nfs-client/,
      next: /correct oldStorage\.storageClass/,
    },
    {
      title: "a claim of no class",
      break: () => (source().spec = { ...source().spec, storageClassName: undefined }),
      why: /of the storage class \(none\), not nfs-client/,
      next: /correct oldStorage\.storageClass/,
    },
    {
      title: "a declared size below the live one",
      break: () => (source().spec = { ...source().spec, resources: { requests: { storage: "20Gi" } } }),
      why: /asks for 20Gi, and the file says oldSize 10Gi/,
      next: /write oldSize: 20Gi/,
    },
    {
      title: "a declared size above the live one",
      change: { oldSize: "20Gi" },
      why: /asks for 10Gi/,
      next: /oldSize: 10Gi/,
    },
    {
      title: "a claim without a size",
      break: () => (source().spec = { ...source().spec, resources: undefined }),
      why: /asks for no size/,
      next: /oldSize/,
    },
    {
      title: "a claim for a single pod",
      break: () => (source().spec = { ...source().spec, accessModes: ["ReadWriteOncePod"] }),
      why: /ReadWriteOncePod: no pod of ours can mount it/,
      next: /by hand/,
    },
    {
      title: "pods on two nodes and a volume for one",
      break: () => startPod(at, "second", ref.claim, { node: "rancheros-2" }),
      why: /accessMode is ReadWriteOnce, and pods on 2 nodes use the volume at once: bare pod \(pod second on rancheros-2\), StatefulSet/,
      next: /accessMode: ReadWriteMany/,
    },
    {
      title: "a new name that is taken by somebody else's claim",
      break: () => makeClaim(at, { annotation: "games/another" }),
      why: /the claim games\/valheim-server-data-longhorn exists and was not made for this volume/,
      next: /write a newClaim/,
    },
    {
      title: "our new claim of another class",
      break: () => makeClaim(at, { storageClass: "fast" }),
      why: /of the storage class fast, not longhorn, which no claim can change/,
      next: /another newClaim and a higher attempt/,
    },
    {
      title: "our new claim in use",
      break: async () => {
        await makeClaim(at);
        await startPod(at, "early", newClaim);
      },
      why: /the new claim valheim-server-data-longhorn is in use already: bare pod \(pod early on rancheros-1\)/,
      next: /take the volume out of the file/,
    },
    {
      title: "no such namespace",
      break: () => drop(at.home, stored(at.home, namespaces, "games")),
      why: /there is no namespace games/,
      next: /kubectl get namespaces/,
    },
    {
      title: "a namespace that takes no root",
      break: () => {
        stored(at.home, namespaces, "games").metadata = {
          name: "games",
          labels: { "pod-security.kubernetes.io/enforce": "restricted" },
        };
      },
      why: /the namespace games lets no copy in: it enforces the Pod Security level restricted, which takes no root/,
      next: /kubectl label namespace games pod-security\.kubernetes\.io\/enforce=baseline --overwrite/,
    },
    {
      title: "no such class",
      change: { storageClass: "absent" },
      why: /there is no storage class absent/,
      next: /`pulumi up` of the services layer/,
    },
    {
      title: "a class that waits for a pod",
      break: () => (stored(at.home, storageClasses, "longhorn").volumeBindingMode = "WaitForFirstConsumer"),
      why: /are bound only once a pod uses them/,
      next: /Immediate/,
    },
    {
      title: "no Debian node",
      break: () => drop(at.home, stored(at.home, nodes, "debian-1")),
      why: /no Debian node is Ready and takes pods/,
      next: /kubectl get nodes -l home-cluster\/node=debian/,
    },
    {
      title: "a Debian node that is not Ready",
      break: () =>
        (stored<V1Node>(at.home, nodes, "debian-1").status = { conditions: [{ type: "Ready", status: "Unknown" }] }),
      why: /no Debian node is Ready/,
      next: /kubectl get nodes/,
    },
    {
      title: "a Debian node without a status",
      break: () => (stored<V1Node>(at.home, nodes, "debian-1").status = undefined),
      why: /no Debian node is Ready/,
      next: /kubectl get nodes/,
    },
    {
      title: "a cordoned Debian node",
      break: () => (stored(at.home, nodes, "debian-1").spec = { unschedulable: true }),
      why: /no Debian node is Ready and takes pods/,
      next: /kubectl get nodes/,
    },
    {
      title: "the driver on no Debian node",
      break: () => drop(at.home, stored(at.home, csiNodes, "debian-1")),
      why: /no Debian node that takes pods has the driver driver\.longhorn\.io: debian-1/,
      next: /kubectl get csinodes/,
    },
    {
      title: "only another driver on the Debian node",
      break: () => (stored(at.home, csiNodes, "debian-1").spec = { drivers: [{ name: "other", nodeID: "x" }] }),
      why: /has the driver driver\.longhorn\.io/,
      next: /kubectl get csinodes/,
    },
    {
      title: "another attempt's Job that runs",
      break: () => at.clients.kubernetes.create(copyJob(3, { active: 1 })),
      why: /Job volume-migration-3 of another attempt is not over/,
      next: /kubectl -n games delete job volume-migration-3/,
    },
  ];
  for (const { title, break: damage, change, why, next } of cases) {
    it(`refuses ${title}, and opens no ledger`, async () => {
      await damage?.();
      await assert.rejects(
        run(change),
        (error) =>
          error instanceof Refusal &&
          error.parts.what === "volume games/valheim-server-data: not ready to be copied, and nothing was changed" &&
          why.test(error.parts.why) &&
          next.test(error.parts.next),
      );
      assert.equal(await ledger(), undefined);
    });
  }

  it("a class may also stand in the annotation of old claims", async () => {
    source().spec = { ...source().spec, storageClassName: undefined };
    source().metadata = {
      ...source().metadata,
      annotations: { "volume.beta.kubernetes.io/storage-class": "nfs-client" },
    };
    await run();
    assert.equal((await ledger())?.phase, "prepared");
  });

  it("the driver on one of several Debian nodes is enough", async () => {
    await put(at.clients, {
      ...stored(at.home, nodes, "debian-1"),
      metadata: { name: "debian-0", labels: { "home-cluster/node": "debian" } },
    });
    await run();
    assert.equal((await ledger())?.phase, "prepared");
  });

  it("many pods on many nodes are fine for a volume for many", async () => {
    await startPod(at, "second", ref.claim, { node: "rancheros-2" });
    await run({ accessMode: "ReadWriteMany" });
    assert.equal((await ledger())?.consumers.length, 2);
  });

  it("reports everything that stands against it at once", async () => {
    source().status = { phase: "Lost" };
    drop(at.home, stored(at.home, csiNodes, "debian-1"));
    await assert.rejects(
      run({ oldSize: "20Gi" }),
      (error) => error instanceof Refusal && error.parts.why.split("\n").length === 3,
    );
  });

  for (const phase of ["switched", "finalized"] as const) {
    it(`refuses a volume that is ${phase}, and leaves its ledger`, async () => {
      await run();
      const before = await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), phase }));
      await assert.rejects(run({ attempt: 2 }), new RegExp(`the ledger says ${phase}`));
      assert.deepEqual(await ledger(), before);
    });
  }

  it("refuses a broken ledger, and leaves it", async () => {
    await put(at.clients, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "volume-games-valheim-server-data", namespace: "home-cluster" },
      data: { ledger: "{" },
    });
    await assert.rejects(run(), /refused, and left as it is/);
  });

  describe("each input changed, its update", () => {
    const changes: {
      readonly [key in keyof Input]: { readonly to: Input[key]; readonly does: RegExp | Partial<Ledger> };
    } = {
      namespace: { to: "media", does: /there is no claim media\/valheim-server-data/ },
      claim: { to: "other", does: /there is no claim games\/other/ },
      newClaim: { to: "another", does: /called another in the file/ },
      accessMode: { to: "ReadWriteMany", does: /accessMode is ReadWriteMany/ },
      stage: { to: "copy", does: { phase: "warm", attempt: 1 } },
      attempt: { to: 2, does: { phase: "warm", attempt: 2 } },
      oldStorageClass: { to: "other", does: /of the storage class nfs-client, not other/ },
      storageClass: { to: "other", does: /there is no storage class other/ },
      oldSize: { to: "9Gi", does: /oldSize 9Gi/ },
    };
    for (const [key, { to, does }] of Object.entries(changes)) {
      it(`${key}: ${does instanceof RegExp ? "refused, nothing changed" : "noted in the ledger, whose phase stays"}`, async () => {
        await run();
        const targetUid = await makeClaim(at);
        const before = await writeLedger(at.clients, ref, (current) => ({
          ...(current as Ledger),
          phase: "warm",
          targetUid,
        }));
        const rest = cluster(at.home);
        const update = run({ [key]: to });
        if (does instanceof RegExp) {
          await assert.rejects(update, does);
          assert.deepEqual(await ledger(), before);
        } else {
          await update;
          assert.deepEqual(await ledger(), { ...before, ...does });
        }
        assert.equal(cluster(at.home), rest);
      });
    }
  });
});
