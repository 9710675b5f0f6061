import type { Clients } from "../clients";
import { failureOf } from "../cluster/failure";
import type { Finding } from "../cluster/finding";
import { leaveFindings } from "../cluster/leave-cluster";
import { readMachine, type Machine } from "../cluster/machine";
import { look, stageOf, type Snapshot } from "../cluster/snapshot";
import { Refusal } from "../refusal";
import { addressFindings, lookAtWays, type Ways } from "./address-findings";
import { machineFindings } from "./machine";
import type { RetirementInput } from "./retirement-input";
import { storageFindings } from "./storage-findings";

/** What a retirement's preflight saw. */
export interface Seen {
  readonly snapshot: Snapshot;
  readonly machine: Machine;
  readonly findings: readonly Finding[];
}

/** What was looked at for several nodes at once. */
export interface Known {
  readonly snapshot: Snapshot;
  readonly ways: Ways;
}

/** Everything that stands against retiring the node, from live systems; changes nothing. */
export async function preflight(clients: Clients, input: RetirementInput, known?: Known): Promise<Seen> {
  const snapshot = known?.snapshot ?? (await look(clients));
  const ways = known?.ways ?? (await lookAtWays(clients, snapshot, input));
  const stage = stageOf(snapshot, input.node);
  const machine = await readMachine(clients, input);
  return {
    snapshot,
    machine,
    findings: [
      ...machineFindings(machine, input, stage === "member"),
      ...(await storageFindings(clients.kubernetes, snapshot, input)),
      ...(machine.state === "gone" ? [] : addressFindings(ways, input)),
      ...leaveFindings(snapshot, input, {
        leaving: input.oldNodes,
        longhorn: "empty",
        snapshotHours: input.snapshotHours,
      }),
    ],
  };
}

/** Whether nothing is left to do. */
export function isGone({ snapshot, machine }: Pick<Seen, "snapshot" | "machine">, node: string): boolean {
  return machine.state === "gone" && stageOf(snapshot, node) === "gone";
}

/**
 * Asks each system for something small first: one that does not answer, or no longer takes the credentials that the last `up` recorded, stops the run
 * before anything was read, let alone changed.
 */
export async function refuseUnreachable(
  clients: Clients,
  who: string,
  systems: readonly Reachable[],
  up: string,
): Promise<void> {
  const ask: Record<Reachable, () => Promise<unknown>> = {
    Kubernetes: () => clients.kubernetes.version(),
    Rancher: () => clients.rancher.version(),
    Proxmox: () => clients.proxmox.listVms(),
  };
  for (const system of systems) {
    try {
      await ask[system]();
    } catch (error) {
      const { what, why, next } = failureOf(error);
      throw new Refusal({
        what: `${who}: nothing was touched, because ${system} does not answer as it should`,
        why: `${what}: ${why}`,
        next: `${next === undefined ? "" : `${next}; `}after a rotated token or kubeconfig, ${up} records the new one; then run the same command again`,
      });
    }
  }
}

/**
 * Gives an error that is not ours, which can only come from looking, the words that an operator needs: what is done is done under messages of its
 * own.
 */
export async function explained<T>(who: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const { what, why } = failureOf(error);
    throw new Refusal({
      what: `${who}: stopped while looking at the live systems, this run changed nothing`,
      why: `${what}: ${why}`,
      next: "run the same command again",
    });
  }
}

type Reachable = "Kubernetes" | "Rancher" | "Proxmox";
