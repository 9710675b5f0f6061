import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main, tiers, type Tier } from "../../../commands/test";
import { cannotIsolate, isolated, namespacePrograms } from "../../support/namespace";
import { missingPrograms, needs, onPath, packageOf, skip } from "../../support/needs";
import { root } from "../../support/environment";

describe("npm test (on made-up tiers: mocha runs for real, in processes of its own)", function () {
  this.timeout(60_000);
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tiers-"));
    mkdirSync(join(folder, "test"));
    symlinkSync(join(root, "test", "register.js"), join(folder, "test", "register.js"));
    symlinkSync(join(root, "test", "support"), join(folder, "test", "support"));
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  /** A tier of one test file, silent but for what this command prints itself. */
  function tier(name: string, source: string, more: Partial<Tier> = {}): Tier {
    writeFileSync(join(folder, "test", `${name}.test.js`), source);
    return { name, spec: `test/${name}.test.js`, programs: [], timeout: 5, shows: "dot", ...more };
  }

  async function run(
    known: readonly Tier[],
    ...args: string[]
  ): Promise<{ code: number; out: readonly string[]; error: readonly string[] }> {
    const [out, error]: [string[], string[]] = [[], []];
    const where = {
      folder,
      from: [],
      out: (line: string) => out.push(line),
      error: (line: string) => error.push(line),
    };
    const code = await main(args, where, known, "ignore");
    return { code, out, error };
  }

  const passing = 'describe("p", () => { it("one", () => {}); it("two", () => {}); });';
  const mixed = `
    const { needs, skip } = require("./support/needs");
    describe("m", () => {
      it("passes", () => {});
      it("fails", () => { throw new Error("on purpose\\nand more"); });
      it("fails too", () => { throw new Error("on purpose"); });
      it.skip("is left out", () => {});
      it("needs a thing", function () { needs(this, "rsync-that-nobody-has", "rsync-and-another"); });
      it("needs a user", function () { skip(this, "needs a user other than root"); });
    });
    describe("suite", () => {
      before(function () { skip(this, "the whole suite cannot run"); });
      it("a", () => {});
      describe("inner", () => it("b", () => {}));
    });
    describe("each", () => {
      beforeEach(function () { skip(this, "before each"); });
      it("c", () => {});
    });`;

  it("runs every tier, a line each, and last the sum alone", async () => {
    const { code, out, error } = await run([tier("first", passing), tier("second", passing)]);
    assert.deepEqual(out, [
      "first: 2 passed, 0 failed, 0 skipped",
      "second: 2 passed, 0 failed, 0 skipped",
      "4 passed, 0 failed, 0 skipped",
    ]);
    assert.deepEqual([code, error], [0, []]);
  });

  it("counts what failed, exit 1, and lists it with its error's first line, and what was skipped by its reason", async () => {
    const { code, out } = await run([tier("first", mixed), tier("second", passing)]);
    assert.equal(code, 1);
    assert.deepEqual(out, [
      "first: 1 passed, 2 failed, 6 skipped",
      "  failed: m fails: on purpose",
      "  failed: m fails too: on purpose",
      "  skipped, no reason given: m is left out",
      "  skipped, not on PATH: rsync-that-nobody-has, rsync-and-another: m needs a thing",
      "  skipped, needs a user other than root: m needs a user",
      "  skipped, the whole suite cannot run: suite a and 1 more",
      "  skipped, before each: each c",
      "second: 2 passed, 0 failed, 0 skipped",
      "3 passed, 2 failed, 6 skipped",
    ]);
  });

  it("runs one tier when it is named", async () => {
    const { out } = await run([tier("first", passing), tier("second", mixed)], "first");
    assert.deepEqual(out, ["first: 2 passed, 0 failed, 0 skipped", "2 passed, 0 failed, 0 skipped"]);
  });

  it("shares the files of a tier among its jobs, and runs each file once", async () => {
    const ran = join(folder, "ran");
    mkdirSync(join(folder, "test", "shared", "deep"), { recursive: true });
    for (const name of ["a", "b", "deep/c", "deep/d"]) {
      const note = `require("node:fs").appendFileSync(${JSON.stringify(ran)}, "${name}\\n")`;
      writeFileSync(
        join(folder, "test", "shared", `${name}.test.js`),
        `describe("${name}", () => it("runs", () => ${note}));`,
      );
    }
    writeFileSync(join(folder, "test", "shared", "support.js"), "throw new Error('not a test file')");
    const shared: Tier = { name: "shared", spec: "test/shared/**/*.test.js", programs: [], timeout: 5, shows: "dot" };
    for (const jobs of [1, 2, 9]) {
      writeFileSync(ran, "");
      assert.deepEqual((await run([{ ...shared, jobs }])).out.at(-1), "4 passed, 0 failed, 0 skipped", String(jobs));
      assert.deepEqual(readFileSync(ran, "utf8").trim().split("\n").sort(), ["a", "b", "deep/c", "deep/d"]);
    }
  });

  it("prepares a tier before it runs, tells what that says, and runs none of a tier that cannot be prepared, or fails it", async () => {
    const ready = join(folder, "ready");
    const waits = `it("finds what was prepared", () => require("node:fs").readFileSync(${JSON.stringify(ready)}));`;
    const known = [
      tier("first", waits, {
        prepare: async (say) => {
          say("building");
          writeFileSync(ready, "");
          return undefined;
        },
      }),
      tier("second", mixed, { prepare: async () => "go is too old" }),
      tier("third", passing, { prepare: () => Promise.reject(new Error("main.go:1: no")) }),
      tier("fourth", passing, { programs: ["nobody-has-this"], prepare: () => Promise.reject(new Error("asked")) }),
    ];
    const { code, out, error } = await run(known);
    assert.deepEqual(out, [
      "building",
      "first: 1 passed, 0 failed, 0 skipped",
      "second: skipped, go is too old",
      "third: 0 passed, 1 failed, 0 skipped",
      "fourth: skipped, not on PATH: nobody-has-this",
      "1 passed, 1 failed, 0 skipped",
    ]);
    assert.deepEqual([code, error], [1, ["third: main.go:1: no"]]);
  });

  it("says in one line what a tier lacks, runs none of it, and does not fail for it", async () => {
    const known = [
      tier("first", passing),
      tier("second", mixed, { programs: ["node", "nobody-has-this", "nor-this"] }),
    ];
    const { code, out } = await run(known);
    assert.deepEqual(out, [
      "first: 2 passed, 0 failed, 0 skipped",
      "second: skipped, not on PATH: nobody-has-this, nor-this",
      "2 passed, 0 failed, 0 skipped",
    ]);
    assert.equal(code, 0);
  });

  it("says of a tier that is not built that it is not", async () => {
    const { out } = await run([{ ...tier("later", mixed), spec: undefined, cannot: "not built yet, 0 tests" }]);
    assert.deepEqual(out, ["later: not built yet, 0 tests", "0 passed, 0 failed, 0 skipped"]);
  });

  for (const [title, source] of Object.entries({
    "a file that does not load": 'throw new Error("on purpose: does not load");',
    "a forgotten only": 'describe("o", () => { it.only("one", () => {}); it("two", () => {}); });',
    "a crash": 'describe("c", () => { it("one", () => process.exit(3)); });',
    "a tier without any test": "",
  })) {
    it(`counts ${title} as a failure: a tier never passes in silence`, async () => {
      const { code, out, error } = await run([tier("first", source)]);
      assert.equal(code, 1);
      assert.equal(out.at(-1), "0 passed, 1 failed, 0 skipped");
      assert.match(
        error.join(),
        /^first: mocha ended with \d+ and reported neither a failure nor a whole run: counted as failed$/,
      );
    });
  }

  for (const args of [["nothing"], ["first", "nothing"]]) {
    it(`refuses ${args.join(" ")} with its usage, exit 2`, async () => {
      const { code, error } = await run([tier("first", passing), tier("second", passing)], ...args);
      assert.equal(code, 2);
      assert.deepEqual(error, ["usage: npm test, or some tiers: node commands/run test [first | second …]"]);
    });
  }
});

