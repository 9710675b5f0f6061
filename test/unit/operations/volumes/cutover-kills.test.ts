import assert from "node:assert/strict";
import type { V1PersistentVolume } from "@kubernetes/client-node";
import type { Clients } from "../../../../operations/clients";
import { pods, volumes } from "../../../../operations/kinds";
import {
  asked,
  cutOver,
  ledgerOf,
  newVolume,
  oldVolume,
  picture,
  rollback,
  step,
  steps,
  warmHome,
  type Step,
  type Way,
} from "../../../support/cutover";
import { newClaim, ref, type MigrationHome } from "../../../support/volumes";

class Killed extends Error {}

/** What changes something. A kill after a request that only reads leaves what the one before it left. */
const writes: readonly PropertyKey[] = ["create", "replace", "patch", "remove"];

/** Clients whose process ends right after the writing request of this number: what it asked for has happened, and nothing after it does. */
function killedAfter(at: MigrationHome, requests: number): { readonly clients: Clients; readonly made: () => number } {
  let made = 0;
  const kubernetes = new Proxy(at.clients.kubernetes, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value !== "function" || !writes.includes(property)) return value;
      return async (...args: unknown[]) => {
        if (made >= requests) throw new Killed();
        const answer: unknown = await (value as (...given: unknown[]) => Promise<unknown>).apply(target, args);
        made += 1;
        watch(at, property);
        if (made >= requests) throw new Killed();
        return answer;
      };
    },
  });
  return { clients: { ...at.clients, kubernetes }, made: () => made };
}

/** What must be true after every single request, whatever comes next. */
function watch(at: MigrationHome, after: PropertyKey): void {
  const { objects } = at.home.kubernetes;
  for (const name of [oldVolume, newVolume]) {
    const volume = objects.find(
      (object): object is V1PersistentVolume => object.kind === volumes.kind && object.metadata?.name === name,
    );
    assert.ok(volume, `${String(after)}: ${name} is gone`);
    if (volume.status?.phase !== "Bound") assert.equal(volume.spec?.persistentVolumeReclaimPolicy, "Retain");
  }
  const mounted = objects
    .filter((object) => object.kind === pods.kind && object.metadata?.namespace === ref.namespace)
    .flatMap(
      (pod) =>
        pod as {
          spec?: { volumes?: { persistentVolumeClaim?: { claimName: string } }[]; nodeName?: string };
          status?: { phase?: string };
        },
    )
    .filter((pod) => pod.status?.phase === "Running")
    .flatMap((pod) => pod.spec?.volumes ?? [])
    .map((volume) => volume.persistentVolumeClaim?.claimName);
  assert.ok(!(mounted.includes(ref.claim) && mounted.includes(newClaim)), "the workload runs on both claims at once");
}

/** Whether it came to its end before it was killed. */
async function again(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (error instanceof Killed) return false;
    throw error;
  }
}

/** The engine: steps that came to their end are in the state, the others run again at the next `up`. */
async function up(at: MigrationHome, way: Way, requests: number, done: Set<Step>): Promise<boolean> {
  const { clients } = killedAfter(at, requests);
  return again(async () => {
    for (const name of steps) {
      if (done.has(name)) continue;
      await step(clients, name, asked(way));
      done.add(name);
    }
  });
}

async function requestsOf(run: (clients: Clients, at: MigrationHome) => Promise<unknown>): Promise<number> {
  const at = await warmHome();
  const { clients, made } = killedAfter(at, Number.POSITIVE_INFINITY);
  await run(clients, at);
  return made();
}

// Does not prove what a real control plane does between two requests (test/cluster/cutover.test.ts), nor what the Jobs between the steps do when they are killed.
describe("a cutover that is killed after any request that changed something", function () {
  this.timeout(120_000);
  for (const way of ["new-claim", "same-name"] as const) {
    describe(way, () => {
      let whole: unknown;
      let untouched: Record<string, unknown>;
      let requests = 0;
      before(async () => {
        const at = await warmHome();
        untouched = await picture(at);
        await cutOver(at.clients, asked(way));
        whole = await picture(at);
        requests = await requestsOf((clients) => cutOver(clients, asked(way)));
        assert.ok(requests > 10, String(requests));
      });
      /** As before the cutover, but for the reclaim policies, which stay. */
      const back = () => ({
        ...untouched,
        policies: { [oldVolume]: "Retain Bound", [newVolume]: "Retain Bound" },
      });

      it("goes on by the same command to the same end, as the engine runs it again, from the step that failed", async () => {
        for (let kill = 1; kill < requests; kill += 1) {
          const at = await warmHome();
          const done = new Set<Step>();
          assert.equal(await up(at, way, kill, done), false);
          assert.equal(await up(at, way, Number.POSITIVE_INFINITY, done), true, `killed after ${kill}`);
          assert.deepEqual(await picture(at), whole, `killed after ${kill}`);
          assert.equal((await ledgerOf(at)).phase, "switched");
        }
      });

      it("and from the first step, where the engine has lost its state", async () => {
        for (let kill = 1; kill < requests; kill += 1) {
          const at = await warmHome();
          await up(at, way, kill, new Set());
          await cutOver(at.clients, asked(way));
          assert.deepEqual(await picture(at), whole, `killed after ${kill}`);
        }
      });

      it("goes back by the rollback to where it was, with its replicas", async () => {
        for (let kill = 1; kill < requests; kill += 1) {
          const at = await warmHome();
          await up(at, way, kill, new Set());
          const { state } = await rollback(at.clients);
          const { cutover, rollback: mark, phase } = await ledgerOf(at);
          assert.deepEqual([cutover, phase], [undefined, "warm"]);
          if (state === "done") assert.equal(mark?.state, "done");
          const { policies, ...found } = await picture(at);
          const { policies: kept, ...expected } = back();
          assert.deepEqual(found, expected, `killed after ${kill}`);
          if (state === "done") assert.deepEqual(policies, kept);
        }
      });

      it("a rollback that is killed after any of its requests goes on by the same command, from every step", async () => {
        for (const last of steps.slice(1)) {
          const total = await requestsOf(async (clients, at) => {
            await cutOver(at.clients, asked(way), last);
            await rollback(clients);
          });
          for (let kill = 1; kill < total; kill += 1) {
            const at = await warmHome();
            await cutOver(at.clients, asked(way), last);
            assert.equal(await again(() => rollback(killedAfter(at, kill).clients)), false);
            await rollback(at.clients);
            assert.deepEqual(await picture(at), back(), `${last}, killed after ${kill} of ${total}`);
            assert.equal((await ledgerOf(at)).rollback?.state ?? "done", "done");
          }
        }
      });
    });
  }
});
