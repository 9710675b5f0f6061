import { lookup } from "node:dns/promises";
import type { Network } from "../clients";

/** Names as the machine resolves them, its hosts file included: what the operator's own tools and browser see. */
export const addressesOf: Network["addressesOf"] = async (host) => {
  try {
    // URLs write IPv6 addresses in brackets.
    return (await lookup(host.replace(/^\[|\]$/g, ""), { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
};
