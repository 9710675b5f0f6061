import { randomUUID } from "node:crypto";
import type { V1Lease } from "@kubernetes/client-node";
import { ApiRefusal, type Clients } from "../clients";
import { leases } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { oneLine } from "./failure";
import { durationSeconds, failedNode, failureAnnotation, holderName, recordedFailure, Watch } from "./lease-watch";

export { failureAnnotation } from "./lease-watch";

/** The one Lease that makes joining and leaving one at a time, across operators and machines. */
export const leaseName = "home-cluster";
export const leaseNamespace = "kube-system";

/** Four chances to renew before others take over. */
const renewSeconds = 15;
/** A holder that lives has deadlines of its own for every step; the sum for two other nodes with full Longhorn disks stays below this. */
const waitSeconds = 6 * 3600;
/** Between two looks of somebody who waits: a node that leaves hands over to the next one, which is this long idle. */
const lookSeconds = 2;
/** How long the API may fall silent while we wait, as it does when a control plane node leaves. */
const silenceSeconds = 600;

/** What a holder can ask while it holds. */
export interface Held {
  /** Throws unless the live Lease still names this holder: asked right before everything that cannot be taken back. */
  check(): Promise<void>;
  /** Says that something is about to be changed: an error from here on is a failed leave, one before it left everything as it was. */
  touching(): void;
}

export interface LeaseOptions {
  /**
   * The node that leaves, when this is a leave: an error after `touching` is written into the Lease, so that leaves that already wait end at once;
   * its own success clears it. Must be the holder's name too.
   */
  readonly leaving?: string;
}

/**
 * Runs `run` while holding the Lease, renewed in the background. Waits for another holder (with progress), takes over one that stopped renewing,
 * releases in the end whatever happens. `holder` is for people; two holders of one name still exclude each other.
 */
export async function withLease<T>(
  clients: Clients,
  holder: string,
  run: (held: Held) => Promise<T>,
  options: LeaseOptions = {},
): Promise<T> {
  const holding = new Holding(clients, `${holder}/${randomUUID()}`);
  await whenFree(clients, holder, options, (lease) => holding.take(lease));
  clients.log(`${holder}: holds the lock`);
  holding.keepRenewing();
  let failure: string | undefined;
  let cleared = false;
  try {
    const result = await run(holding);
    cleared = true;
    return result;
  } catch (error) {
    if (holding.touched) failure = oneLine(error);
    throw error;
  } finally {
    const { leaving } = options;
    await holding.release((annotations) => {
      if (leaving === undefined) return annotations;
      if (failure !== undefined) return { ...annotations, [failureAnnotation]: `failed: ${leaving}: ${failure}` };
      const { [failureAnnotation]: last, ...others } = annotations;
      return cleared && failedNode(last) === leaving ? others : annotations;
    });
  }
}

/** Whether somebody holds the Lease, or did until it died: what is seen now may be the middle of somebody's work. */
export async function isHeld({ kubernetes }: Pick<Clients, "kubernetes">): Promise<boolean> {
  return Boolean((await kubernetes.read(leases, leaseName, leaseNamespace))?.spec?.holderIdentity);
}

/**
 * Waits until nobody holds the Lease, without taking it: for what may happen beside others of its kind, but is better not begun in the middle of a change to
 * etcd or the control plane.
 */
export async function awaitFree(clients: Clients, who: string): Promise<void> {
  await whenFree(clients, who, {}, async () => true);
}

/** Takes the failure of a node out of the Lease, for a node of which a later look found nothing left to do. */
export async function clearFailure({ kubernetes }: Pick<Clients, "kubernetes">, node: string): Promise<void> {
  const lease = await kubernetes.read(leases, leaseName, leaseNamespace);
  if (lease === undefined || failedNode(recordedFailure(lease)) !== node) return;
  await kubernetes.patch(
    leases,
    leaseName,
    { metadata: { annotations: { [failureAnnotation]: null } } },
    leaseNamespace,
  );
}

/** Waits until the Lease is free and `take` succeeded on it. */
async function whenFree(
  clients: Clients,
  holder: string,
  options: LeaseOptions,
  take: (lease: V1Lease | undefined) => Promise<boolean>,
): Promise<void> {
  const { clock, log, kubernetes } = clients;
  const others = new Watch(clients, options.leaving);
  let told = "";
  let toldAt = clock.now();
  let answeredAt: number | undefined;
  const read = async (): Promise<V1Lease | undefined> => {
    try {
      const lease = await kubernetes.read(leases, leaseName, leaseNamespace);
      answeredAt = clock.now();
      return lease;
    } catch (error) {
      // Whoever never had an answer has the wrong credentials or address; whoever had one waits beside a control plane that changes.
      if (answeredAt === undefined || clock.now() - answeredAt > silenceSeconds * 1000) throw error;
      throw new NotYet(oneLine(error));
    }
  };
  await waitFor(
    clock,
    {
      what: `${holder}: the lock (Lease ${leaseNamespace}/${leaseName})`,
      timeoutSeconds: waitSeconds,
      everySeconds: lookSeconds,
      next: `see what its holder does, \`kubectl -n ${leaseNamespace} get lease ${leaseName} -o yaml\`, then run the same command again`,
    },
    async () => {
      const lease = await read();
      if (lease) others.look(lease);
      const free = !lease || others.isFree(lease);
      if (free && (await take(lease))) return true;
      const waitingFor = free ? "the lock, which another one took first" : others.waitingFor(lease);
      // Once when it changes, then once a minute: a terminal that says nothing for an hour looks dead.
      if (waitingFor !== told || clock.now() - toldAt >= 60_000) {
        log(`${holder}: waiting for ${waitingFor}`);
        told = waitingFor;
        toldAt = clock.now();
      }
      throw new NotYet(waitingFor);
    },
  );
}

