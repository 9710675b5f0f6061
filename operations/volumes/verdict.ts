import { mounting } from "./consumers";
import type { Comparison } from "./ledger";

/** What a comparison proves. */
export type Verdict =
  /** No difference, and nothing that could have made one: the new volume is the old one. */
  | "verified"
  /** A copy, with or without differences, of a volume that is in use: the next pass has less to do, and nothing more is known. */
  | "warm"
  /** Differences that no pod can have made: the copy is wrong, or older than the old volume. */
  | "differs";

/**
 * The verdict on a comparison by who used the old volume around it. A pod that waits for a node cannot have written, so it excuses no difference; it may
 * be given one at any moment, so it stands against `verified`. So do vanished files, which mean a writer even where none was seen, and users of the new volume,
 * who may have changed what was compared.
 */
export function judge(comparison: Comparison): Verdict {
  const { differences, vanished, consumers, targetConsumers } = comparison;
  if (differences > 0) return mounting(consumers).length > 0 ? "warm" : "differs";
  return consumers.length === 0 && targetConsumers.length === 0 && vanished === 0 ? "verified" : "warm";
}
