import type { Clients } from "../../clients";
import type { WorkloadRecord } from "./record";

export interface ProbeOptions {
  /** The claim that the pods must refer to. */
  readonly claim: string;
  readonly timeoutSeconds: number;
  /** The command that takes everything back, named in the refusal. */
  readonly rollback: string;
}

export interface Probed {
  /** What runs again, a line each with its pods. */
  readonly ready: readonly string[];
  /** What nothing can be said about, and why: at 0 replicas, a CronJob, held down for another volume. */
  readonly silent: readonly string[];
}

/** Waits until the pods of every resumed owner are Ready with the claim. Else a Refusal with what the pods and their events say. Changes nothing. */
export async function probe(clients: Clients, record: WorkloadRecord, options: ProbeOptions): Promise<Probed> {
  throw new Error(`not built yet: ${JSON.stringify([record.claim, options, clients.clock.now()])}`);
}
