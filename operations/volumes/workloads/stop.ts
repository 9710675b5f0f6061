import type { Clients } from "../../clients";
import { jobs, pods } from "../../kinds";
import { NotYet, waitFor } from "../../poll";
import { change, held, refuseAnother } from "./hold";
import { isLeaving, kindOf, levers } from "./levers";
import { remadeAnnotation } from "./manifest";
import { isOver } from "./observe";
import { ownerName, type OwnerRecord, type PauseRecord, type WorkloadRecord } from "./record";

export interface StopOptions {
  /** How long Jobs of a CronJob that are running may take to end, before anything else is stopped. Default 900. */
  readonly jobSeconds?: number;
  /** The command that takes everything back, named in refusals. */
  readonly rollback: string;
}

/**
 * Pauses, suspends and scales to zero what the record names, each object in one patch under the condition that it is the one that was recorded and that nobody
 * wrote in between. CronJobs first, and their running Jobs are waited for, so that no backup is cut in two and nothing is down meanwhile. Idempotent; records
 * nothing (the record must be in the ledger before); does not wait for pods (awaitNoMount). Throws a Refusal for an owner that was made anew: look again.
 * An owner that is gone has nothing to stop. Returns what it changed, a line each.
 */
export async function stop(clients: Clients, record: WorkloadRecord, options: StopOptions): Promise<readonly string[]> {
  const lines: string[] = [];
  const each = async (some: readonly (OwnerRecord | PauseRecord)[]): Promise<void> => {
    for (const one of some) lines.push(...(await stopOne(clients, one, record.volume)));
  };
  await each(record.paused);
  const timed = record.owners.filter(({ kind }) => kind === "CronJob");
  await each(timed);
  await awaitJobs(clients, record, timed, options);
  await each(record.owners.filter(({ kind }) => kind !== "CronJob"));
  return lines;
}

async function stopOne(clients: Clients, one: OwnerRecord | PauseRecord, volume: string): Promise<string[]> {
  if (one.kind === "Pod") return deletePod(clients, one);
  const lever = levers[one.kind];
  let said: string[] = [];
  await change(clients.kubernetes, kindOf(one), one, (object) => {
    // One that is being deleted needs no stop, and one that ended would run again.
    if (isLeaving(object) || isOver(object)) return [];
    const rest = lever.atRest(object) ? [] : lever.rest(object);
    said = rest.length > 0 ? [`${ownerName(one)}: stopped (had ${lever.says(lever.original(object))})`] : [];
    return [...rest, ...held(object, volume, lever.original(object))];
  });
  return said;
}

async function deletePod({ kubernetes }: Clients, one: OwnerRecord): Promise<string[]> {
  const pod = await kubernetes.read(pods, one.name, one.namespace);
  if (!pod || isLeaving(pod)) return [];
  // Made again by `resume`, and to be stopped once more by a rollback.
  if (pod.metadata?.annotations?.[remadeAnnotation] !== one.uid) refuseAnother(one, pod);
  await kubernetes.remove(pods, one.name, one.namespace, { uid: pod.metadata?.uid ?? one.uid });
  return [`${ownerName(one)}: deleted (its manifest is in the ledger)`];
}

async function awaitJobs(
  { kubernetes, clock, log }: Clients,
  { namespace }: WorkloadRecord,
  owners: readonly OwnerRecord[],
  { jobSeconds = 900, rollback }: StopOptions,
): Promise<void> {
  if (owners.length === 0) return;
  const uids = new Set(owners.map(({ uid }) => uid));
  let told = "";
  await waitFor(
    clock,
    {
      what: `${owners.map(ownerName).join(", ")}: the last run`,
      timeoutSeconds: jobSeconds,
      next: `let it end or delete that Job, then run \`pulumi up\` again; \`${rollback}\` takes everything back`,
    },
    async () => {
      const running = (await kubernetes.list(jobs, { namespace })).filter(
        (job) => !isOver(job) && job.metadata?.ownerReferences?.some(({ uid }) => uids.has(uid)),
      );
      if (running.length === 0) return true;
      const names = running.map(({ metadata }) => `Job ${namespace}/${metadata?.name}`).join(", ");
      if (names !== told) log(`waiting for the end of ${names}`);
      told = names;
      throw new NotYet(`${names} is running`);
    },
  );
}
