import assert from "node:assert/strict";
import fc from "fast-check";
import type { V1Pod } from "@kubernetes/client-node";
import { events, jobs, pods } from "../../../../operations/kinds";
import { followCopy } from "../../../../operations/volumes/follow-copy";
import { describeProgress, parseProgress } from "../../../../operations/volumes/progress";
import { Refusal } from "../../../../operations/refusal";
import { drop, migrationHome, put, ref, stored, type MigrationHome } from "../../../support/volumes";

const job = "volume-migration-valheim-server-data";
const { namespace } = ref;
const called = "volume games/valheim-server-data";
const started = "progress: phase=warm step=copy bytes=1073741824/3221225472 files=120/20000 rate=89128960 left=23";
const ended = "progress: phase=warm step=compare bytes=3221225472/3221225472 files=20000/20000 rate=0 left=0";

describe("operations/volumes/follow-copy (on the pretend home: does not prove a kubelet's log, nor what a real scheduler's events say)", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await migrationHome();
  });
  const follow = (more: object = {}) =>
    followCopy.run(followCopy.schema.parse({ ...ref, job, attempt: 1, ...more }), at.clients);
  const after = (seconds: number, run: () => unknown): void =>
    void at.clients.clock.sleep(seconds * 1000).then(() => run());
  const elapsed = (since: number): number => (at.clients.clock.now() - since) / 1000;

  const makeJob = (status?: object) =>
    put(at.clients, { apiVersion: "batch/v1", kind: "Job", metadata: { name: job, namespace }, status });
  const finishJob = (type: "Complete" | "Failed", more: object = {}) =>
    at.clients.kubernetes.patch(jobs, job, { status: { conditions: [{ type, status: "True", ...more }] } }, namespace);
  const makePod = (name: string, status: V1Pod["status"]) =>
    put(at.clients, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels: { "job-name": job } },
      spec: { containers: [{ name: "migration", image: "invalid" }] },
      status,
    });
  const setPod = (name: string, status: V1Pod["status"]) => (stored(at.home, pods, name, namespace).status = status);
  const write = (pod: string, ...lines: readonly string[]): void => {
    const logs = (at.home.kubernetes.logs ??= {});
    logs[`${namespace}/${pod}`] = `${logs[`${namespace}/${pod}`] ?? ""}${lines.map((line) => `${line}\n`).join("")}`;
  };
  const warn = (
    of: { readonly metadata?: { uid?: string } },
    reason: string,
    message: string,
    minute: number,
    type = "Warning",
  ) =>
    put(at.clients, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `event-${reason}-${minute}`, namespace },
      involvedObject: { uid: of.metadata?.uid },
      ...{ type, reason, message, lastTimestamp: new Date(Date.UTC(2026, 0, 1, 0, minute)) },
    });

  const refusal = async (running: Promise<unknown>): Promise<Refusal["parts"]> => {
    try {
      await running;
    } catch (error) {
      assert.ok(error instanceof Refusal, String(error));
      return error.parts;
    }
    return assert.fail("it did not refuse");
  };

  it("shows what the pod writes, each line once, progress as a sentence, and ends with the Job", async () => {
    after(5, () => makeJob());
    after(15, () => makePod("one", { phase: "Pending" }));
    after(25, () => {
      setPod("one", { phase: "Running" });
      write("one", "Volume games/valheim-server-data: warm copy of claim a into claim b begins", started);
    });
    after(45, () => write("one", started, ended));
    after(55, async () => {
      write("one", "Volume games/valheim-server-data: warm copy finished in 20 s");
      setPod("one", { phase: "Succeeded" });
      await finishJob("Complete");
    });
    assert.deepEqual(await follow(), { job, progress: parseProgress(ended) });
    assert.deepEqual(at.lines, [
      `${called}: warm copy of claim a into claim b begins`,
      `${called}: warm copy: 33 %, 1.0 GiB of 3.0 GiB, 120 of 20000 files, 85.0 MiB/s, about 23 s left`,
      `${called}: warm copy, folder by folder: 100 %, 3.0 GiB of 3.0 GiB, 20000 of 20000 files, about 0 s left`,
      `${called}: warm copy finished in 20 s`,
    ]);
  });

  it("a Job that is done already is shown and left at once; one that wrote nothing has no progress", async () => {
    await makeJob();
    await finishJob("Complete");
    const began = at.clients.clock.now();
    assert.deepEqual(await follow(), { job });
    assert.equal(elapsed(began), 0);
    await makePod("one", { phase: "Succeeded" });
    write("one", "Volume games/valheim-server-data: Job x finished the warm copy of claim a; nothing was written");
    assert.deepEqual(await follow(), { job });
    assert.deepEqual(at.lines, [`${called}: Job x finished the warm copy of claim a; nothing was written`]);
  });

  it("a pod that takes the place of a failed one is followed, and said so", async () => {
    await makeJob();
    await makePod("one", { phase: "Running" });
    write("one", "first");
    after(15, async () => {
      setPod("one", { phase: "Failed" });
      await makePod("two", { phase: "Running" });
      write("two", "first", "second");
    });
    after(30, () => finishJob("Complete"));
    await follow();
    assert.deepEqual(at.lines, [
      `${called}: first`,
      `${called}: pod two takes the place of one that did not finish`,
      `${called}: first`,
      `${called}: second`,
    ]);
  });

  it("a failed Job: its reason, the exit code and the end of the log, without progress", async () => {
    await makeJob();
    await makePod("one", {
      phase: "Failed",
      containerStatuses: [
        {
          name: "migration",
          image: "",
          imageID: "",
          ready: false,
          restartCount: 0,
          state: { terminated: { exitCode: 23 } },
        },
      ],
    });
    write("one", ...Array.from({ length: 20 }, (_, i) => `line ${i}`), started);
    await finishJob("Failed", {
      reason: "BackoffLimitExceeded",
      message: "Job has reached the specified backoff limit",
    });
    const { what, why, next } = await refusal(follow({ attempt: 2 }));
    assert.equal(what, `${called}: Job ${job} failed (exit code 23)`);
    assert.deepEqual(why.split("\n        "), [
      "BackoffLimitExceeded: Job has reached the specified backoff limit",
      ...Array.from({ length: 12 }, (_, i) => `line ${i + 8}`),
    ]);
    assert.match(next, /attempt: 3 .* logs job\/volume-migration-valheim-server-data/);
  });

  it("a failed Job without a pod or a message is refused all the same", async () => {
    await makeJob();
    await finishJob("Failed", { reason: "DeadlineExceeded" });
    const { what, why } = await refusal(follow());
    assert.deepEqual([what, why], [`${called}: Job ${job} failed`, "DeadlineExceeded"]);
  });

  it("a pod that stays Pending fails with its newest warning, told when it came, and the Job is ended so that the engine stops waiting for it", async () => {
    await makeJob();
    const pod = await makePod("one", { phase: "Pending" });
    await warn(pod, "Scheduled", "assigned", 9, "Normal");
    await warn({ metadata: { uid: "another" } }, "BackOff", "another pod's", 9);
    after(20, () => warn(pod, "FailedScheduling", "0/3 nodes are available", 1));
    after(40, () => warn(pod, "FailedMount", "mount.nfs: access denied by server", 2));
    const began = at.clients.clock.now();
    const { what, why, next } = await refusal(follow({ pendingSeconds: 120 }));
    assert.equal(elapsed(began), 120);
    assert.equal(what, `${called}: pod one did not begin within 120 s, and the Job was ended`);
    assert.equal(why, "FailedMount: mount.nfs: access denied by server");
    assert.match(next, /attempt: 2 .* describe pod one/);
    assert.deepEqual(at.lines, [
      `${called}: pod one waits: FailedScheduling: 0/3 nodes are available`,
      `${called}: pod one waits: FailedMount: mount.nfs: access denied by server`,
    ]);
    assert.equal(stored(at.home, jobs, job, namespace).spec?.activeDeadlineSeconds, 1);
  });

  it("what stands in the pod's status counts where no event is left: an image, a node", async () => {
    await makeJob();
    await makePod("one", {
      phase: "Pending",
      containerStatuses: [
        {
          ...{ name: "migration", image: "", imageID: "", ready: false, restartCount: 0 },
          state: { waiting: { reason: "ImagePullBackOff", message: "Back-off pulling image" } },
        },
      ],
    });
    assert.equal((await refusal(follow())).why, "ImagePullBackOff: Back-off pulling image");
    setPod("one", {
      phase: "Pending",
      conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "no node" }],
    });
    assert.equal((await refusal(follow())).why, "Unschedulable: no node");
    setPod("one", { phase: "Pending" });
    assert.equal((await refusal(follow())).why, "its events say nothing");
  });

  it("a Job without a pod fails with the Job's own warning", async () => {
    const made = await makeJob();
    await warn(made, "FailedCreate", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', 1);
    const { what, why } = await refusal(follow());
    assert.equal(what, `${called}: Job ${job} has no pod within 600 s, and the Job was ended`);
    assert.equal(why, 'FailedCreate: pods "x" is forbidden: violates PodSecurity "restricted:latest"');
  });

  it("a pod that has begun is never overdue, and the time of the next pod begins anew", async () => {
    await makeJob();
    await makePod("one", { phase: "Running" });
    after(5000, async () => {
      setPod("one", { phase: "Failed" });
      await makePod("two", { phase: "Pending" });
    });
    after(5500, () => setPod("two", { phase: "Running" }));
    after(5600, () => finishJob("Complete"));
    assert.deepEqual(await follow(), { job });
    assert.equal(stored(at.home, jobs, job, namespace).spec?.activeDeadlineSeconds, undefined);
  });

  it("a Job that never comes, and one that somebody deletes", async () => {
    const began = at.clients.clock.now();
    assert.equal((await refusal(follow())).what, `${called}: there is no Job ${job}`);
    assert.equal(elapsed(began), 600);
    await makeJob();
    after(15, () => drop(at.home, stored(at.home, jobs, job, namespace)));
    assert.equal((await refusal(follow())).what, `${called}: Job ${job} was deleted while it ran`);
    assert.deepEqual(await at.clients.kubernetes.list(events), []);
  });
});