describe("the tiers of this checkout", () => {
  it("are the offline, the cluster, the engine, the files and the machine tier, and each npm script names one that there is", () => {
    assert.deepEqual(
      tiers.map(({ name }) => name),
      ["offline", "cluster", "engine", "files", "machine"],
    );
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    assert.equal(scripts.test, "node commands/run test");
    for (const [script, command] of Object.entries(scripts).filter(([name]) => /^test:(?!offline)/.test(name))) {
      const [called, names] = [command.slice(0, 22), command.slice(23).split(" ")];
      assert.deepEqual([called, names[0]], ["node commands/run test", script.slice("test:".length)]);
      for (const name of names)
        assert.ok(
          tiers.some((tier) => tier.name === name),
          script,
        );
    }
  });

  it("the offline one needs nothing beside Node, and runs the files that plain mocha runs, as long", () => {
    const { spec, timeout } = JSON.parse(readFileSync(join(root, ".mocharc.json"), "utf8")) as {
      spec: string[];
      timeout: number;
    };
    const offline = tiers.find(({ name }) => name === "offline");
    assert.deepEqual([offline?.programs, [offline?.spec], (offline?.timeout ?? 0) * 1000], [[], spec, timeout]);
  });

  it("the engine's needs the CLI, every plugin that the program uses and a real SSH server", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const plugins = Object.keys(dependencies)
      .flatMap(
        (name) => /^@pulumi\/(?!pulumi$)(.*)$|^@muhlba91\/pulumi-(.*)$/.exec(name)?.slice(1).filter(Boolean) ?? [],
      )
      .map((name) => `pulumi-resource-${name}`);
    assert.deepEqual(
      [...(tiers.find(({ name }) => name === "engine")?.programs ?? [])].sort(),
      ["sshd", "pulumi", "pulumi-language-nodejs", ...plugins].sort(),
    );
  });
});

