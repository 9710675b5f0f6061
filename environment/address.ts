import { IPv4 } from "ipaddr.js";

/** IPv4 addresses as numbers, so that ranges can be compared. Texts are of the forms that the schema lets through. */

/** First and last address, both in it. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

/** `192.168.10.5` as a number from 0 to 2^32 - 1. */
export function toNumber(address: string): number {
  return IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);
}

export function toAddress(number: number): string {
  return new IPv4([24, 16, 8, 0].map((shift) => (number >>> shift) & 255)).toString();
}

/** All addresses of a network, its own and the broadcast address included. Host bits are ignored. */
export function networkRange(cidr: string): AddressRange {
  return {
    first: toNumber(IPv4.networkAddressFromCIDR(cidr).toString()),
    last: toNumber(IPv4.broadcastAddressFromCIDR(cidr).toString()),
  };
}

/** The network without host bits: `192.168.10.5/24` is in `192.168.10.0/24`. */
export function networkOf(cidr: string): string {
  const [, prefix] = IPv4.parseCIDR(cidr);
  return `${IPv4.networkAddressFromCIDR(cidr).toString()}/${prefix}`;
}

/** The network's own address and its broadcast address; none in networks of one or two addresses, which have neither (RFC 3021). */
export function reservedIn(cidr: string): readonly number[] {
  const { first, last } = networkRange(cidr);
  return last - first < 2 ? [] : [first, last];
}

/** `192.168.10.100-192.168.10.199`; undefined when it runs backwards. */
export function parseRange(text: string): AddressRange | undefined {
  const [first = 0, last = 0] = text.split("-").map(toNumber);
  return first <= last ? { first, last } : undefined;
}

/** Whether the text is one address in four decimal parts. */
export function isAddress(text: string): boolean {
  return IPv4.isValidFourPartDecimal(text);
}

/** Whether the text is two addresses with a hyphen between, in either order. */
export function isRange(text: string): boolean {
  const parts = text.split("-");
  return parts.length === 2 && parts.every(isAddress);
}

export function formatRange({ first, last }: AddressRange): string {
  return first === last ? toAddress(first) : `${toAddress(first)}-${toAddress(last)}`;
}

export function contains(outer: AddressRange, inner: AddressRange | number): boolean {
  const { first, last } = typeof inner === "number" ? { first: inner, last: inner } : inner;
  return outer.first <= first && last <= outer.last;
}

/** What both have; undefined when they have nothing in common. */
export function overlap(left: AddressRange, right: AddressRange): AddressRange | undefined {
  const first = Math.max(left.first, right.first);
  const last = Math.min(left.last, right.last);
  return first <= last ? { first, last } : undefined;
}
