const factors: Readonly<Record<string, number>> = {
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** Any quantity of Kubernetes' (`500m`, `2`, `1.5Gi`) as a number of its unit (cores, bytes, pods); undefined for what is none. */
export function amountOf(quantity: string | undefined): number | undefined {
  const [, number, suffix] = /^(\d+(?:\.\d*)?(?:[eE]\d+)?)([a-zA-Z]*)$/.exec(quantity ?? "") ?? [];
  const factor = factors[suffix ?? "none"];
  return number === undefined || factor === undefined ? undefined : Number(number) * factor;
}

/**
 * A size as people and charts write it into live claims (`10Gi`, `10240Mi`, `5G`, `1e10`), in bytes; undefined for what is none. Ours and not client-node's,
 * which has such a function and does not export it; environment/quantity.ts knows only what our own file may hold.
 */
export function bytesOf(quantity: string | undefined): number | undefined {
  const amount = amountOf(quantity);
  return amount === undefined ? undefined : Math.ceil(amount);
}
