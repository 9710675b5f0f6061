import type { V1Lease } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { Refusal } from "../refusal";

/** Holds `failed: <node>: <reason>` after a leave that did not end well, until that node's own leave succeeds. */
export const failureAnnotation = "home-cluster/leave";

/** Seconds without a renewal after which a holder counts as gone. Long enough for an API server that restarts because its node leaves. */
export const durationSeconds = 60;
/** How long a new leave waits for the failed node's own leave, which the engine starts beside it, to take the Lease. */
const graceSeconds = 60;
/** Longer than this between two looks, and the cluster did not answer in between. Looks come every 2 s. */
const gapSeconds = 20;

/** What a waiting holder has seen of the Lease so far. */
export class Watch {
  private record = "";
  private recordSince = 0;
  private lookedAt = 0;
  private firstFailure: string | undefined;
  private looked = false;
  private goingOn = false;
  private freeSince: number | undefined;

  constructor(
    private readonly clients: Clients,
    private readonly leaving: string | undefined,
  ) {}

  /** Remembers the live Lease; throws when a failed leave means that this one must not start. */
  look(lease: V1Lease): void {
    const now = this.clients.clock.now();
    // Compared as a whole and timed by our own clock: another operator's clock may be hours off.
    const record = JSON.stringify([lease.spec?.holderIdentity, lease.spec?.renewTime]);
    // When we could not look, the holder could not renew either, and that it did not says nothing.
    if (record !== this.record || now - this.lookedAt > gapSeconds * 1000) {
      this.record = record;
      this.recordSince = now;
    }
    this.lookedAt = now;
    this.heed(lease, now);
    this.looked = true;
  }

  isFree(lease: V1Lease): boolean {
    return !this.pending(lease) && this.holder(lease) === undefined;
  }

  /** The identity that holds the Lease and still renews it. */
  private holder(lease: V1Lease): string | undefined {
    const seconds = lease.spec?.leaseDurationSeconds ?? durationSeconds;
    const expired = this.clients.clock.now() - this.recordSince >= seconds * 1000;
    return expired ? undefined : lease.spec?.holderIdentity || undefined;
  }

  waitingFor(lease: V1Lease): string {
    const identity = this.holder(lease);
    if (identity !== undefined) return `the lock that ${holderName(identity)} holds`;
    return `${failedNode(this.firstFailure) ?? "another leave"}, which failed before, to go on`;
  }

  /** Another node's failed leave, recorded before we came, that may go on beside us. */
  private pending(lease: V1Lease): boolean {
    const node = failedNode(recordedFailure(lease));
    return this.leaving !== undefined && node !== undefined && node !== this.leaving;
  }

  private heed(lease: V1Lease, now: number): void {
    const failure = recordedFailure(lease);
    if (!this.looked) this.firstFailure = failure;
    if (!this.pending(lease)) return;
    if (failure === undefined || failure !== this.firstFailure) throw this.refusal(failure);
    const node = failedNode(failure);
    const identity = this.holder(lease);
    if (identity !== undefined) {
      this.freeSince = undefined;
      this.goingOn = holderName(identity) === node;
      return;
    }
    this.freeSince ??= now;
    if (this.goingOn || now - this.freeSince >= graceSeconds * 1000) throw this.refusal(failure);
  }

  private refusal(failure: string | undefined): Refusal {
    const node = failedNode(failure) ?? "another node";
    return new Refusal({
      what: `${this.leaving}: did not start to leave, nothing was touched`,
      why: `the leave of ${node} has not ended well: ${failure}`,
      next: `go on with ${node} first, by the command that its own message named; then run the same command again`,
    });
  }
}

export function recordedFailure(lease: V1Lease): string | undefined {
  return lease.metadata?.annotations?.[failureAnnotation];
}

/** The node in `failed: <node>: <reason>`. */
export function failedNode(failure: string | undefined): string | undefined {
  return failure === undefined ? undefined : (/^failed: ([^:]+): /.exec(failure)?.[1] ?? undefined);
}

export function holderName(identity: string): string {
  return identity.slice(0, identity.lastIndexOf("/"));
}