describe("an isolated tier (needs root: says nothing of a machine where namespaces are refused)", () => {
  const folders: string[] = [];
  before(function () {
    needs(this, ...namespacePrograms);
    const cannot = cannotIsolate();
    if (cannot !== undefined) skip(this, cannot);
  });
  after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

  function scratch(): string {
    const folder = mkdtempSync(join(tmpdir(), "isolated-"));
    folders.push(folder);
    return folder;
  }

  it("has loopback up and no other card, an empty temporary folder of its own, and no process but its own", () => {
    const folder = scratch();
    writeFileSync(join(folder, "outside"), "");
    const look = "ip -o -4 addr show up; echo $TMPDIR; ls -A $TMPDIR; touch $TMPDIR/inside; echo $$";
    const [program = "", ...args] = isolated(["sh", "-c", look], folder);
    const { stdout } = spawnSync(program, args, { encoding: "utf8" });
    const [cards = "", temporary, pid, ...more] = stdout.trim().split("\n");
    assert.deepEqual([cards.split(/\s+/).slice(1, 4), temporary, more], [["lo", "inet", "127.0.0.1/8"], folder, []]);
    assert.ok(Number(pid) < 50, "counted from one");
    assert.deepEqual(readdirSync(folder), ["outside"]);
  });

  it("passes on how the command ended", () => {
    const [program = "", ...args] = isolated(["sh", "-c", "exit 3"], scratch());
    assert.equal(spawnSync(program, args).status, 3);
  });

  it("ends with whoever started it, killed or not: nothing of it goes on", async () => {
    const pipe = join(scratch(), "alive");
    spawnSync("mkfifo", [pipe]);
    // Everyone below holds the pipe open; a reader sees its end only once all of them are gone.
    const command = isolated(["sh", "-c", "setsid sleep 600 & echo up >&3; wait"], scratch());
    const starter = `require("node:child_process").spawnSync(${JSON.stringify(command[0])}, ${JSON.stringify(command.slice(1))}, { stdio: [0, 1, 2, 3] })`;
    const reader = spawn("cat", [pipe]);
    const child = spawn("sh", ["-c", 'exec 3>"$1"; exec "$2" -e "$3"', "sh", pipe, process.execPath, starter]);
    let read = "";
    for await (const chunk of reader.stdout) {
      read += String(chunk);
      child.kill("SIGKILL");
    }
    assert.equal(read, "up\n");
  });
});

describe("what tests need", () => {
  it("is found on PATH only when it can be executed", () => {
    const folder = mkdtempSync(join(tmpdir(), "path-"));
    try {
      for (const name of ["there", "not-executable"]) writeFileSync(join(folder, name), "#!/bin/sh\n", { mode: 0o644 });
      chmodSync(join(folder, "there"), 0o755);
      const path = `:/nowhere:${folder}`;
      assert.equal(onPath("there", path), join(folder, "there"));
      assert.equal(onPath("not-executable", path), undefined);
      assert.equal(missingPrograms(["there"], path), undefined);
      assert.equal(
        missingPrograms(["there", "not-executable", "rsync"], path),
        "not on PATH: not-executable, rsync (Debian package rsync)",
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("is on test/packages.txt, so that the gate installs it and no test skips for want of it there", () => {
    const listed = readFileSync(join(root, "test", "packages.txt"), "utf8")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    assert.deepEqual(listed, [...new Set(listed)].sort());
    assert.deepEqual([...new Set(Object.values(packageOf))].sort(), listed);
  });
});
