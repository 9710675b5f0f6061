import assert from "node:assert/strict";
import type { V1Pod } from "@kubernetes/client-node";
import { pods } from "../../../../operations/kinds";
import { consumersOf, describeConsumer, mounting } from "../../../../operations/volumes/consumers";
import { migrationLabels } from "../../../../operations/volumes/migration-pod";
import {
  migrationHome,
  ref,
  start,
  startPod,
  stopWorkload,
  stored,
  workload,
  type MigrationHome,
} from "../../../support/volumes";

const ended = (finishedAt: string): V1Pod["status"] => ({
  phase: "Succeeded",
  // As a real API server's JSON has it: text, whatever the type says.
  containerStatuses: [{ state: { terminated: { exitCode: 0, finishedAt } } }] as unknown as NonNullable<
    V1Pod["status"]
  >["containerStatuses"],
});

describe("operations/volumes/consumers (does not prove that no pod came and was deleted in between, nor that nobody mounts the export from outside)", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await migrationHome();
  });
  const names = async (since?: string) =>
    (await consumersOf(at.clients.kubernetes, ref.namespace, ref.claim, since)).map(({ pod }) => pod);

  it("names the pod, its owner and its node", async () => {
    assert.deepEqual(await consumersOf(at.clients.kubernetes, ref.namespace, ref.claim), [workload]);
  });
  it("a bare pod has no owner, a waiting one no node", async () => {
    await stopWorkload(at);
    await startPod(at, "bare", ref.claim, { node: null });
    const found = await consumersOf(at.clients.kubernetes, ref.namespace, ref.claim);
    assert.deepEqual(found, [{ pod: "bare" }]);
    assert.deepEqual(mounting(found), []);
    assert.deepEqual(found.map(describeConsumer), ["bare pod (pod bare waiting for a node)"]);
  });
  it("a pod with a node counts as mounting from then on, whatever its phase", async () => {
    await startPod(at, "starting", ref.claim, { status: { phase: "Pending" } });
    await startPod(at, "lost", ref.claim, { status: { phase: "Unknown" } });
    assert.deepEqual(
      mounting(await consumersOf(at.clients.kubernetes, ref.namespace, ref.claim)).map(describeConsumer),
      [
        "bare pod (pod lost on rancheros-1)",
        "bare pod (pod starting on rancheros-1)",
        "StatefulSet/valheim-server-data (pod valheim-server-data-0 on rancheros-1)",
      ],
    );
  });
  it("leaves out other claims, other namespaces and our own pods", async () => {
    await startPod(at, "other", "another-claim");
    await startPod(at, "ours", ref.claim, { labels: migrationLabels });
    assert.deepEqual(await names(), [workload.pod]);
    assert.deepEqual(await consumersOf(at.clients.kubernetes, "media", ref.claim), []);
  });
  it("finds the claim of a generic ephemeral volume", async () => {
    await startPod(at, "scratch", "unused");
    stored(at.home, pods, "scratch", ref.namespace).spec = {
      containers: [],
      volumes: [
        { name: "data", ephemeral: {} },
        { name: "none", emptyDir: {} },
      ],
    };
    const found = await consumersOf(at.clients.kubernetes, ref.namespace, "scratch-data");
    assert.deepEqual(found, [{ pod: "scratch" }]);
  });
  it("leaves out what ended, unless it ended after the time asked for", async () => {
    await startPod(at, "before", ref.claim, { status: ended("2025-12-31T23:59:59Z") });
    await startPod(at, "after", ref.claim, { status: ended("2026-01-01T00:00:00Z") });
    await startPod(at, "no-trace", ref.claim, { status: { phase: "Failed" } });
    assert.deepEqual(await names(), [workload.pod]);
    assert.deepEqual(await names(start), ["after", workload.pod]);
  });
  it("a pod without a spec uses nothing", async () => {
    stored(at.home, pods, workload.pod, ref.namespace).spec = undefined;
    assert.deepEqual(await names(), []);
  });
});
