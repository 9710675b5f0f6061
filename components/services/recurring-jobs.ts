import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";

type Job = Environment["longhorn"]["recurringJobs"][number];

export interface RecurringJobsArgs {
  readonly jobs: readonly Job[];
  readonly namespace: pulumi.Input<string>;
}

/** Longhorn's own snapshots and backups of every volume that has no job of its own. */
export class RecurringJobs extends pulumi.ComponentResource {
  constructor(name: string, args: RecurringJobsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:RecurringJobs", name, args, opts);
    for (const job of args.jobs) {
      new kubernetes.apiextensions.CustomResource(
        `${name}-${job.name}`,
        {
          apiVersion: "longhorn.io/v1beta2",
          kind: "RecurringJob",
          metadata: { name: job.name, namespace: args.namespace },
          spec: {
            name: job.name,
            task: job.task,
            cron: job.cron,
            retain: retained(job),
            concurrency: job.concurrency,
            // Longhorn's group for all volumes that name no other.
            groups: ["default"],
          },
        },
        // Longhorn's webhook answers these, so only once storage is ready.
        { parent: this, dependsOn: opts?.dependsOn },
      );
    }
    this.registerOutputs({});
  }
}

/** What Longhorn's webhook makes of the number (recurringjob/mutator.go); another one would show as a change after every refresh. */
export function retained({ task, retain }: Pick<Job, "task" | "retain">): number {
  switch (task) {
    case "filesystem-trim":
    case "snapshot-cleanup":
      return 0;
    case "snapshot":
    case "backup":
      return Math.max(1, retain);
  }
}
