import assert from "node:assert/strict";
import * as fc from "fast-check";
import { z } from "zod";
import {
  contains,
  formatRange,
  isAddress,
  isRange,
  networkOf,
  networkRange,
  overlap,
  parseRange,
  reservedIn,
  toAddress,
  toNumber,
  type AddressRange,
} from "../../../environment/address";

const number = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const range = fc.tuple(number, number).map(([one, other]): AddressRange => ({
  first: Math.min(one, other),
  last: Math.max(one, other),
}));
const prefix = fc.integer({ min: 0, max: 32 });

describe("environment/address", () => {
  it("counts addresses as the four bytes of one number", () => {
    assert.equal(toNumber("0.0.0.0"), 0);
    assert.equal(toNumber("0.0.1.2"), 258);
    assert.equal(toNumber("255.255.255.255"), 4294967295);
    assert.equal(toAddress(3232238101), "192.168.10.21");
  });

  it("turns every number into an address and back", () => {
    fc.assert(fc.property(number, (value) => toNumber(toAddress(value)) === value));
  });

  it("keeps the order of addresses", () => {
    fc.assert(
      fc.property(
        number,
        number,
        (one, other) => one < other === toNumber(toAddress(one)) < toNumber(toAddress(other)),
      ),
    );
  });

  it("gives a network 2^(32 - length) addresses, its own address among them", () => {
    fc.assert(
      fc.property(number, prefix, (address, length) => {
        const { first, last } = networkRange(`${toAddress(address)}/${length}`);
        return last - first + 1 === 2 ** (32 - length) && first <= address && address <= last;
      }),
    );
  });

  it("takes host bits away, and only those", () => {
    assert.equal(networkOf("192.168.10.5/24"), "192.168.10.0/24");
    fc.assert(
      fc.property(number, prefix, (address, length) => {
        const cidr = `${toAddress(address)}/${length}`;
        const network = networkOf(cidr);
        return networkOf(network) === network && contains(networkRange(network), networkRange(cidr));
      }),
    );
  });

  it("reads every network that the schema takes", () => {
    fc.assert(
      fc.property(number, prefix, (address, length) => {
        const cidr = `${toAddress(address)}/${length}`;
        assert.ok(z.cidrv4().safeParse(cidr).success);
        assert.doesNotThrow(() => networkOf(cidr));
      }),
    );
  });

  it("knows the addresses of a network that are nobody's", () => {
    assert.deepEqual(reservedIn("192.168.10.0/24").map(toAddress), ["192.168.10.0", "192.168.10.255"]);
    assert.deepEqual(reservedIn("192.168.10.0/30").map(toAddress), ["192.168.10.0", "192.168.10.3"]);
    assert.deepEqual(reservedIn("192.168.10.0/31"), []);
    assert.deepEqual(reservedIn("192.168.10.1/32"), []);
  });

  it("reads ranges, and none that runs backwards", () => {
    fc.assert(
      fc.property(range, ({ first, last }) => {
        assert.deepEqual(parseRange(`${toAddress(first)}-${toAddress(last)}`), { first, last });
        if (first < last) assert.equal(parseRange(`${toAddress(last)}-${toAddress(first)}`), undefined);
      }),
    );
  });

  it("writes a range as it reads it, a single address alone", () => {
    assert.equal(formatRange({ first: 258, last: 258 }), "0.0.1.2");
    fc.assert(
      fc.property(range, (value) => {
        const text = formatRange(value);
        assert.deepEqual(parseRange(text.includes("-") ? text : `${text}-${text}`), value);
      }),
    );
  });

  it("tells ranges from other text", () => {
    for (const text of ["1.2.3.4-1.2.3.5", "1.2.3.5-1.2.3.4"]) assert.equal(isRange(text), true, text);
    for (const text of ["", "-", "1.2.3.4", "1.2.3.4-", "1.2.3.4-5", "1.2.3.4-1.2.3.256", "1.2.3.4-1.2.3.5-1.2.3.6"])
      assert.equal(isRange(text), false, text);
    for (const text of ["1.2.3", "1.2.3.04", "0x1.2.3.4", "::1"]) assert.equal(isAddress(text), false, text);
  });

  it("finds what two ranges have in common: exactly the addresses that are in both", () => {
    fc.assert(
      fc.property(range, range, number, (left, right, address) => {
        const both = overlap(left, right);
        const inBoth = contains(left, address) && contains(right, address);
        assert.equal(both !== undefined && contains(both, address), inBoth);
        assert.deepEqual(overlap(right, left), both);
        if (both) assert.ok(contains(left, both) && contains(right, both));
      }),
    );
  });

  it("contains a range exactly if it contains both of its ends", () => {
    fc.assert(
      fc.property(
        range,
        range,
        (outer, inner) => contains(outer, inner) === (contains(outer, inner.first) && contains(outer, inner.last)),
      ),
    );
  });
});
