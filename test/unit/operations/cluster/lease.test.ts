import assert from "node:assert/strict";
import type { V1Lease } from "@kubernetes/client-node";
import type { Clients } from "../../../../operations/clients";
import {
  clearFailure,
  failureAnnotation,
  isHeld,
  leaseName,
  leaseNamespace,
  withLease,
} from "../../../../operations/cluster/lease";
import { leases } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { buildHome } from "../../../../rehearsal/home/build";
import { pretendClients } from "../../../../rehearsal/home/clients";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { environment } from "../../../support/environment";

const minute = 60_000;

function start(): {
  clients: Clients;
  clock: VirtualClock;
  lines: string[];
  lease: () => Promise<V1Lease | undefined>;
} {
  const home = buildHome(environment("home"));
  const clock = new VirtualClock(home.now);
  const lines: string[] = [];
  const clients = pretendClients(home, clock, (line) => lines.push(line));
  return { clients, clock, lines, lease: () => clients.kubernetes.read(leases, leaseName, leaseNamespace) };
}

/** A Lease as someone else left it. */
function foreign(clients: Clients, spec: V1Lease["spec"], annotations: Record<string, string> = {}): Promise<V1Lease> {
  return clients.kubernetes.create<V1Lease>({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: leaseName, namespace: leaseNamespace, annotations },
    spec,
  });
}

async function refused(promise: Promise<unknown>): Promise<Refusal> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "it was not refused" });
}

