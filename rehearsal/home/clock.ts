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
  private readonly asleep = new Set<() => void>();

  constructor(public scale = 0) {}

  now(): number {
    return systemClock.now();
  }

  sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        if (this.asleep.delete(wake)) resolve();
      };
      const cancel = after(milliseconds * this.scale, wake);
      this.asleep.add(wake);
    });
  }

  /** Resolves once nobody sleeps any more: everything that the home had begun has happened. */
  async idle(): Promise<void> {
    do await (this.scale === 0 ? turn() : systemClock.sleep(5));
    while (this.asleep.size > 0);
  }

  /** Wakes whoever sleeps, until nobody does: what the home had begun happens now, however long it would have taken. */
  async hurry(): Promise<void> {
    do {
      for (const wake of [...this.asleep]) wake();
      await turn();
    } while (this.asleep.size > 0);
  }
}

/** Calls back once the time has passed; without a delay, after the turn of the event loop that what is awake needs to run as far as it can. Returns what cancels it. */
function after(milliseconds: number, then: () => void): () => void {
  if (milliseconds > 0) {
    const timer = setTimeout(then, milliseconds);
    return () => clearTimeout(timer);
  }
  const immediate = setImmediate(then);
  return () => clearImmediate(immediate);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
