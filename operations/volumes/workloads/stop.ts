import type { Clients } from "../../clients";
import type { WorkloadRecord } from "./record";

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
  throw new Error(`not built yet: ${JSON.stringify([record.claim, options, clients.clock.now()])}`);
}
