import type { Clock } from "../../operations/clients";
import { systemClock } from "../../operations/clients/clock";

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

/** Real time for a pretend home that real programs talk to, in which what takes the home long takes `scale` of it: with 0 it has happened right away. */
export class ScaledClock implements Clock {
  private asleep = 0;

  constructor(public scale = 0) {}

  now(): number {
    return systemClock.now();
  }

  async sleep(milliseconds: number): Promise<void> {
    this.asleep += 1;
    await pause(milliseconds * this.scale);
    this.asleep -= 1;
  }

  /** Resolves once nobody sleeps any more: everything that the home had begun has happened. */
  async idle(): Promise<void> {
    do await pause(this.scale === 0 ? 0 : 5);
    while (this.asleep > 0);
  }
}

/** Without a delay, the turn of the event loop that what is awake needs to run as far as it can. */
function pause(milliseconds: number): Promise<void> {
  return milliseconds > 0 ? systemClock.sleep(milliseconds) : new Promise((resolve) => setImmediate(resolve));
}
