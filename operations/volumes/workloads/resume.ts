import type { Clients } from "../../clients";
import type { WorkloadRecord } from "./record";

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

/**
 * Puts back what `stop` changed, exactly once: an owner without our annotation is not (or no longer) stopped by us and is left alone, one with it whose replicas a
 * person has set meanwhile keeps those. An owner that is stopped for another volume too stays down until the last of them resumes. Idempotent.
 */
export async function resume(clients: Clients, record: WorkloadRecord, options: ResumeOptions): Promise<Resumed> {
  throw new Error(`not built yet: ${JSON.stringify([record.claim, options, clients.clock.now()])}`);
}
