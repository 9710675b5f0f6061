import type { Clients } from "../../clients";
import type { VolumeRef } from "../ledger";

export interface NoMountOptions {
  readonly timeoutSeconds: number;
  /** The command that takes everything back, named in the refusal. */
  readonly rollback: string;
}

/**
 * Waits until no pod refers to the claim (one that is terminating does until it is gone; one that has ended, or is a migration's, does not) and, where the driver
 * of its volume attaches, no VolumeAttachment of it stands on a node without a pod of ours. A Refusal names what is left, pods with their owner, so that
 * one that appeared meanwhile is seen. The same look, without waiting, is `mounts`: empty means that nothing is.
 */
export async function awaitNoMount(clients: Clients, volume: VolumeRef, options: NoMountOptions): Promise<void> {
  throw new Error(`not built yet: ${JSON.stringify([volume, options, clients.clock.now()])}`);
}

/** What uses or holds the claim's volume now, a line each. */
export async function mounts(kubernetes: Clients["kubernetes"], volume: VolumeRef): Promise<readonly string[]> {
  throw new Error(`not built yet: ${JSON.stringify([volume, await kubernetes.version()])}`);
}
