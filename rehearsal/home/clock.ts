import type { Clock } from "../../operations/clients";

/**
 * Virtual time: when everything that runs is asleep, the clock jumps to whoever wakes first. Hours of polling pass in milliseconds, in one order that is the
 * same in every run.
 */
export class VirtualClock implements Clock {
  private readonly sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  private scheduled = false;

  constructor(private time: number) {}

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

  /** Resolves once nobody sleeps any more: everything started in the background has happened. */
  async idle(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.scheduled || this.sleepers.length > 0);
  }

  /** Waits for a whole turn of the event loop, in which everything that is awake runs as far as it can, then wakes the next sleeper. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      const next = this.sleepers.shift();
      if (!next) return;
      this.time = Math.max(this.time, next.at);
      next.wake();
      if (this.sleepers.length > 0) this.schedule();
    });
  }
}
