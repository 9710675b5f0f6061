import type { Clock } from "./clients";
import { Refusal } from "./refusal";

/** How long to wait for something, and what to say when it does not come. */
export interface Wait {
  readonly what: string;
  readonly timeoutSeconds: number;
  /** Seconds between two looks. Default 5. */
  readonly everySeconds?: number;
  /**
   * Seconds between the first looks, where what is waited for may come about soon; later ones come a twentieth of the time so far apart, at most `everySeconds`: so
   * waiting for the next look adds a twentieth.
   */
  readonly firstSeconds?: number;
  /** The one next command when the time is up. */
  readonly next: string;
}

/**
 * Asks until `probe` returns a value; undefined means "not yet". What the last probe said it is waiting for (a string thrown as `NotYet`) ends up in the
 * refusal, so that a timeout names its cause. Ours and not a retry library's, because those sleep on the real clock.
 */
export async function waitFor<T>(clock: Clock, wait: Wait, probe: () => Promise<T | undefined>): Promise<T> {
  const start = clock.now();
  const deadline = start + wait.timeoutSeconds * 1000;
  const every = (wait.everySeconds ?? 5) * 1000;
  const first = (wait.firstSeconds ?? Infinity) * 1000;
  let reason = "it never came about";
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof NotYet)) throw error;
      reason = error.message;
    }
    if (clock.now() >= deadline) {
      throw new Refusal({
        what: `${wait.what}: not within ${wait.timeoutSeconds} s`,
        why: `last seen: ${reason}`,
        next: wait.next,
      });
    }
    await clock.sleep(Math.min(every, Math.max(first, (clock.now() - start) / 20)));
  }
}

/** "Not yet, because …": the probe's way to say what it is still waiting for. */
export class NotYet extends Error {}
