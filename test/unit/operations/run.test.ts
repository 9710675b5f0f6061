import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../../support/environment";

const entry = join(root, "operations", "run");
const secret = "eyJhbGciOiJFUzI1NiJ9.this-must-not-show";
const request = JSON.stringify({ version: 1, access: {}, input: { node: "debian-1" } });

/** Runs the real entry as @pulumi/command does: a shell word, standard input, and an environment that has nothing but Node on PATH. */
function run(
  verb: string,
  stdin: string,
  options: { readonly env?: Record<string, string>; readonly cwd?: string; readonly command?: string } = {},
): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(options.command ?? entry, verb === "" ? [] : [verb], {
    input: stdin,
    encoding: "utf8",
    cwd: options.cwd ?? root,
    env: { PATH: dirname(process.execPath), ...options.env },
  });
  return { code: status, stdout, stderr };
}

describe("operations/run as a process (on keep, the one verb that touches no system; what is printed: main.test.ts)", function () {
  this.timeout(60_000);

  it("repeats on standard output what the last run printed, longer than a pipe holds, exit 0", () => {
    const previous = JSON.stringify({ text: "x".repeat(100_000) });
    assert.deepEqual(run("keep", request, { env: { PULUMI_COMMAND_STDOUT: previous } }), {
      code: 0,
      stdout: `${previous}\n`,
      stderr: "",
    });
  });

  it("runs from a folder that has nothing to do with the checkout", () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
    try {
      assert.deepEqual(run("keep", request, { cwd: elsewhere }), { code: 0, stdout: "{}\n", stderr: "" });
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  it("runs by the relative path that stands in the state", () => {
    assert.deepEqual(run("keep", request, { command: "operations/run" }), { code: 0, stdout: "{}\n", stderr: "" });
  });

  it("refuses an unknown verb on standard error with the verbs there are, exit 1, and no stack trace", () => {
    const { code, stdout, stderr } = run("jion", request);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(
      stderr,
      /^operations\/run jion: no such operation\n {2}why: {2}this checkout knows keep.*\n {2}next: .*\n$/,
    );
  });

  it("refuses no verb at all, exit 1", () => {
    const { code, stderr } = run("", request);
    assert.equal(code, 1);
    assert.match(stderr, /^operations\/run : no such operation\n/);
  });

  it("quotes nothing of a standard input that it cannot read, exit 1", () => {
    const { code, stdout, stderr } = run("keep", `{"access":{"proxmox":{"token":"${secret}`);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^operations\/run keep: standard input is not JSON\n/);
    assert.doesNotMatch(stderr, /eyJ|must-not-show/);
  });
});
