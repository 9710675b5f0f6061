import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkValues, misfits } from "../../../../operations/charts/check-values";
import { Refusal } from "../../../../operations/refusal";

/** What a chart knows, in every shape that values.yaml files have. */
const known = {
  flag: false,
  count: 3,
  text: "ClusterIP",
  unsaid: "",
  nothing: null,
  list: [],
  open: {},
  settings: { reserve: null, policy: "block", inner: { enabled: true } },
};

describe("misfits (what values.yaml says; what the templates make of a key is not looked at)", () => {
  const fits: Record<string, Record<string, unknown>> = {
    "nothing set": {},
    "the same kinds": {
      flag: true,
      count: 2,
      text: "NodePort",
      list: [{ any: "entry" }],
      settings: { policy: "allow" },
    },
    "any key below an empty map": { open: { "home-cluster/node": "debian", deeper: { still: true } } },
    "anything where the chart says nothing": { nothing: { deep: [1] }, settings: { reserve: 30 } },
    "a number where the text is empty, as in nodePort": { unsaid: 30_080 },
    "null, with which Helm takes the chart's own value away": { flag: null, settings: null },
    "undefined, which is not sent": { settings: { inner: { enabled: undefined } } },
  };
  for (const [title, values] of Object.entries(fits))
    it(`takes ${title}`, () => assert.deepEqual(misfits(values, known), []));

  const wrong: Record<string, readonly [Record<string, unknown>, readonly string[]]> = {
    "a key at the top": [{ elsewhere: 1 }, ["elsewhere: no such key"]],
    "a typo, with the key that is meant": [
      { settings: { polcy: "allow" } },
      ["settings.polcy: no such key (there is policy)"],
    ],
    "each of several, however deep": [
      { settings: { inner: { on: true }, gone: 1 }, flagg: true },
      ["settings.inner.on: no such key", "settings.gone: no such key", "flagg: no such key (there is flag)"],
    ],
    "a key that is not the program's though its name is an object's own": [
      { toString: "x", settings: { constructor: 1 } },
      ["toString: no such key", "settings.constructor: no such key"],
    ],
    "a text for a flag, which templates take for true": [
      { flag: "false" },
      ["flag: is a text, and true or false there"],
    ],
    "a flag for a text": [{ unsaid: true }, ["unsaid: is true or false, and a text there"]],
    "a number for a text that is said": [{ text: 3 }, ["text: is a number, and a text there"]],
    "a text for an open map": [{ open: "debian" }, ["open: is a text, and a map there"]],
    "a list for a map": [{ settings: [] }, ["settings: is a list, and a map there"]],
    "a map for a list": [{ list: {} }, ["list: is a map, and a list there"]],
  };
  for (const [title, [values, lines]] of Object.entries(wrong)) {
    it(`names ${title}`, () => assert.deepEqual(misfits(values, known), lines));
  }
});

describe("checkValues (a made-up chart)", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "chart-"));
    writeFileSync(join(folder, "Chart.yaml"), "name: longhorn\nversion: 1.7.2\n");
    writeFileSync(join(folder, "values.yaml"), "defaultSettings:\n  backupTarget: ~\n");
  });
  after(() => rmSync(folder, { recursive: true }));

  const use = (values: Record<string, unknown>): Parameters<typeof checkValues>[0] => ({
    setting: "longhorn.chart.path",
    path: folder,
    name: "longhorn",
    version: "1.12.1",
    values,
  });

  it("gives back the chart that takes them", () => {
    assert.equal(checkValues(use({ defaultSettings: { backupTarget: "nfs://nas:/backup" } })).version, "1.7.2");
  });

  it("refuses with every key, the chart's version, and the version to give instead", () => {
    assert.throws(
      () => checkValues(use({ defaultBackupStore: { backupTarget: "" }, defaultSettings: { nodeDrainPolicy: "x" } })),
      (error: unknown) => {
        assert.ok(error instanceof Refusal);
        assert.deepEqual(error.parts, {
          what: `longhorn.chart.path ${folder}: the chart longhorn 1.7.2 does not take 2 values that would be set of it:\n    defaultBackupStore: no such key\n    defaultSettings.nodeDrainPolicy: no such key`,
          why: "Helm ignores what a chart does not know, so these settings would silently be lost",
          next: "give the chart of version 1.12.1, which the program was written for, and run `pulumi preview`",
        });
        return true;
      },
    );
  });
});
