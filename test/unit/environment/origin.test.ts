import assert from "node:assert/strict";
import { z } from "zod";
import { nearest } from "../../../environment/explain";
import { at, atIndex, formatPath, remember, Unusable, usable, whole } from "../../../environment/origin";
import { salvage } from "../../../environment/salvage";

describe("environment/origin", () => {
  it("writes paths as the file is read", () => {
    assert.equal(formatPath([]), "");
    assert.equal(formatPath(["nodes", 0, "cards", 1, "address"]), "nodes[0].cards[1].address");
    assert.equal(formatPath(["labels", "example.org/zone"]), 'labels["example.org/zone"]');
    assert.equal(formatPath([0]), "[0]");
  });

  it("finds the way back from a value", () => {
    const value = remember({ list: [{ name: "a" }, { name: "b" }], plain: ["x", "y"] }, ["top"]);
    assert.equal(at(value), "top");
    assert.equal(at(value.list[1] ?? {}, "name"), "top.list[1].name");
    assert.equal(atIndex(value.plain, 1), "top.plain[1]");
    assert.equal(whole(value.list), true);
  });

  it("refuses to guess where a value stands that it never saw", () => {
    assert.throws(() => at({}), /does not come from checkEnvironment/);
  });

  it("gives the fallback only for what the file does not hold", () => {
    assert.equal(
      usable(() => 1, 2),
      1,
    );
    assert.equal(
      usable(() => {
        throw new Unusable(["ingress"]);
      }, 2),
      2,
    );
    assert.throws(
      () =>
        usable(() => {
          throw new TypeError("a defect");
        }, 2),
      TypeError,
    );
    assert.equal(new Unusable(["nodes", 0]).message, "nodes[0] cannot be used");
  });
});

describe("environment/salvage", () => {
  const schema = z.strictObject({
    name: z.string(),
    section: z.strictObject({ size: z.int(), host: z.string() }),
    list: z.array(z.strictObject({ id: z.int(), tags: z.array(z.string()).default([]) })).default([]),
  });
  type Shape = z.output<typeof schema>;
  const rest = (raw: unknown): Shape => salvage(schema, raw) as Shape;

  it("keeps what is well formed, drops unknown keys, and throws where something is read that is not", () => {
    const value = rest({ name: 5, section: { size: "x", host: "h", other: 1 }, extra: true });
    assert.deepEqual(Object.keys(value), ["section", "list"]);
    assert.equal(value.section.host, "h");
    assert.deepEqual(Object.keys(value.section), ["host"]);
    assert.throws(() => value.name, new Unusable(["name"]));
    assert.throws(() => value.section.size, new Unusable(["section", "size"]));
  });

  it("leaves invalid entries out, and remembers the places of the others", () => {
    const value = rest({
      name: "n",
      section: {},
      list: [{ id: "x" }, { id: 1, other: 1 }, "text", { id: 2, tags: ["a", 5, "b"] }],
    });
    assert.deepEqual(value.list, [
      { id: 1, tags: [] },
      { id: 2, tags: ["a", "b"] },
    ]);
    assert.deepEqual(
      value.list.map((entry) => at(entry)),
      ["list[1]", "list[3]"],
    );
    assert.equal(whole(value.list), false);
    const tags = value.list[1]?.tags ?? [];
    assert.equal(whole(tags), false);
    assert.equal(atIndex(tags, 1), "list[3].tags[2]");
    assert.equal(whole(value.list[0]?.tags ?? []), true);
  });

  it("has nothing to give for what is no mapping at all", () => {
    assert.equal(salvage(schema, "text"), undefined);
    assert.equal(salvage(schema, []), undefined);
  });
});

describe("environment/explain nearest", () => {
  const known = ["replicas", "host", "user", "vmId"];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ["replica", "replicas"],
    ["REPLICAS", "replicas"],
    ["hosts", "host"],
    ["vmid", "vmId"],
    ["usr", "user"],
    ["completely", undefined],
    ["", undefined],
  ];
  for (const [word, meant] of cases) {
    it(`takes "${word}" for ${meant ?? "nothing known"}`, () => {
      assert.equal(nearest(word, known), meant);
    });
  }
});
