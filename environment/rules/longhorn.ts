import { Cron } from "croner";
import { at } from "../origin";
import { show, type Finding } from "../problem";
import type { Environment } from "../schema";

/** Longhorn's schedule, backups and UI, and where the charts come from. */

/**
 * Longhorn and Kubernetes read five fields (robfig/cron, "standard"). croner takes more: seconds, `L`, `W`, `#`, Sunday as 7. What only croner takes is refused here,
 * since Longhorn's webhook would refuse it in the middle of an `up`.
 */
function cronProblem(expression: string): string | undefined {
  if (/^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(expression)) return undefined;
  if (/^@every (\d+(h|m|s))+$/.test(expression)) return undefined;
  if (/^@|[#+]|(^|[\s,\d])[LW]|(^|[\s,])\d+[LW]/i.test(expression)) return "uses a sign that Longhorn does not know";
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5) return `has ${fields.length} ${fields.length === 1 ? "field" : "fields"} instead of five`;
  if (/(^|[,-])7/.test(fields[4] ?? "")) return "Sunday is 0 or SUN, not 7";
  try {
    // The start is fixed, so that the same file is judged alike on every day. Four years hold every date there is.
    const next = new Cron(expression.replaceAll("?", "*"), { mode: "5-part", paused: true, timezone: "UTC" }).nextRun(
      new Date(0),
    );
    return next ? undefined : "names a date that never comes";
  } catch (error) {
    // "CronPattern: Invalid value for minute: 61"
    return (error instanceof Error ? error.message : String(error)).replace(/^CronPattern: /, "").toLowerCase();
  }
}

export function cronRefused(environment: Environment): readonly Finding[] {
  return environment.longhorn.recurringJobs.flatMap((job) => {
    const why = cronProblem(job.cron);
    if (why === undefined) return [];
    return [
      {
        path: at(job, "cron"),
        value: show(job.cron),
        why: `is no cron expression: ${why}`,
        remedy: 'write minute, hour, day, month and weekday, as in "30 3 * * *"',
      },
    ];
  });
}

export function backupWithoutTarget(environment: Environment): readonly Finding[] {
  if (environment.longhorn.backup) return [];
  return environment.longhorn.recurringJobs
    .filter((job) => job.task === "backup")
    .map((job) => ({
      path: at(job, "task"),
      value: job.task,
      why: `${job.name} has nowhere to put its backups: longhorn.backup is missing`,
      remedy: "add longhorn.backup.target, or write task: snapshot",
    }));
}

const nfsTarget = /^nfs:\/\/[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?:\/[^\s?#]*$/;
const s3Target = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]@[a-z0-9-]+\/[^\s?#]*$/;

export function backupTargetForm(environment: Environment): readonly Finding[] {
  const { backup } = environment.longhorn;
  if (!backup || nfsTarget.test(backup.target) || s3Target.test(backup.target)) return [];
  return [
    {
      path: at(backup, "target"),
      value: show(backup.target),
      why: "is no backup target that this program sets up",
      remedy:
        "write nfs://host:/path or s3://bucket@region/path; keys of S3 go into backupAccessKey and backupSecretKey",
    },
  ];
}

/** The UI's Ingress on a name that something else answers to would take its visitors, or lose its own. */
export function longhornHostTaken(environment: Environment): readonly Finding[] {
  const { host } = environment.longhorn;
  const taken = [
    { who: "Rancher", url: environment.cluster.rancher.url },
    { who: "Proxmox", url: environment.proxmox.endpoint },
  ];
  return taken
    .filter(({ url }) => new URL(url).hostname.toLowerCase() === host)
    .map(({ who }) => ({
      path: at(environment.longhorn, "host"),
      value: host,
      why: `is the host name of ${who}`,
      remedy: "choose a name of its own, which points to ingress.address",
    }));
}

/** A chart comes from a folder or from a repository; with both, Helm looks the folder's name up in the repository. */
export function chartFromTwoPlaces(environment: Environment): readonly Finding[] {
  return [environment.longhorn.chart, environment.loadBalancer.chart]
    .filter(({ repository, path }) => repository !== undefined && path !== undefined)
    .map((chart) => ({
      path: at(chart, "path"),
      value: show(chart.path),
      why: "a chart comes from a path or from a repository, not from both",
      remedy: "remove one of the two",
    }));
}
