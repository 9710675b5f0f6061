import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitCode, main } from "../../../commands/diff";
import { checkout, type Surroundings } from "../../../commands/validate";
import type { Report } from "../../../diff/report";
import type { DiffOptions } from "../../../diff/run";
import { SideFailure } from "../../../diff/side";
import { emptyReport } from "../../support/report";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly error: string;
  readonly asked: readonly DiffOptions[];
}

async function run(
  args: readonly string[],
  answer: Report | Error = emptyReport,
  from?: readonly string[],
): Promise<Run> {
  const [out, error, asked]: [string[], string[], DiffOptions[]] = [[], [], []];
  const where: Surroundings = {
    ...checkout(),
    ...(from && { from }),
    out: (line) => void out.push(line),
    error: (line) => void error.push(line),
  };
  const code = await main(args, where, async (options) => {
    asked.push(options);
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return { code, out: out.join("\n"), error: error.join("\n"), asked };
}

const failure: Report["failures"][number] = { side: "base", stack: undefined, message: "is broken" };
const secret: Report["secrets"] = {
  changes: [{ environment: "home", key: "x", change: "changed" }],
  encryptedAnew: [],
};

describe("npm run diff (does not prove the comparison: that is test/unit/diff)", () => {
  it("one ref is compared with the working tree, two with each other", async () => {
    const one = await run(["main"]);
    assert.deepEqual([one.code, one.asked[0]?.base, one.asked[0]?.head], [0, "main", undefined]);
    const two = await run(["main", "topic", "--format", "json"]);
    assert.deepEqual([two.asked[0]?.base, two.asked[0]?.head], ["main", "topic"]);
    assert.deepEqual(JSON.parse(two.out), JSON.parse(JSON.stringify(emptyReport)));
  });

  it("--output: the report in its form in that file, from where the operator stands, and one line to be read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "home-cluster-output-"));
    const file = join("reports", "diff.html");
    const { code, out } = await run(["main", "--format", "html", "--output", file], emptyReport, ["/nowhere", folder]);
    const written = readFileSync(join(folder, file), "utf8");
    const again = await run(["main", "--format", "html"]);
    rmSync(folder, { recursive: true });
    assert.equal(code, 0);
    assert.equal(written, again.out);
    assert.equal(out, "nothing changes; 0 dangers not acknowledged");
  });

  for (const args of [
    [],
    ["a", "b", "c"],
    ["a", "--format", "pdf"],
    ["a", "--output", ""],
    ["a", "--surprise"],
    [""],
  ]) {
    it(`exits 2 with the usage for \`${args.join(" ")}\`, and compares nothing`, async () => {
      const { code, error, asked } = await run(args);
      assert.deepEqual([code, asked], [2, []]);
      assert.match(error, /^usage: npm run diff -- <base>/);
    });
  }

  it("exits 2 with the reason where there is no such ref, and passes on what nobody expected", async () => {
    const { code, error } = await run(["no"], new SideFailure("no: no commit"));
    assert.deepEqual([code, error], [2, "no: no commit"]);
    await assert.rejects(run(["main"], new TypeError("a mistake of ours")), TypeError);
  });

  const changed: Report = { ...emptyReport, secrets: secret };
  const dangerous: Report = { ...changed, summary: { ...emptyReport.summary, unacknowledged: 1 } };
  const cases: readonly (readonly [string, Report, asked: boolean, code: number])[] = [
    ["nothing changes", emptyReport, true, 0],
    ["something changes, not asked for", changed, false, 0],
    ["something changes", changed, true, 1],
    ["a danger is not acknowledged", dangerous, false, 3],
    ["a danger before a change", dangerous, true, 3],
    ["a side that does not evaluate before both", { ...dangerous, failures: [failure] }, true, 2],
  ];
  for (const [title, report, asked, code] of cases)
    it(`${title}: exit ${code}${asked ? " with --exit-code" : ""}`, () => assert.equal(exitCode(report, asked), code));

  it("a side that does not evaluate is said first, with its reason", async () => {
    const { code, out } = await run(["main"], { ...emptyReport, failures: [failure] });
    assert.equal(code, 2);
    assert.match(out, /nothing to compare\n✗ the base does not evaluate:\n {4}is broken/);
  });
});
