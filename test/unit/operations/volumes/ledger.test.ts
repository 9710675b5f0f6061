import assert from "node:assert/strict";
import type { V1ConfigMap } from "@kubernetes/client-node";
import { ApiRefusal, type KubernetesApi } from "../../../../operations/clients";
import { configMaps } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import {
  hasReached,
  ledgerName,
  ledgerNamespace,
  ledgerPhases,
  readLedger,
  writeLedger,
  type Ledger,
} from "../../../../operations/volumes/ledger";
import { buildHome } from "../../../../rehearsal/home/build";
import { pretendClients } from "../../../../rehearsal/home/clients";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { environment } from "../../../support/environment";

const volume = { namespace: "games", claim: "valheim-server-data" };
const start = "2026-01-01T00:00:00.000Z";

function home() {
  const state = buildHome(environment("home"));
  return pretendClients(state, new VirtualClock(state.now));
}

function prepared(change: Partial<Ledger> = {}): Ledger {
  return {
    version: 1,
    volume: "games/valheim-server-data",
    phase: "prepared",
    attempt: 1,
    sourceUid: "source-uid",
    sourceVolume: "pvc-games-valheim-server-data",
    targetClaim: "valheim-server-data-longhorn",
    times: {},
    consumers: [{ pod: "valheim-server-data-0", owner: "StatefulSet/valheim-server-data", node: "rancheros-1" }],
    ...change,
  };
}

async function stored(kubernetes: KubernetesApi): Promise<V1ConfigMap> {
  const found = await kubernetes.read(configMaps, ledgerName(volume), ledgerNamespace);
  assert.ok(found);
  return found;
}

/** A ledger as somebody else may have left it. */
async function put(kubernetes: KubernetesApi, data: Record<string, string>): Promise<void> {
  await kubernetes.create<V1ConfigMap>({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: ledgerName(volume), namespace: ledgerNamespace },
    data,
  });
}

const refusal = (pattern: RegExp) => (error: unknown) => error instanceof Refusal && pattern.test(error.message);