/** Our side of the Lease, from taking to releasing it. */
class Holding implements Held {
  touched = false;
  private ended = false;
  private lost: string | undefined;
  private renewal: Promise<void> = Promise.resolve();
  private acquired = 0;
  private renewed = 0;
  private transitions = 0;

  constructor(
    private readonly clients: Clients,
    private readonly identity: string,
  ) {}

  /** Writes ourselves into the Lease as it was read; false when someone was faster. */
  async take(lease: V1Lease | undefined): Promise<boolean> {
    this.acquired = this.renewed = this.clients.clock.now();
    this.transitions = (lease?.spec?.leaseTransitions ?? 0) + (lease ? 1 : 0);
    try {
      if (lease) await this.clients.kubernetes.replace(this.held(lease));
      else {
        const metadata = { name: leaseName, namespace: leaseNamespace };
        await this.clients.kubernetes.create<V1Lease>(this.held({ metadata }));
      }
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  touching(): void {
    this.touched = true;
  }

  async check(): Promise<void> {
    const lease = await this.clients.kubernetes.read(leases, leaseName, leaseNamespace);
    if (lease?.spec?.holderIdentity !== this.identity) this.lost ??= nameOf(lease);
    if (this.lost === undefined) return;
    throw new Refusal({
      what: `${holderName(this.identity)}: the lock was lost, so this run stops here`,
      why: `the Lease ${leaseNamespace}/${leaseName} was not renewed in time and is now held by ${this.lost}`,
      next: "once nothing else holds it, run the same command again: it goes on from where it stopped",
    });
  }

  /**
   * Sleeps and renews until released. The last sleep ends by itself and does nothing, so a clock that waits for all sleepers comes to rest.
   */
  keepRenewing(): void {
    void (async () => {
      for (;;) {
        await this.clients.clock.sleep(renewSeconds * 1000);
        if (this.ended || this.lost !== undefined) return;
        this.renewal = this.renew();
        await this.renewal;
      }
    })();
  }

  /** Gives the Lease back, with its annotations changed. Never throws: it would hide what `run` said; an unreleased Lease expires. */
  async release(change: (annotations: Record<string, string>) => Record<string, string>): Promise<void> {
    this.ended = true;
    await this.renewal;
    const { kubernetes, clock, log } = this.clients;
    // A control plane that just lost a node may not answer for a moment, and what is written here stops others from starting.
    for (let attempt = 1; attempt <= 6; attempt += 1) {
      try {
        const lease = await kubernetes.read(leases, leaseName, leaseNamespace);
        if (lease?.spec?.holderIdentity !== this.identity) return;
        const spec = { leaseDurationSeconds: durationSeconds, leaseTransitions: this.transitions };
        const annotations = change(lease.metadata?.annotations ?? {});
        await kubernetes.replace<V1Lease>({ ...lease, metadata: { ...lease.metadata, annotations }, spec });
        return;
      } catch {
        // What was thrown may carry a request with its token; the next line is all that may be said of it.
        if (attempt < 6) await clock.sleep(5_000);
      }
    }
    log(`${holderName(this.identity)}: could not give the lock back; it expires by itself in ${durationSeconds} s`);
  }

  private async renew(): Promise<void> {
    const { kubernetes, clock } = this.clients;
    try {
      const lease = await kubernetes.read(leases, leaseName, leaseNamespace);
      if (lease?.spec?.holderIdentity !== this.identity) {
        this.lost = nameOf(lease);
        return;
      }
      const before = this.renewed;
      this.renewed = clock.now();
      try {
        await kubernetes.replace(this.held(lease));
      } catch (error) {
        this.renewed = before;
        throw error;
      }
    } catch {
      // Tried again at the next turn. Whether we still hold it is for `check` to say, from the live Lease.
    }
  }

  private held(lease: V1Lease): V1Lease {
    return {
      ...lease,
      ...leaseKind,
      spec: {
        ...lease.spec,
        holderIdentity: this.identity,
        leaseDurationSeconds: durationSeconds,
        leaseTransitions: this.transitions,
        acquireTime: new MicroTime(this.acquired),
        renewTime: new MicroTime(this.renewed),
      },
    };
  }
}

const leaseKind = { apiVersion: leases.apiVersion, kind: leases.kind };

/**
 * The API server takes these times with six digits only and refuses JSON's three. The client library's own class is the same, but importing it for
 * its value would load the whole library into every preview.
 */
class MicroTime extends Date {
  override toISOString(): string {
    return super.toISOString().replace("Z", "000Z");
  }
}

function nameOf(lease: V1Lease | undefined): string {
  const identity = lease?.spec?.holderIdentity;
  return identity ? holderName(identity) : "nobody";
}

function isConflict(error: unknown): boolean {
  return error instanceof ApiRefusal && error.status === 409;
}
