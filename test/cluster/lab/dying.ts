import { changes, type Hooks } from "./retirement";

class Killed extends Error {}

/** A process that dies once it has the lock (0), or has changed something for the n-th time; nothing that it sends afterwards arrives. */
export function dying(n: number): Hooks & { readonly last: () => string | undefined } {
  let [count, last]: [number, string | undefined] = [0, undefined];
  const die = (at: string): never => {
    last = at;
    throw new Killed(at);
  };
  return {
    log: (line) => void (n === 0 && line.includes("holds the lock") && die("the lock")),
    before: () => {
      if (last !== undefined) throw new Killed(last);
    },
    after: (call) => {
      // How often the Lease is renewed in between is a matter of time.
      if (!changes(call) || call.includes("Lease")) return;
      count += 1;
      if (count === n) die(call);
    },
    last: () => last,
  };
}