describe("operations/volumes/ledger (does not prove that a real API server honours resourceVersion)", () => {
  it("is absent before anything was written", async () => {
    assert.equal(await readLedger(home().kubernetes, volume), undefined);
  });

  it("is one ConfigMap per volume in our own namespace", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    const { metadata, data } = await stored(clients.kubernetes);
    assert.equal(metadata?.name, "volume-games-valheim-server-data");
    assert.equal(metadata?.namespace, "home-cluster");
    assert.deepEqual(metadata?.labels, {
      "app.kubernetes.io/managed-by": "home-cluster",
      "home-cluster/ledger": "volume",
    });
    assert.deepEqual(Object.keys(data ?? {}), ["ledger"]);
  });

  it("reads back what was written, with the time at which the phase was reached", async () => {
    const clients = home();
    const written = await writeLedger(clients, volume, () => prepared());
    assert.deepEqual(written, prepared({ times: { prepared: start } }));
    assert.deepEqual(await readLedger(clients.kubernetes, volume), written);
  });

  it("keeps the time of a phase that is written again", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    await clients.clock.sleep(60_000);
    const again = await writeLedger(clients, volume, (current) => ({ ...prepared(), ...current, attempt: 2 }));
    assert.deepEqual(again.times, { prepared: start });
  });

  it("writes nothing when nothing changed", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    const before = (await stored(clients.kubernetes)).metadata?.resourceVersion;
    await writeLedger(clients, volume, (current) => current ?? prepared());
    assert.equal((await stored(clients.kubernetes)).metadata?.resourceVersion, before);
  });

  it("keeps labels and annotations that others put on the ConfigMap", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    await clients.kubernetes.patch(
      configMaps,
      ledgerName(volume),
      { metadata: { annotations: { note: "theirs" } } },
      ledgerNamespace,
    );
    await writeLedger(clients, volume, (current) => ({ ...prepared(), ...current, phase: "copied" }));
    assert.deepEqual((await stored(clients.kubernetes)).metadata?.annotations, { note: "theirs" });
  });

  it("changes again what somebody else wrote in between, and loses neither change", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    let interfered = false;
    const read = clients.kubernetes.read.bind(clients.kubernetes);
    const kubernetes: KubernetesApi = Object.create(clients.kubernetes, {
      read: {
        value: async (...args: Parameters<typeof read>) => {
          const found = await read(...args);
          if (!interfered) {
            interfered = true;
            await writeLedger(clients, volume, (current) => ({ ...prepared(), ...current, targetUid: "theirs" }));
          }
          return found;
        },
      },
    }) as KubernetesApi;
    await writeLedger({ kubernetes, clock: clients.clock }, volume, (current) => ({
      ...prepared(),
      ...current,
      phase: "copied",
    }));
    const after = await readLedger(clients.kubernetes, volume);
    assert.equal(after?.targetUid, "theirs");
    assert.equal(after?.phase, "copied");
  });

  it("takes the ledger that somebody else created in between as its start", async () => {
    const clients = home();
    let first = true;
    const read = clients.kubernetes.read.bind(clients.kubernetes);
    const kubernetes: KubernetesApi = Object.create(clients.kubernetes, {
      read: {
        value: async (...args: Parameters<typeof read>) => {
          if (!first) return read(...args);
          first = false;
          await writeLedger(clients, volume, () => prepared({ phase: "verified" }));
          return undefined;
        },
      },
    }) as KubernetesApi;
    const after = await writeLedger({ kubernetes, clock: clients.clock }, volume, (current) => current ?? prepared());
    assert.equal(after.phase, "verified");
  });

  it("gives up after ten conflicts, and passes any other refusal on", async () => {
    const clients = home();
    await writeLedger(clients, volume, () => prepared());
    const failing = (error: Error) =>
      Object.create(clients.kubernetes, { replace: { value: async () => Promise.reject(error) } }) as KubernetesApi;
    const write = (kubernetes: KubernetesApi) =>
      writeLedger({ kubernetes, clock: clients.clock }, volume, () => prepared({ phase: "copied" }));
    await assert.rejects(write(failing(new ApiRefusal(409, "Conflict", "modified"))), refusal(/ten times in a row/));
    await assert.rejects(write(failing(new ApiRefusal(403, "Forbidden", "no right"))), /^ApiRefusal: no right$/);
  });

  describe("a phase never goes back", () => {
    for (const [index, current] of ledgerPhases.entries()) {
      for (const [other, next] of ledgerPhases.entries()) {
        const forward = other >= index;
        it(`${current} → ${next}: ${forward ? "written" : "refused, and the ledger is as it was"}`, async () => {
          const clients = home();
          const before = await writeLedger(clients, volume, () => prepared({ phase: current }));
          const write = writeLedger(clients, volume, () => prepared({ phase: next }));
          if (forward) assert.equal((await write).phase, next);
          else {
            await assert.rejects(write, refusal(new RegExp(`not set from ${current} back to ${next}`)));
            assert.deepEqual(await readLedger(clients.kubernetes, volume), before);
          }
        });
      }
    }
  });

  describe("a copy begins anew", () => {
    const anew = prepared({ attempt: 2, targetClaim: "another" });
    for (const phase of ["prepared", "copied", "warm"] as const) {
      it(`from ${phase}, into another claim under a higher attempt`, async () => {
        const clients = home();
        await writeLedger(clients, volume, () => prepared({ phase }));
        assert.deepEqual(await writeLedger(clients, volume, () => anew), { ...anew, times: { prepared: start } });
      });
    }
    for (const phase of ["verified", "switched", "finalized"] as const) {
      it(`never from ${phase}`, async () => {
        const clients = home();
        await writeLedger(clients, volume, () => prepared({ phase }));
        await assert.rejects(
          writeLedger(clients, volume, () => anew),
          refusal(/back to prepared/),
        );
      });
    }
    it("never without a higher attempt, nor into the same claim", async () => {
      const clients = home();
      await writeLedger(clients, volume, () => prepared({ phase: "warm" }));
      await assert.rejects(
        writeLedger(clients, volume, () => ({ ...anew, attempt: 1 })),
        refusal(/back to prepared/),
      );
      await assert.rejects(
        writeLedger(clients, volume, () => prepared({ attempt: 2 })),
        refusal(/back to prepared/),
      );
    });
  });

  describe("a broken ledger is refused by reading and by writing, and left as it is", () => {
    const good = prepared({ times: { prepared: start } });
    const broken: Record<string, Record<string, string>> = {
      "no data": {},
      "no JSON": { ledger: "{" },
      "cut short": { ledger: JSON.stringify(good).slice(0, 80) },
      "an unknown phase": { ledger: JSON.stringify({ ...good, phase: "done" }) },
      "a key of a later version": { ledger: JSON.stringify({ ...good, fence: "abc" }) },
      "another version": { ledger: JSON.stringify({ ...good, version: 2 }) },
      "another volume's": { ledger: JSON.stringify({ ...good, volume: "games-valheim/server-data" }) },
    };
    for (const [title, data] of Object.entries(broken)) {
      it(title, async () => {
        const { kubernetes, clock } = home();
        await put(kubernetes, data);
        await assert.rejects(readLedger(kubernetes, volume), refusal(/refused, and left as it is/));
        await assert.rejects(
          writeLedger({ kubernetes, clock }, volume, () => prepared()),
          refusal(/kubectl -n home-cluster get configmap volume-games-valheim-server-data/),
        );
        assert.deepEqual((await stored(kubernetes)).data, data);
      });
    }
    it("names the volume that it belongs to", async () => {
      const { kubernetes } = home();
      await put(kubernetes, { ledger: JSON.stringify({ ...good, volume: "games-valheim/server-data" }) });
      await assert.rejects(readLedger(kubernetes, volume), refusal(/belongs to the volume games-valheim\/server-data/));
    });
  });

  it("orders the phases", () => {
    assert.equal(hasReached("verified", "warm"), true);
    assert.equal(hasReached("warm", "warm"), true);
    assert.equal(hasReached("warm", "verified"), false);
  });
});
