/** Sizes as the file writes them (`20Gi`), compared in MiB: the smallest unit the schema takes, so that every sum stays a whole number. */

const mebibytesPer = { Mi: 1, Gi: 1024, Ti: 1024 * 1024 } as const;
type Unit = keyof typeof mebibytesPer;

function isUnit(text: string): text is Unit {
  return text in mebibytesPer;
}

/** `20Gi` in MiB. Throws for any other form, which the schema has refused before. */
export function toMebibytes(quantity: string): number {
  const unit = quantity.slice(-2);
  const count = quantity.slice(0, -2);
  if (!isUnit(unit) || !/^\d+$/.test(count)) throw new Error(`${quantity}: not a size such as 20Gi`);
  return Number(count) * mebibytesPer[unit];
}

/** GiB, as the file gives disks and memory, in MiB. */
export function gibibytesToMebibytes(gibibytes: number): number {
  return gibibytes * mebibytesPer.Gi;
}

/** A size to read: in the largest unit that loses nothing. Fractions of a MiB are rounded down. */
export function formatMebibytes(mebibytes: number): string {
  const whole = Math.floor(mebibytes);
  const unit = (["Ti", "Gi"] as const).find(
    (candidate) => whole >= mebibytesPer[candidate] && whole % mebibytesPer[candidate] === 0,
  );
  return unit ? `${whole / mebibytesPer[unit]}${unit}` : `${whole}Mi`;
}
