import type { Clock } from "../../../operations/clients";

/**
 * Time for operations on a real API server: it jumps to whoever wakes first, but only while no call is under way, and after `pause` real milliseconds in which
 * controllers may do their part. So a quarter of an hour of polling takes a second, and a busy machine costs nobody his Lease.
 */
export class PatientClock implements Clock {
  /** Real milliseconds before each jump. 0 where nothing is waited for that the cluster does by itself. */
  pause = 40;
  private readonly sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  private time = Date.now();
  private calls = 0;
  private scheduled = false;

  /** For clients, whose own waiting happens inside of a call. */
  readonly inside: Clock = {
    now: () => this.time,
    sleep: async (milliseconds) => {
      this.calls -= 1;
      await this.sleep(milliseconds);
      this.calls += 1;
    },
  };

  now(): number {
    return this.time;
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((wake) => {
      const at = this.time + Math.max(0, milliseconds);
      const index = this.sleepers.findIndex((other) => other.at > at);
      this.sleepers.splice(index < 0 ? this.sleepers.length : index, 0, { at, wake });
      this.schedule();
    });
  }

  /** A call during which no time passes. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.calls += 1;
    try {
      return await call();
    } finally {
      this.calls -= 1;
      this.schedule();
    }
  }

  private schedule(): void {
    if (this.scheduled || this.calls > 0 || this.sleepers.length === 0) return;
    this.scheduled = true;
    setTimeout(() => {
      this.scheduled = false;
      // The call that came in between goes on from here when it ends.
      if (this.calls > 0) return;
      const next = this.sleepers.shift();
      if (next) {
        this.time = Math.max(this.time, next.at);
        next.wake();
      }
      this.schedule();
    }, this.pause);
  }
}
