import { ApiRefusal, type Clients } from "../../clients";
import { pods } from "../../kinds";
import { NotYet, waitFor } from "../../poll";
import { change, holdOf, released } from "./hold";
import { isLeaving, kindOf, levers } from "./levers";
import { podFrom, remadeAnnotation } from "./manifest";
import { ownerName, type OwnerRecord, type PauseRecord, type WorkloadRecord } from "./record";

export interface ResumeOptions {
  /** The claim that the workload uses from now on: bare pods are made again with it (every other owner's template says it already, see pointTo). */
  readonly claim: string;
}

export interface Resumed {
  /** What was put back, a line each. */
  readonly restored: readonly string[];
  /** What was left alone and why, a line each: changed by a person meanwhile, stopped for another volume as well, or gone. */
  readonly left: readonly string[];
}

/** How long a pod that was told to go may take before the one that stands for it can be made. */
const podGoneSeconds = 120;

/**
 * Puts back what `stop` changed, exactly once: an owner without our annotation is not (or no longer) stopped by us and is left alone, one with it whose replicas a
 * person has set meanwhile keeps those. An owner that is stopped for another volume too stays down until the last of them resumes. Idempotent. A bare pod has
 * nowhere to note it: one that is gone is made again, so that the ledger has to say whether this is still to be done.
 */
export async function resume(clients: Clients, record: WorkloadRecord, { claim }: ResumeOptions): Promise<Resumed> {
  const resumed: { restored: string[]; left: string[] } = { restored: [], left: [] };
  // What runs on a schedule after what it may need; what would have put it all back by itself last.
  const last = (kind: string): boolean => kind === "CronJob";
  const owners = [
    ...record.owners.filter(({ kind }) => !last(kind)),
    ...record.owners.filter(({ kind }) => last(kind)),
  ];
  for (const one of [...owners, ...record.paused]) {
    const said = one.kind === "Pod" ? await remake(clients, record, one, claim) : await letGo(clients, record, one);
    if (said.restored !== undefined) resumed.restored.push(`${ownerName(one)}: ${said.restored}`);
    if (said.left !== undefined) resumed.left.push(`${ownerName(one)}: ${said.left}`);
  }
  return resumed;
}

interface Said {
  readonly restored?: string;
  readonly left?: string;
}

async function letGo(
  { kubernetes }: Clients,
  record: WorkloadRecord,
  one: Exclude<OwnerRecord, { kind: "Pod" }> | PauseRecord,
): Promise<Said> {
  const { volume } = record;
  const lever = levers[one.kind];
  const live = await kubernetes.read(kindOf(one), one.name, one.namespace);
  if (!live) return { left: "it is gone" };
  if (live.metadata?.uid !== one.uid) return { left: "another one of its name stands there now" };
  let said: Said = {};
  await change(kubernetes, kindOf(one), one, (object) => {
    const hold = holdOf(object);
    const others = hold?.for.filter((other) => other !== volume) ?? [];
    if (others.length > 0) {
      said = { left: `stays stopped for volume ${others.join(", ")}` };
      return released(object, volume);
    }
    if (!hold) {
      const recorded = "original" in one ? one.original : undefined;
      const lost = recorded !== undefined && lever.atRest(object) && !lever.wasAtRest(recorded);
      said = lost ? { left: `it is stopped, and not by us any more; it had ${lever.says(recorded)}` } : {};
      return [];
    }
    if (lever.wasAtRest(hold.original)) said = { left: `left as it was found: ${lever.says(hold.original)}` };
    else if (!lever.atRest(object)) said = { left: `has ${lever.says(lever.original(object))} by now, which stays` };
    else {
      said = { restored: lever.says(hold.original) };
      return [...lever.restore(object, hold.original), ...released(object, volume)];
    }
    return released(object, volume);
  });
  return said;
}

async function remake(
  { kubernetes, clock }: Clients,
  record: WorkloadRecord,
  one: Extract<OwnerRecord, { kind: "Pod" }>,
  claim: string,
): Promise<Said> {
  const again = podFrom(one.original.manifest, one.uid, record.claim, claim);
  return waitFor(
    clock,
    {
      what: `${ownerName(one)}: cannot be made again`,
      timeoutSeconds: podGoneSeconds,
      everySeconds: 1,
      next: `see why it does not go: \`kubectl -n ${one.namespace} describe pod ${one.name}\`, then run the same command again`,
    },
    async () => {
      const live = await kubernetes.read(pods, one.name, one.namespace);
      if (live && isLeaving(live)) throw new NotYet("the pod that was deleted is still there");
      if (live?.metadata?.annotations?.[remadeAnnotation] === one.uid || live?.metadata?.uid === one.uid) return {};
      if (live) return { left: "another one of its name stands there now" };
      try {
        await kubernetes.create(again);
        return { restored: `made again, with the claim ${claim}` };
      } catch (error) {
        if (error instanceof ApiRefusal && error.reason === "AlreadyExists") return undefined;
        throw error;
      }
    },
  );
}
