import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readChart, type Chart } from "../../../../operations/charts/read-chart";
import { Refusal } from "../../../../operations/refusal";
import { root } from "../../../support/environment";

describe("readChart (archives by GNU tar; the charts are made up)", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "chart-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const read = (path: string): Chart => readChart({ setting: "longhorn.chart.path", path, name: "longhorn" });
  const refused = (path: string, ...words: readonly RegExp[]): void =>
    assert.throws(
      () => read(path),
      (error: unknown) => {
        assert.ok(error instanceof Refusal);
        for (const word of words) assert.match(error.message, word);
        return true;
      },
    );

  /** A chart folder, as `helm create` lays it out. */
  function chart(files: Readonly<Record<string, string>>): string {
    const path = join(folder, "longhorn");
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    return path;
  }

  function archive(options: readonly string[], ...files: readonly string[]): string {
    const path = join(folder, "longhorn-1.12.2.tgz");
    execFileSync("tar", [...options, "-czf", path, "-C", folder, ...files]);
    return path;
  }

  const chartYaml = "name: longhorn\nversion: 1.12.2\nappVersion: v1.12.2\n";
  const valuesYaml = "first: &shared longhorn-critical\nsecond: *shared\nopen: {}\nnothing: ~\n";
  const whole = {
    name: "longhorn",
    version: "1.12.2",
    appVersion: "v1.12.2",
    values: { first: "longhorn-critical", second: "longhorn-critical", open: {}, nothing: null },
  };

  it("reads a folder: name, version, and the values with their anchors followed", () => {
    assert.deepEqual(read(chart({ "Chart.yaml": chartYaml, "values.yaml": valuesYaml })), whole);
  });

  for (const format of ["ustar", "pax", "gnu", "v7"]) {
    it(`reads an archive of format ${format}: the chart's own files, not those of a chart inside, nor what is only called so`, () => {
      const long = `templates/${"a".repeat(90)}/Chart.yaml`;
      chart({
        "charts/inner/Chart.yaml": "name: inner\nversion: 9.9.9\n",
        "charts/inner/values.yaml": "inner: true\n",
        "a-file-before.txt": "x".repeat(700),
        ...(format !== "v7" && { [long]: "name: long\nversion: 8.8.8\n" }),
        "Chart.yaml": chartYaml,
        "values.yaml": valuesYaml,
      });
      assert.deepEqual(read(archive([`--format=${format}`], "longhorn")), whole);
    });
  }

  it("takes values larger than one read of the file", () => {
    // Hexadecimal digits of hashes: gzip makes them half as long, not a few bytes.
    const noise = Array.from({ length: 20_000 }, (_, at) => createHash("sha256").update(String(at)).digest("hex"));
    const values = { noise: noise.join("") };
    chart({ "Chart.yaml": chartYaml, "values.yaml": `noise: "${values.noise}"\n` });
    assert.deepEqual(read(archive([], "longhorn")).values, values);
  });

  it("a chart without values has none", () => {
    assert.deepEqual(read(chart({ "Chart.yaml": chartYaml })).values, {});
    assert.deepEqual(read(chart({ "values.yaml": "# nothing\n" })).values, {});
  });

  it("takes a relative path from the checkout, wherever the program is started", () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      refused("charts/none", /longhorn\.chart\.path charts\/none/, new RegExp(`${root}/charts/none`), /checkout/);
    } finally {
      process.chdir(before);
    }
  });

  describe("refuses, naming the setting and the path,", () => {
    it("an archive without a chart", () => {
      writeFileSync(join(folder, "note.txt"), "no chart");
      refused(archive([], "note.txt"), /longhorn-1\.12\.2\.tgz: no chart/, /holds no Chart\.yaml/, /pulumi preview/);
    });

    for (const [what, content] of [
      ["nothing in it", ""],
      ["a web page in it", "<html>404 Not Found</html>".repeat(100)],
    ] as const) {
      it(`an archive that is none, with ${what}`, () => {
        const path = join(folder, "longhorn.tgz");
        writeFileSync(path, content);
        refused(path, /longhorn\.tgz: no chart can be read there/, /why: {2}\S/);
      });
    }

    it("an archive that was cut off", () => {
      chart({ "Chart.yaml": chartYaml, "values.yaml": `noise: "${"0".repeat(3000)}"\n` });
      const path = archive([], "longhorn");
      execFileSync("truncate", ["--size=180", path]);
      refused(path, /no chart can be read there/, /why: {2}\S/);
    });

    it("a folder that holds none", () => refused(folder, /holds no Chart\.yaml/, /relative to the checkout/));

    it("a Chart.yaml without a version", () =>
      refused(chart({ "Chart.yaml": "name: longhorn\n" }), /names no name or version/));

    it("values that are a list", () =>
      refused(chart({ "Chart.yaml": chartYaml, "values.yaml": "- a\n" }), /values\.yaml is no mapping/));

    it("another chart", () =>
      refused(
        chart({ "Chart.yaml": "name: rook\nversion: 1.0.0\n" }),
        /longhorn\.chart\.path .*: holds the chart rook/,
        /declared is the chart longhorn/,
        /put the longhorn chart there/,
      ));
  });
});