describe("operations/volumes/progress", () => {
  const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  it("reads every line of the form, and no other", () => {
    const word = fc.stringMatching(/^[a-z]+$/);
    fc.assert(
      fc.property(
        word,
        word,
        number,
        number,
        number,
        number,
        number,
        fc.option(number),
        (phase, step, a, b, c, d, rate, left) => {
          const line = `progress: phase=${phase} step=${step} bytes=${a}/${b} files=${c}/${d} rate=${rate} left=${left ?? "unknown"}`;
          const parsed = { phase, step, bytes: [a, b], files: [c, d], rate, left: left ?? undefined };
          assert.deepEqual(parseProgress(line), parsed);
          for (const other of [` ${line}`, `${line} `, line.slice(0, -1).replace(/\d+$|unknow$/, ""), `'x': ${line}`]) {
            assert.equal(parseProgress(other), undefined, other);
          }
        },
      ),
    );
  });
  it("says what is known, in units that fit", () => {
    const text = (line: string): string => describeProgress(parseProgress(line) ?? assert.fail(line));
    for (const [line, sentence] of [
      ["phase=warm step=list bytes=0/0 files=0/0 rate=0 left=unknown", "warm list: begins, 0 B, 0 files"],
      [
        "phase=final step=verify bytes=512/1024 files=1/2 rate=1 left=89",
        "final verification: 50 %, 512 B of 1.0 KiB, 1 of 2 files, 1 B/s, about 89 s left",
      ],
      [
        "phase=warm step=copy bytes=2048/1024 files=3/2 rate=0 left=90",
        "warm copy: 100 %, 2.0 KiB of 1.0 KiB, 3 of 2 files, about 2 min left",
      ],
      [
        "phase=warm step=copy bytes=1/5629499534213120 files=0/1 rate=0 left=7200",
        "warm copy: 0 %, 1 B of 5120.0 TiB, 0 of 1 files, about 2.0 h left",
      ],
    ] as const) {
      assert.equal(text(`progress: ${line}`), sentence);
    }
  });
});