describe("the Lease on the pretend cluster (does not prove what a real API server takes: test/cluster)", () => {
  it("holds while it runs, gives back after it, and returns what ran", async () => {
    const { clients, lease } = start();
    const during = await withLease(clients, "debian-1", async () => lease());
    assert.match(during?.spec?.holderIdentity ?? "", /^debian-1\/[-0-9a-f]{36}$/);
    assert.equal(during?.spec?.leaseDurationSeconds, 60);
    assert.equal(during?.spec?.leaseTransitions, 0);
    assert.deepEqual((await lease())?.spec, { leaseDurationSeconds: 60, leaseTransitions: 0 });
    await withLease(clients, "debian-2", async () => undefined);
    assert.equal((await lease())?.spec?.leaseTransitions, 1);
  });

  it("writes times with six digits, which is all that the API server takes, also into a Lease that it read", async () => {
    const { clients } = start();
    const written: string[] = [];
    const { kubernetes } = clients;
    const replace = kubernetes.replace.bind(kubernetes);
    kubernetes.replace = (object) => {
      written.push(JSON.stringify(object));
      return replace(object);
    };
    await foreign(clients, { acquireTime: new Date(0), renewTime: new Date(0) });
    await withLease(clients, "debian-1", () => clients.clock.sleep(20_000));
    const times = written.flatMap((text) => [...text.matchAll(/"(?:acquire|renew)Time":"([^"]*)"/g)].map((m) => m[1]));
    assert.equal(times.length, 4);
    for (const time of times) assert.match(time ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  it("lets five start at once and run one after the other", async () => {
    const { clients, clock } = start();
    let inside = 0;
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3, 4, 5].map((n) =>
        withLease(clients, "same-name", async () => {
          inside += 1;
          assert.equal(inside, 1);
          await clock.sleep(3 * minute);
          inside -= 1;
          order.push(n);
        }),
      ),
    );
    assert.deepEqual([...order].sort(), [1, 2, 3, 4, 5]);
  });

  it("is renewed while it runs, so that nobody takes it over after its duration", async () => {
    const { clients, clock, lines } = start();
    const order: string[] = [];
    const long = withLease(clients, "long", async () => {
      await clock.sleep(30 * minute);
      order.push("long");
    });
    await clock.sleep(1000);
    await withLease(clients, "second", async () => order.push("second"));
    await long;
    assert.deepEqual(order, ["long", "second"]);
    const progress = lines.filter((line) => line === "second: waiting for the lock that long holds");
    assert.ok(progress.length >= 29 && progress.length <= 32, `${progress.length} lines in 30 minutes`);
  });

  it("leaves the clock at rest once it ended", async () => {
    const { clients, clock } = start();
    await withLease(clients, "debian-1", () => clock.sleep(minute));
    const ended = clock.now();
    await clock.idle();
    assert.ok(clock.now() - ended <= 15_000);
  });

  it("takes over a holder that stopped renewing, by its own clock and not by the other's", async () => {
    const { clients, clock, lines } = start();
    // The dead holder's clock ran a day ahead.
    await foreign(clients, {
      holderIdentity: "dead/1",
      leaseDurationSeconds: 60,
      renewTime: new Date(clock.now() + 86_400_000),
      leaseTransitions: 7,
    });
    const before = clock.now();
    const during = await withLease(clients, "debian-1", async () => clients.kubernetes.list(leases));
    assert.ok(clock.now() - before >= minute);
    assert.equal(during[0]?.spec?.leaseTransitions, 8);
    assert.equal(lines[0], "debian-1: waiting for the lock that dead holds");
  });

  it("gives up after six hours and names the holder", async () => {
    const { clients, clock } = start();
    let done = false;
    const holder = withLease(clients, "endless", async () => {
      for (let passed = 0; !done && passed < 500; passed += 1) await clock.sleep(minute);
    });
    await clock.sleep(1000);
    const { parts } = await refused(withLease(clients, "debian-1", async () => assert.fail("it ran")));
    assert.equal(parts.what, "debian-1: the lock (Lease kube-system/home-cluster): not within 21600 s");
    assert.equal(parts.why, "last seen: the lock that endless holds");
    done = true;
    await holder;
  });

  it("check passes while it holds and refuses once another holds it", async () => {
    const { clients, clock, lease } = start();
    const { parts } = await refused(
      withLease(clients, "debian-1", async (held) => {
        await held.check();
        const live = await lease();
        assert.ok(live);
        await clients.kubernetes.replace({ ...live, spec: { ...live.spec, holderIdentity: "thief/1" } });
        await clock.sleep(minute);
        await held.check();
      }),
    );
    assert.equal(parts.what, "debian-1: the lock was lost, so this run stops here");
    assert.match(parts.why, /now held by thief$/);
    assert.equal((await lease())?.spec?.holderIdentity, "thief/1", "another's Lease is not released");
  });

  it("check refuses when the Lease was deleted under it", async () => {
    const { clients } = start();
    const { parts } = await refused(
      withLease(clients, "debian-1", async (held) => {
        await clients.kubernetes.remove(leases, leaseName, leaseNamespace);
        await held.check();
      }),
    );
    assert.match(parts.why, /held by nobody$/);
  });

  it("survives an API that does not answer a renewal, and one that does not answer the release at first", async () => {
    const { clients, clock, lease } = start();
    const { kubernetes } = clients;
    const replace = kubernetes.replace.bind(kubernetes);
    let failures = 0;
    await withLease(clients, "debian-1", async (held) => {
      kubernetes.replace = (object) => {
        failures += 1;
        return failures <= 2 ? Promise.reject(new Error("connection refused")) : replace(object);
      };
      await clock.sleep(20_000);
      await held.check();
    });
    assert.equal(failures, 3);
    assert.equal((await lease())?.spec?.holderIdentity, undefined);
  });

  it("says so when it cannot give it back, and does not hide what ran", async () => {
    const { clients, lines } = start();
    const result = await withLease(clients, "debian-1", async () => {
      clients.kubernetes.replace = () => Promise.reject(new Error("Bearer token-secret"));
      return 42;
    });
    assert.equal(result, 42);
    assert.equal(lines.at(-1), "debian-1: could not give the lock back; it expires by itself in 60 s");
  });

  it("passes on what the API refuses, and does not run", async () => {
    const { clients } = start();
    clients.kubernetes.create = () => Promise.reject(new Error("forbidden"));
    await assert.rejects(
      withLease(clients, "debian-1", async () => assert.fail("it ran")),
      /forbidden/,
    );
  });

  it("waits on beside a control plane that does not answer for a while, and does not take its holder for dead", async () => {
    const { clients, clock } = start();
    const { kubernetes } = clients;
    const order: string[] = [];
    const long = withLease(clients, "long", async (held) => {
      await clock.sleep(10 * minute);
      await held.check();
      order.push("long");
    });
    await clock.sleep(1000);
    const second = withLease(clients, "second", async () => order.push("second"));
    // Right after a renewal that it saw.
    await clock.sleep(62_000);
    const { read, replace } = { read: kubernetes.read.bind(kubernetes), replace: kubernetes.replace.bind(kubernetes) };
    kubernetes.read = () => Promise.reject(new Error("connection refused"));
    kubernetes.replace = () => Promise.reject(new Error("connection refused"));
    await clock.sleep(3 * minute);
    Object.assign(kubernetes, { read, replace });
    await Promise.all([long, second]);
    assert.deepEqual(order, ["long", "second"]);
  });

  it("stops waiting when the API has not answered for ten minutes, and at once when it never did", async () => {
    const { clients, clock } = start();
    const { kubernetes } = clients;
    await foreign(clients, { holderIdentity: "alive/1", leaseDurationSeconds: 86_400 });
    const wait = withLease(clients, "debian-1", async () => assert.fail("it ran"));
    await clock.sleep(minute);
    kubernetes.read = () => Promise.reject(new Error("connection refused"));
    const silentSince = clock.now();
    await assert.rejects(wait, /connection refused/);
    assert.ok(clock.now() - silentSince >= 10 * minute && clock.now() - silentSince <= 11 * minute);
    const before = clock.now();
    await assert.rejects(
      withLease(clients, "debian-1", async () => assert.fail("it ran")),
      /connection refused/,
    );
    assert.equal(clock.now(), before);
  });

  it("tries again when another one creates it first", async () => {
    const { clients } = start();
    const { kubernetes } = clients;
    const create = kubernetes.create.bind(kubernetes);
    kubernetes.create = async (object, options) => {
      kubernetes.create = create;
      await foreign(clients, { leaseDurationSeconds: 60 });
      return create(object, options);
    };
    assert.equal(await withLease(clients, "debian-1", async () => "ran"), "ran");
  });

  it("an error of a plain holder is not recorded", async () => {
    const { clients, lease } = start();
    await assert.rejects(
      withLease(clients, "debian-1", () => Promise.reject(new Error("no"))),
      /no/,
    );
    assert.equal((await lease())?.metadata?.annotations?.[failureAnnotation], undefined);
  });
});

describe("a leave that fails, in the Lease", () => {
  const leave = (clients: Clients, node: string, run: () => Promise<unknown>): Promise<unknown> =>
    withLease(
      clients,
      node,
      (held) => {
        held.touching();
        return run();
      },
      { leaving: node },
    );
  const refusal = new Refusal({ what: "a: drain", why: "budget\n  db", next: "go on" });
  const failAfter = (clock: VirtualClock, milliseconds: number) => async (): Promise<never> => {
    await clock.sleep(milliseconds);
    throw refusal;
  };

  it("ends those that already wait at once, naming the failed node, and they run nothing", async () => {
    const { clients, clock, lease } = start();
    const first = refused(leave(clients, "a", failAfter(clock, 10 * minute)));
    await clock.sleep(1000);
    const others = ["b", "c"].map((node) => refused(leave(clients, node, async () => assert.fail("it ran"))));
    await first;
    const failedAt = clock.now();
    for (const [index, other] of others.entries()) {
      const { parts } = await other;
      assert.equal(parts.what, `${["b", "c"][index]}: did not start to leave, nothing was touched`);
      assert.equal(parts.why, "the leave of a has not ended well: failed: a: a: drain (budget db)");
      assert.match(parts.next, /^go on with a first/);
    }
    assert.ok(clock.now() - failedAt <= 10_000);
    assert.equal((await lease())?.metadata?.annotations?.[failureAnnotation], "failed: a: a: drain (budget db)");
  });

  it("ends a new one after a minute in which the failed node does not go on", async () => {
    const { clients, clock } = start();
    await refused(leave(clients, "a", failAfter(clock, 0)));
    await clock.idle();
    const before = clock.now();
    const { parts } = await refused(leave(clients, "b", async () => assert.fail("it ran")));
    assert.match(parts.why, /^the leave of a /);
    assert.ok(clock.now() - before >= minute && clock.now() - before <= 2 * minute);
  });

  it("is cleared by the failed node's own success, so that the same command for all converges", async () => {
    const { clients, clock, lease, lines } = start();
    await refused(leave(clients, "a", failAfter(clock, 0)));
    const order: string[] = [];
    const again = (node: string): Promise<unknown> =>
      leave(clients, node, async () => {
        await clock.sleep(5 * minute);
        order.push(node);
      });
    // The engine starts them side by side, in any order.
    await Promise.all([again("b"), again("c"), clock.sleep(20_000).then(() => again("a"))]);
    assert.equal(order[0], "a");
    assert.deepEqual([...order].sort(), ["a", "b", "c"]);
    assert.equal((await lease())?.metadata?.annotations?.[failureAnnotation], undefined);
    assert.ok(lines.includes("b: waiting for a, which failed before, to go on"));
  });

  it("a second failure of the same node, in the same words, ends those that wait for it", async () => {
    const { clients, clock } = start();
    await refused(leave(clients, "a", failAfter(clock, 0)));
    const other = refused(leave(clients, "b", async () => assert.fail("it ran")));
    await refused(leave(clients, "a", failAfter(clock, 5 * minute)));
    const failedAt = clock.now();
    assert.match((await other).parts.why, /^the leave of a /);
    assert.ok(clock.now() - failedAt <= 10_000);
  });

  it("a failed node that goes on and dies does not keep others waiting for hours", async () => {
    const { clients, clock } = start();
    await foreign(
      clients,
      { holderIdentity: "a/1", leaseDurationSeconds: 60, renewTime: new Date(clock.now()) },
      { [failureAnnotation]: "failed: a: killed" },
    );
    const before = clock.now();
    const { parts } = await refused(leave(clients, "b", async () => assert.fail("it ran")));
    assert.match(parts.why, /failed: a: killed$/);
    assert.ok(clock.now() - before <= 3 * minute);
  });

  it("a plain holder of the same name neither heeds nor clears it", async () => {
    const { clients, clock, lease } = start();
    await refused(leave(clients, "a", failAfter(clock, 0)));
    await withLease(clients, "a", async () => undefined);
    assert.match((await lease())?.metadata?.annotations?.[failureAnnotation] ?? "", /^failed: a: /);
  });

  it("an error before anything was touched is not recorded, so that others may go on", async () => {
    const { clients, lease } = start();
    const early = withLease(clients, "a", () => Promise.reject(refusal), { leaving: "a" });
    assert.equal((await refused(early)).parts.what, "a: drain");
    assert.equal((await lease())?.metadata?.annotations?.[failureAnnotation], undefined);
    assert.equal(await leave(clients, "b", async () => "ran"), "ran");
  });

  it("clearFailure clears that of the node only, and minds nothing where there is none", async () => {
    const { clients, clock, lease } = start();
    await clearFailure(clients, "a");
    assert.equal(await lease(), undefined);
    await refused(leave(clients, "a", failAfter(clock, 0)));
    await clearFailure(clients, "b");
    assert.match((await lease())?.metadata?.annotations?.[failureAnnotation] ?? "", /^failed: a: /);
    await clearFailure(clients, "a");
    assert.equal((await lease())?.metadata?.annotations?.[failureAnnotation], undefined);
  });

  it("isHeld sees a holder, and none before and after it", async () => {
    const { clients } = start();
    assert.equal(await isHeld(clients), false);
    assert.equal(await withLease(clients, "a", () => isHeld(clients)), true);
    assert.equal(await isHeld(clients), false);
  });

  it("writes no more than name and first line of an error that is not ours", async () => {
    const { clients, lease } = start();
    const error = new TypeError("fetch failed\nauthorization: Bearer token-secret");
    await assert.rejects(leave(clients, "a", () => Promise.reject(error)));
    assert.equal(
      (await lease())?.metadata?.annotations?.[failureAnnotation],
      "failed: a: it failed (TypeError: fetch failed)",
    );
  });
});
