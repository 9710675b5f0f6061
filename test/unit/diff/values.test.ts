import assert from "node:assert/strict";
import { secret } from "../../../rehearsal/record";
import { unknown } from "../../../diff/plan/unknown";
import { differences, formatPath, isWithin, parsePath, unknownPaths, valueAt, withValueAt } from "../../../diff/values";

describe("diff: values and their paths", () => {
  it("names the deepest place at which two values differ, and both sides of it", () => {
    const before = { a: 1, list: [{ x: 1 }, { x: 2 }], gone: "yes", same: { deep: [1] } };
    const after = { a: 1, list: [{ x: 1 }, { x: 3 }, { x: 4 }], come: null, same: { deep: [1] } };
    assert.deepEqual(
      differences(before, after).map(({ path, ...sides }) => [formatPath(path), sides]),
      [
        ["list[1].x", { before: 2, after: 3 }],
        ["list[2]", { before: undefined, after: { x: 4 } }],
        ["gone", { before: "yes", after: undefined }],
        ["come", { before: undefined, after: null }],
      ],
    );
  });

  it("a mark of secrecy is no difference, and what is inside of a secret keeps the mark", () => {
    assert.deepEqual(differences({ a: secret("x") }, { a: "x" }), []);
    const [found] = differences({ a: secret({ b: "x", c: "y" }) }, { a: secret({ b: "z", c: "y" }) });
    assert.deepEqual(found, { path: ["a", "b"], before: secret("x"), after: secret("z") });
  });

  it("paths are written as Pulumi writes them, and read again", () => {
    const paths = [["spec", "ports", 0, "nodePort"], ["metadata", "labels", 'app.kubernetes.io/"name"'], ["a-b"]];
    assert.deepEqual(
      paths.map((path) => formatPath(path)),
      ["spec.ports[0].nodePort", 'metadata.labels["app.kubernetes.io/\\"name\\""]', "a-b"],
    );
    for (const path of paths) assert.deepEqual(parsePath(formatPath(path)), path);
    assert.ok(isWithin(["disks", 1, "fileId"], parsePath("disks[*].fileId")));
    assert.ok(!isWithin(["disks"], parsePath("disks[*].fileId")));
  });

  it("a value can be put in or taken out at a path, lists and secrets on the way, and nothing is made where the way is missing", () => {
    const value = { a: { list: [{ x: 1 }, { x: 2 }] }, s: secret({ k: 1 }) };
    assert.deepEqual(withValueAt(value, ["a", "list", 1, "x"], 9), { ...value, a: { list: [{ x: 1 }, { x: 9 }] } });
    assert.deepEqual(withValueAt(value, parsePath("a.list[*].x"), undefined), { ...value, a: { list: [{}, {}] } });
    assert.deepEqual(withValueAt(value, ["s", "k"], 2), { ...value, s: secret({ k: 2 }) });
    assert.deepEqual(withValueAt(value, ["nowhere", "k"], 2), value);
    assert.equal(valueAt(value, ["s", "k"]), 1);
  });

  it("finds what is not known yet, at any depth", () => {
    assert.deepEqual(unknownPaths({ a: unknown, b: [{ c: secret(unknown) }], d: "known" }).map(formatPath), [
      "a",
      "b[0].c",
    ]);
  });
});
