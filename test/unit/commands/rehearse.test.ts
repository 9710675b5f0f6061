import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../commands/rehearse";
import { checkout, type Surroundings } from "../../../commands/validate";
import { judges } from "../../../rehearsal/checks";
import type { Report } from "../../../rehearsal/report";
import type { Rehearsal, RehearsalOptions } from "../../../rehearsal/run";
import { root } from "../../support/environment";
import { rehearsalOf } from "../../support/story";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly error: string;
  readonly told: readonly RehearsalOptions[];
}

/** Runs the command on a story that was told already, or on one that a test bends. */
async function run(args: readonly string[], bend: (story: Rehearsal) => Rehearsal = (story) => story): Promise<Run> {
  const out: string[] = [];
  const error: string[] = [];
  const told: RehearsalOptions[] = [];
  const where: Surroundings = {
    ...checkout(),
    out: (line) => void out.push(line),
    error: (line) => void error.push(line),
  };
  const code = await main(args, where, async (options) => {
    told.push(options);
    options.progress("a line of progress");
    const rehearsal = await rehearsalOf("home");
    return bend(options.fail === undefined ? rehearsal : { ...rehearsal, reference: rehearsal.story });
  });
  return { code, out: out.join("\n"), error: error.join("\n"), told };
}

describe("npm run rehearse (does not prove the rehearsal itself: that is told elsewhere)", function () {
  this.timeout(60_000);

  it("exits 0 when every check holds; without an argument it is the home environment", async () => {
    const { code, out, told } = await run([]);
    assert.equal(code, 0);
    assert.equal(told[0]?.environmentName, "home");
    assert.match(out, /Gates, in the order in which they opened/);
  });

  it("exits 1 when a single check does not hold", async () => {
    const { code, out } = await run([], (rehearsal) => ({
      ...rehearsal,
      story: { ...rehearsal.story, refusedDestroy: undefined },
    }));
    assert.equal(code, 1);
    assert.match(out, /NO.*destroy is refused while a volume is not switched/);
  });

  it("--json prints the report and nothing else on standard output, with every check by name", async () => {
    const { code, out, error } = await run(["home", "--json"]);
    const data = JSON.parse(out) as Report;
    assert.deepEqual([code, data.version, data.ok, data.environment], [0, 1, true, "home"]);
    assert.deepEqual(
      data.checks.map((check) => check.name),
      Object.keys(judges),
    );
    assert.equal(error, "a line of progress");
  });

  it("a path is a file of its own, and its stacks are named after it", async () => {
    const { told } = await run([join(root, "Pulumi.lab.yaml")]);
    assert.equal(told[0]?.environmentName, "lab");
    assert.equal(told[0]?.environment.cluster.distribution, "rke2");
  });

  it("hands on no secret of the file", async () => {
    const { told } = await run([]);
    assert.deepEqual(
      [...(told[0]?.config.keys() ?? [])].filter((key) => /token|kubeconfig|private/i.test(key)),
      [],
    );
  });

  it("--html writes the page, beside what it prints, and says where", async () => {
    const folder = mkdtempSync(join(tmpdir(), "rehearse-"));
    try {
      const file = join(folder, "made", "home.html");
      const { code, out, error } = await run(["home", "--html", file]);
      assert.equal(code, 0);
      assert.match(out, /Gates, in the order in which they opened/);
      assert.ok(error.endsWith(`report: ${file}`), error);
      assert.match(readFileSync(file, "utf8"), /^<!doctype html>[^]*<h1>Rehearsal of home<\/h1>[^]*<\/html>\n$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("--fail that fits nothing is a usage error that says where names stand", async () => {
    const { code, error } = await run(["--fail", "no-such-thing"]);
    assert.equal(code, 2);
    assert.match(error, /--fail no-such-thing: nothing has that in its name/);
  });

  it("wrong usage exits 2 and rehearses nothing", async () => {
    for (const args of [["home", "lab"], ["--no-such-flag"], ["--fail", ""]]) {
      const { code, error, told } = await run(args);
      assert.equal(code, 2, args.join(" "));
      assert.match(error, /^usage: npm run rehearse/);
      assert.deepEqual(told, []);
    }
  });

  it("an environment that is refused is not rehearsed", async () => {
    await assert.rejects(run(["nowhere"]), /refused, nothing was touched[^]*there is no such file/);
  });
});
