import type { Clients } from "../clients";
import { Refusal } from "../refusal";
import { capacityFindings } from "./capacity";
import { cordon, uncordon } from "./cordon";
import { drain } from "./drain";
import { etcdFindings } from "./etcd";
import { snapshotFindings } from "./etcd-snapshots";
import { failureOf } from "./failure";
import type { Finding } from "./finding";
import type { Held } from "./lease";
import {
  emptinessFindings,
  evictionFindings,
  evictLonghorn,
  forgetInLonghorn,
  recallEviction,
} from "./longhorn-eviction";
import { placementFindings } from "./placement";
import { rancherFindings } from "./rancher-pods";
import {
  awaitRemoval,
  membershipFindings,
  otherRemovalFindings,
  requestRemoval,
  wasTold,
  withdrawRequest,
} from "./rancher-removal";
import { stageOf, type Leaver, type Snapshot } from "./snapshot";

/** How a node leaves. */
export interface LeaveOptions {
  /** Everyone who is to go, this node included: what runs here must be able to run on somebody else. */
  readonly leaving: readonly string[];
  /** `empty`: Longhorn must hold nothing here. `move`: what it holds is moved. */
  readonly longhorn: "empty" | "move";
  /** How old the newest snapshot of etcd may be, in hours. */
  readonly snapshotHours: number;
}

/** The commands that a failure names. */
export interface Commands {
  readonly goOn: string;
  /** For as long as nothing is lost. */
  readonly goBack: string;
}

/**
 * Everything that stands against one node's leave, from what is live now. A node that is already being removed cannot be kept, and one that is gone
 * asks for nothing: their reruns go on instead.
 */
export function leaveFindings(snapshot: Snapshot, leaver: Leaver, options: LeaveOptions): Finding[] {
  const name = leaver.node;
  if (stageOf(snapshot, name) !== "member") return [];
  return [
    ...otherRemovalFindings(snapshot, name),
    ...membershipFindings(
      snapshot,
      leaver,
      options.longhorn === "empty"
        ? `remove the node in Rancher and \`kubectl delete node ${name}\``
        : "delete its machine in Proxmox too, and run the same command again: the node then goes without it",
    ),
    ...etcdFindings(snapshot, [leaver]),
    ...snapshotFindings(snapshot, leaver, options),
    ...rancherFindings(snapshot, name, options.leaving),
    ...placementFindings(snapshot, name, options.leaving),
    ...capacityFindings(snapshot, [name], options.leaving),
    ...(options.longhorn === "empty" ? emptinessFindings(snapshot, name) : evictionFindings(snapshot, name)),
  ];
}

/**
 * Takes the node out of the cluster: cordon, drain, Longhorn's data elsewhere, out of Rancher and so out of etcd, the Kubernetes node gone.
 * `snapshot` is what the preflight has just looked at, under the Lease. Every step does nothing where it is done already, so a rerun goes on from
 * where the last one stopped. A failure before Rancher was told takes the cordon and the eviction back.
 */
export async function leaveCluster(
  clients: Clients,
  held: Held,
  snapshot: Snapshot,
  leaver: Leaver,
  commands: Commands,
): Promise<void> {
  const name = leaver.node;
  const stage = stageOf(snapshot, name);
  if (stage === "member") {
    try {
      await cordon(clients, name);
      await drain(clients, name);
      await evictLonghorn(clients, name);
    } catch (error) {
      throw await takenBack(clients, held, name, error, commands);
    }
  }
  if (stage !== "gone") {
    try {
      await held.check();
      await requestRemoval(clients, name);
    } catch (error) {
      if (!(await wasTold(clients, name))) throw await takenBack(clients, held, name, error, commands);
      throw pastReturn(`${name}: is being removed and did not leave`, error, commands);
    }
  }
  try {
    await awaitRemoval(clients, name);
    await forgetInLonghorn(clients, name);
  } catch (error) {
    throw pastReturn(`${name}: is being removed and did not leave`, error, commands);
  }
}

/** The failure of a leave that has lost nothing, after the node was put back to work. */
async function takenBack(
  clients: Clients,
  held: Held,
  name: string,
  error: unknown,
  commands: Commands,
): Promise<Refusal> {
  const { what, why, next } = failureOf(error);
  const undone = await undo(clients, held, name);
  const state = undone ? "it takes pods as before" : "it may still be cordoned: the lock or the Kubernetes API is gone";
  const back = undone ? commands.goBack : `\`kubectl uncordon ${name}\`, then ${commands.goBack}`;
  return new Refusal({
    what: `${name}: did not leave, nothing is lost, ${state}: ${what}`,
    why,
    next: `${next === undefined ? "" : `${next}; `}to go on: ${commands.goOn}; to go back: ${back}`,
  });
}

/** Takes everything back that we changed; false when that was not possible, or not ours to do because somebody else holds the lock now. */
async function undo(clients: Clients, held: Held, name: string): Promise<boolean> {
  try {
    await held.check();
    await withdrawRequest(clients, name);
    await recallEviction(clients, name);
    await uncordon(clients, name);
    return true;
  } catch {
    return false;
  }
}

/** The failure of a leave that can only go on. */
export function pastReturn(what: string, error: unknown, commands: Pick<Commands, "goOn">): Refusal {
  const failure = failureOf(error);
  return new Refusal({
    what: `${what}: ${failure.what}`,
    why: failure.why,
    next: `${failure.next === undefined ? "" : `${failure.next}; `}to go on: ${commands.goOn}; there is no going back: Rancher was told to remove it`,
  });
}
