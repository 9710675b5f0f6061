import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { root } from "../support/environment";
import { needs, skip } from "../support/needs";

/** What the stand-in for npm prints and answers to a command; what is not named succeeds in silence. */
type Npm = Readonly<Record<string, { readonly prints?: string; readonly exits?: number }>>;

const sum = "7 passed, 0 failed, 1 skipped";
const good: Npm = {
  test: {
    prints: `offline: ${sum}\n  skipped, needs a user other than root: a test\nengine: skipped, not on PATH: pulumi\n${sum}`,
  },
};

describe(".ci/run (npm, apt-get and dpkg-query are stand-ins: does not prove that the real steps pass)", function () {
  this.timeout(60_000);
  let folder: string;

  before(function () {
    needs(this, "git", "timeout");
  });

  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ci-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const inFolder = (...path: string[]): string => join(folder, ...path);

  /** A committed checkout with the script, a list of packages and a README, and stand-ins for everything that it calls. */
  function gate(
    npm: Npm,
    options: { readonly readme?: string; readonly installed?: readonly string[]; readonly prepare?: () => void } = {},
  ): { code: number | null; out: string; lines: readonly string[]; calls: readonly string[] } {
    const { readme = "npm ci && npm run rehearse\nnpm ci && npm test\n", installed = ["rsync", "openssl"] } = options;
    for (const path of ["checkout/.ci", "checkout/test", "bin"]) mkdirSync(inFolder(path), { recursive: true });
    copyFileSync(join(root, ".ci", "run"), inFolder("checkout/.ci/run"));
    writeFileSync(inFolder("checkout/test/packages.txt"), "# comment\nopenssl\nrsync\n");
    writeFileSync(inFolder("checkout/README.md"), readme);
    const script = (name: string, body: string): void =>
      writeFileSync(inFolder("bin", name), `#!/bin/bash\necho "${name} $*" >>'${inFolder("calls")}'\n${body}\n`, {
        mode: 0o755,
      });
    const answers = Object.entries(npm).map(
      ([command, { prints = "", exits = 0 }]) => `"${command}") printf '%s\\n' '${prints}'; exit ${exits};;`,
    );
    script(
      "npm",
      `pwd >>'${inFolder("folders")}'; ls -A >>'${inFolder("listing")}'; cat; case "$*" in ${answers.join("\n")} esac`,
    );
    script("apt-get", 'if [[ "$1" == install ]]; then echo "apt installs"; fi');
    script(
      "dpkg-query",
      `case "\${@: -1}" in ${installed.map((name) => `${name}) echo -n installed;;`).join(" ")} esac`,
    );
    const git = (...args: string[]): void => {
      const author = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"];
      const { status, stderr } = spawnSync("git", [...author, ...args], {
        cwd: inFolder("checkout"),
        encoding: "utf8",
      });
      assert.equal(status, 0, stderr);
    };
    git("init", "-q");
    git("add", "-A");
    git("commit", "-q", "-m", "all");
    options.prepare?.();
    const { status, stdout } = spawnSync(inFolder("checkout/.ci/run"), {
      encoding: "utf8",
      cwd: tmpdir(),
      // Whatever stands on standard input must not reach a step.
      input: "standard input\n",
      env: { ...process.env, PATH: `${inFolder("bin")}${delimiter}${process.env.PATH}`, TMPDIR: folder },
    });
    const lines = stdout.split("\n").slice(0, -1);
    return {
      code: status,
      out: stdout,
      lines,
      calls: readFileSync(inFolder("calls"), "utf8").split("\n").slice(0, -1),
    };
  }

  const npmCalls = (calls: readonly string[]): string[] => calls.filter((call) => call.startsWith("npm "));

  it("runs the check here, then the README's two commands in a clean clone, and ends with the sum alone", () => {
    const { code, lines, calls, out } = gate(good, {
      prepare: () => writeFileSync(inFolder("checkout/uncommitted"), "never in the clone"),
    });
    assert.equal(code, 0, out);
    assert.equal(lines.at(-1), sum);
    assert.deepEqual(npmCalls(calls), ["npm ci", "npm run check", "npm ci", "npm run rehearse", "npm ci", "npm test"]);
    const folders = readFileSync(inFolder("folders"), "utf8").split("\n").slice(0, -1);
    assert.deepEqual(folders.slice(0, 2), [inFolder("checkout"), inFolder("checkout")]);
    for (const clone of folders.slice(2)) assert.match(clone, /\/checkout$/);
    assert.ok(!folders.slice(2).includes(inFolder("checkout")));
    const seen = readFileSync(inFolder("listing"), "utf8").split("uncommitted").length - 1;
    assert.equal(seen, 2, "the uncommitted file is seen by the two steps here and by none in the clone");
    assert.doesNotMatch(out, /standard input/);
  });

  it("prints a heading per step, and above the sum why something was skipped", () => {
    const { lines } = gate(good);
    assert.deepEqual(
      lines.filter((line) => line.startsWith("=== ")),
      [
        "=== packages of test/packages.txt",
        "=== npm ci",
        "=== npm run check",
        "=== a clean clone, with the two commands of the README",
        "=== npm ci && npm run rehearse",
        "=== npm ci && npm test",
        "=== result",
      ],
    );
    assert.deepEqual(lines.slice(lines.indexOf("=== result")), [
      "=== result",
      "  skipped, needs a user other than root: a test",
      "engine: skipped, not on PATH: pulumi",
      sum,
    ]);
  });

  const failing: Record<
    string,
    { readonly npm: Npm; readonly readme?: string; readonly last: string; readonly says: RegExp }
  > = {
    "a check that fails, whose output stays": {
      npm: { ...good, "run check": { prints: "lint found it", exits: 1 } },
      last: "7 passed, 1 failed, 1 skipped",
      says: /^lint found it\n=== FAILED: npm run check$[^]*^failed: npm run check$/m,
    },
    "a rehearsal that fails": {
      npm: { ...good, "run rehearse": { exits: 1 } },
      last: "7 passed, 1 failed, 1 skipped",
      says: /^failed: npm ci && npm run rehearse$/m,
    },
    "tests that fail, named in the end and counted once": {
      npm: {
        test: { prints: "  failed: one: why\nlater: tier\n  failed: two: so\n7 passed, 2 failed, 0 skipped", exits: 1 },
      },
      last: "7 passed, 2 failed, 0 skipped",
      says: /^=== result\n {2}failed: one: why\n {2}failed: two: so\nfailed: npm ci && npm test$/m,
    },
    "tests that end without a sum": {
      npm: { test: { prints: "offline: 1 passed, 0 failed, 0 skipped" } },
      last: "0 passed, 1 failed, 0 skipped",
      says: /^failed: npm test printed no sum$/m,
    },
    "a test that is skipped for want of a package on the list": {
      npm: { test: { prints: `  skipped, not on PATH: rsync (Debian package rsync): a test\n${sum}` } },
      last: "7 passed, 1 failed, 1 skipped",
      says: /^failed: something was skipped for want of rsync, which is on test\/packages\.txt$/m,
    },
    "a tier that is skipped for want of a package on the list": {
      npm: { test: { prints: `cluster: skipped, not on PATH: openssl (Debian package openssl)\n${sum}` } },
      last: "7 passed, 1 failed, 1 skipped",
      says: /^failed: something was skipped for want of openssl/m,
    },
    "a test that is skipped without a reason": {
      npm: { test: { prints: `  skipped, no reason given: a test\n${sum}` } },
      last: "7 passed, 1 failed, 1 skipped",
      says: /^failed: something was skipped without a reason$/m,
    },
    "a README that says other commands": {
      npm: good,
      readme: "npm ci && npm test\n",
      last: "7 passed, 1 failed, 1 skipped",
      says: /^failed: README\.md does not say: npm ci && npm run rehearse$/m,
    },
  };
  for (const [title, { npm, readme, last, says }] of Object.entries(failing)) {
    it(`fails for ${title}`, () => {
      const { code, lines, out } = gate(npm, readme === undefined ? {} : { readme });
      assert.equal(code, 1);
      assert.equal(lines.at(-1), last);
      assert.match(out, says);
    });
  }

  it("goes on after a failed check, so that one run shows everything that fails", () => {
    const { calls, lines } = gate({ ...good, "run check": { exits: 1 }, "run rehearse": { exits: 1 } });
    assert.equal(npmCalls(calls).length, 6);
    assert.equal(lines.at(-1), "7 passed, 2 failed, 1 skipped");
  });

  it("ends at once, with npm's own words, when the lock file cannot be installed", () => {
    const { code, out, lines, calls } = gate({ ci: { prints: "npm error 404", exits: 1 } });
    assert.deepEqual([code, npmCalls(calls), lines.at(-1)], [1, ["npm ci"], "0 passed, 1 failed, 0 skipped"]);
    assert.match(out, /^npm error 404$/m);
  });

  it("installs with apt exactly the packages of the list that are not there", function () {
    if (process.getuid?.() !== 0) skip(this, "needs root");
    const apt = (installed: readonly string[]): string[] =>
      gate(good, { installed }).calls.filter((call) => call.startsWith("apt-get "));
    assert.deepEqual(apt(["openssl"]), ["apt-get update -qq", "apt-get install -y -qq --no-install-recommends rsync"]);
    rmSync(folder, { recursive: true });
    assert.deepEqual(apt(["openssl", "rsync"]), []);
  });

  it("is what shellcheck has nothing to say about", function () {
    needs(this, "shellcheck");
    const { status, stdout } = spawnSync("shellcheck", [join(root, ".ci", "run")], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });
});
