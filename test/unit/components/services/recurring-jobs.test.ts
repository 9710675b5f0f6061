import assert from "node:assert/strict";
import { RecurringJobs, retained } from "../../../../components/services/recurring-jobs";
import type { Environment } from "../../../../environment/schema";
import { environment } from "../../../support/environment";
import { names, resources, run } from "../../../support/services";

type Jobs = Environment["longhorn"]["recurringJobs"];

const program =
  (jobs: Jobs = environment("home").longhorn.recurringJobs) =>
  (opts: object) =>
    new RecurringJobs("jobs", { jobs, namespace: "longhorn-system" }, opts);

const job = (name: string, spec: object): object => ({
  name: `jobs-${name}`,
  type: "kubernetes:longhorn.io/v1beta2:RecurringJob",
  parent: "jobs",
  provider: "cluster",
  inputs: {
    apiVersion: "longhorn.io/v1beta2",
    kind: "RecurringJob",
    metadata: { name, namespace: "longhorn-system" },
    spec: { name, concurrency: 1, groups: ["default"], ...spec },
  },
});

describe("RecurringJobs (mock runtime: does not prove that Longhorn's webhook accepts them)", () => {
  for (const preview of [false, true]) {
    it(`registers one job per entry of the file, for all volumes (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [
        job("backup-nightly", { task: "backup", cron: "30 3 * * *", retain: 14 }),
        job("snapshot-hourly", { task: "snapshot", cron: "0 * * * *", retain: 24 }),
      ]);
    });
  }

  it("registers nothing where the file has none", async () => {
    assert.deepEqual(names(await run(program([]))), ["jobs"]);
  });

  it("declares the count that Longhorn would make of it, so that no refresh shows a change", () => {
    assert.deepEqual(
      (["snapshot", "backup", "filesystem-trim", "snapshot-cleanup"] as const).map((task) => [
        retained({ task, retain: 0 }),
        retained({ task, retain: 7 }),
      ]),
      [
        [1, 7],
        [1, 7],
        [0, 0],
        [0, 0],
      ],
    );
  });
});
