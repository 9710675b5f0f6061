import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { chartUses, refuseGivenCharts } from "../../../../components/services/given-charts";
import type { Environment } from "../../../../environment/schema";
import { misfits } from "../../../../operations/charts/check-values";
import { readChart } from "../../../../operations/charts/read-chart";
import { Refusal } from "../../../../operations/refusal";
import { versions } from "../../../../versions";
import { environment } from "../../../support/environment";
import { skip } from "../../../support/needs";
import { committed } from "../../../support/program";

const charts = {
  longhorn: { ...versions.charts.longhorn, variable: "LONGHORN_CHART", set: 21 },
  metallb: { ...versions.charts.metallb, variable: "METALLB_CHART", set: 7 },
};

/** How many values are set below a map; a list is one. */
function leaves(value: unknown): number {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return 1;
  return Object.values(value).reduce((sum: number, child) => sum + leaves(child), 0);
}

describe("the charts of versions.ts, as they were published (what their templates make of a value is not looked at)", () => {
  for (const [name, { version, variable, set }] of Object.entries(charts)) {
    for (const { name: which } of committed) {
      it(`${name} ${version} knows each of the ${set} values that ${which} sets of it`, function () {
        const path = process.env[variable] ?? "";
        if (path === "") skip(this, `${variable} names no folder or .tgz of ${name}'s chart ${version}`);
        const use = chartUses(environment(which)).find((one) => one.name === name);
        assert.ok(use);
        const chart = readChart({ setting: variable, path, name });
        assert.equal(chart.version, version);
        assert.equal(leaves(use.values), set);
        assert.deepEqual(misfits(use.values, chart.values), []);
      });
    }
  }
});

describe("refuseGivenCharts (made-up charts that know exactly what is set)", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "charts-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A chart that knows what the environment sets, after a change. */
  function chart(
    name: string,
    change: (values: Record<string, Record<string, unknown>>) => void = () => undefined,
  ): string {
    const use = chartUses(environment("home")).find((one) => one.name === name);
    const values = structuredClone(use?.values) as Record<string, Record<string, unknown>>;
    change(values);
    const path = join(folder, name);
    mkdirSync(path);
    writeFileSync(join(path, "Chart.yaml"), stringify({ name, version: "9.9.9" }));
    writeFileSync(join(path, "values.yaml"), stringify(values));
    return path;
  }

  const file = (paths: { readonly longhorn?: string; readonly metallb?: string }): Environment => {
    const home = environment("home");
    return {
      ...home,
      longhorn: { ...home.longhorn, chart: { path: paths.longhorn } },
      loadBalancer: { ...home.loadBalancer, chart: { path: paths.metallb } },
    };
  };

  it("asks nothing of an environment that gives no path", () => refuseGivenCharts(environment("home")));

  it("lets both pass", () => refuseGivenCharts(file({ longhorn: chart("longhorn"), metallb: chart("metallb") })));

  for (const [setting, which, change, line] of [
    [
      "longhorn.chart.path",
      "longhorn",
      (values) => delete values.defaultSettings?.deletingConfirmationFlag,
      "defaultSettings.deletingConfirmationFlag: no such key",
    ],
    [
      "loadBalancer.chart.path",
      "metallb",
      (values) => delete values.speaker?.ignoreExcludeLB,
      "speaker.ignoreExcludeLB: no such key",
    ],
  ] as const satisfies readonly (readonly [
    string,
    "longhorn" | "metallb",
    (values: Record<string, Record<string, unknown>>) => void,
    string,
  ])[]) {
    it(`refuses a chart of ${which} that lost a key, under ${setting}`, () => {
      assert.throws(
        () => refuseGivenCharts(file({ [which]: chart(which, change) })),
        (error: unknown) => {
          assert.ok(error instanceof Refusal);
          assert.ok(error.parts.what.startsWith(`${setting} ${join(folder, which)}: the chart ${which} 9.9.9 `));
          assert.ok(error.parts.what.endsWith(`\n    ${line}`), error.parts.what);
          assert.match(error.parts.next, new RegExp(`version ${charts[which].version.replaceAll(".", "\\.")},`));
          return true;
        },
      );
    });
  }

  it("refuses another chart at the path", () => {
    assert.throws(() => refuseGivenCharts(file({ longhorn: chart("metallb") })), /holds the chart metallb/);
  });
});
