import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { imagePrograms } from "../../../support/image-programs";
import { missingPrograms, onPath, packageOf, skip } from "../../../support/needs";

const scripts = path.resolve(__dirname, "../../../../components/volumes/scripts");
const copyScript = path.join(scripts, "copy.sh");
const verifyScript = path.join(scripts, "verify.py");
const reserved = ".home-cluster-migration";
const root = process.getuid?.() === 0;

/** Skips, with the reason, unless the thing is there. */
function needs(test: Mocha.Context, there: boolean, what: string): void {
  if (!there) skip(test, what in packageOf ? (missingPrograms([what]) ?? what) : `needs ${what}`);
}

const rsync = onPath("rsync");
/** Python itself: what stands on PATH may be a wrapper that takes longer to start than a test to run. */
const python =
  spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout?.trim() || undefined;
const busybox = onPath("busybox");

let base = "";
/** Folder of nothing but the programs of the Job's image. */
let applets = "";
let count = 0;

interface Shell {
  readonly name: string;
  readonly there: boolean;
  command(): readonly string[];
  path(): string;
  /** False where the shell has its own sync and find and never looks at PATH for them (Debian's busybox, not Alpine's). */
  asksPath(): boolean;
}

const shells: readonly Shell[] = [
  {
    name: "the machine's sh",
    there: true,
    command: () => ["/bin/sh"],
    path: () => process.env.PATH ?? "",
    asksPath: () => true,
  },
  {
    name: "busybox sh with busybox's programs alone",
    there: busybox !== undefined,
    command: () => [path.join(applets, "sh")],
    path: () => applets,
    asksPath: () => {
      const stub = path.join(base, "stub");
      fs.mkdirSync(stub, { recursive: true });
      fs.writeFileSync(path.join(stub, "sync"), "#!/bin/sh\nexit 77\n", { mode: 0o755 });
      return spawnSync(path.join(applets, "sh"), ["-c", "sync"], { env: { PATH: stub } }).status === 77;
    },
  },
];

/**
 * Takes the place of rsync: notes its arguments and the names it is given, and exits as told, copying nothing. FILES, FOLDERS, TIMES: what a call for files, for
 * folders and what is in them, and for folders' times ends with.
 */
const standIn = `#!/bin/sh
printf '%s\\0' "$@" '|end|' >>"$WORLD/arguments"
for argument; do case $argument in --files-from=*) names=\${argument#*=} ;; esac; done
cat "$names" >>"$WORLD/names"
printf '|end|\\0' >>"$WORLD/names"
case " $* " in
*" --delete "*)
  echo folders >>"$WORLD/order"
  if [ -n "\${HANG:-}" ]; then read -r _ <"$WORLD/never"; fi
  case " $* " in *" --out-format=%i "*) printf '%s\n' "\${FOUND:-*deleting}" ;; esac
  grep -q gone "$names" && exit 24
  grep -q bad "$names" && exit 23
  exit "\${FOLDERS:-0}" ;;
*" -O "*) exit "\${FILES:-0}" ;;
esac
echo times >>"$WORLD/order"
exit "\${TIMES:-0}"
`;

/** Takes the place of sync, which on a busy disk takes seconds, and notes what the marker said at that moment. */
const standInSync = `#!/bin/sh
sed 's/.*"state":"\\([a-z]*\\)".*/sync while \\1/' "$TARGET/${reserved}/marker" >>"$WORLD/order"
[ -z "\${SYNC_FAILS:-}" ] || [ "$(grep -c sync "$WORLD/order")" -lt "$SYNC_FAILS" ]
`;

interface Run {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

class World {
  readonly folder: string;
  readonly source: string;
  readonly target: string;

  constructor(
    readonly shell: Shell,
    programs: Readonly<Record<string, string>> = { rsync: standIn, sync: standInSync },
  ) {
    this.folder = path.join(base, String(count++));
    this.source = path.join(this.folder, "old");
    this.target = path.join(this.folder, "new");
    for (const name of ["old", "new/lost+found", "bin", "tmp"]) {
      fs.mkdirSync(path.join(this.folder, name), { recursive: true });
    }
    for (const [name, text] of Object.entries(programs)) {
      fs.writeFileSync(path.join(this.folder, "bin", name), text, { mode: 0o755 });
    }
    for (const name of ["a", "b"]) fs.writeFileSync(path.join(this.source, name), name);
  }

  environment(settings: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      PATH: `${path.join(this.folder, "bin")}:${this.shell.path()}`,
      WORLD: this.folder,
      TMPDIR: path.join(this.folder, "tmp"),
      SOURCE: this.source,
      TARGET: this.target,
      SOURCE_UID: "uid-source",
      TARGET_UID: "uid-target",
      VOLUME: "games/valheim",
      JOB: "volume-migration-valheim",
      PHASE: "warm",
      ...settings,
    };
  }

  copy(settings: Readonly<Record<string, string>> = {}): Run {
    const [command = "", ...rest] = this.shell.command();
    const run = spawnSync(command, [...rest, copyScript], { env: this.environment(settings) });
    return { status: run.status, out: run.stdout.toString(), err: run.stderr.toString() };
  }

  read(name: string): string {
    const file = path.join(this.folder, name);
    return fs.existsSync(file) ? fs.readFileSync(file, "latin1") : "";
  }

  /** The stand-in's calls, each with its arguments, as bytes in latin1. */
  calls(): readonly (readonly string[])[] {
    return this.read("arguments")
      .split("\0|end|\0")
      .slice(0, -1)
      .map((call) => call.split("\0"));
  }

  get marker(): string {
    return path.join(this.target, reserved, "marker");
  }

  writeMarker(fields: Readonly<Record<string, unknown>> = {}): void {
    const record = {
      version: 1,
      state: "finished",
      volume: "games/valheim",
      sourceUid: "uid-source",
      phase: "warm",
      fence: "",
      job: "volume-migration-earlier",
      newest: 1_760_000_000,
      listed: 1_760_000_001,
      finishedAt: "2026-01-02T03:04:05Z",
      ...fields,
    };
    fs.mkdirSync(path.dirname(this.marker), { recursive: true, mode: 0o700 });
    fs.writeFileSync(this.marker, `${JSON.stringify(record).padEnd(511)}\n`, { mode: 0o600 });
  }

  held(): Readonly<Record<string, unknown>> {
    return JSON.parse(fs.readFileSync(this.marker, "utf8")) as Record<string, unknown>;
  }

  state(): unknown {
    return this.held().state;
  }

  /** The names that each call of the stand-in was given, as bytes in latin1. */
  names(): readonly (readonly string[])[] {
    return this.read("names")
      .split("|end|\0")
      .slice(0, -1)
      .map((names) => names.split("\0").slice(0, -1));
  }
}

/** All that shows a write: change times included, which no program can set back. Names as bytes: some are not UTF-8. */
function snapshot(folder: string): readonly string[] {
  const lines: string[] = [];
  const visit = (file: Buffer): void => {
    const stat = fs.lstatSync(file, { bigint: true });
    const facts = [stat.ino, stat.mode, stat.size, stat.nlink, stat.mtimeNs, stat.ctimeNs];
    lines.push(`${file.toString("latin1")} ${facts.join(" ")}`);
    if (!stat.isDirectory()) return;
    for (const name of fs.readdirSync(file, { encoding: "buffer" }))
      visit(Buffer.concat([file, Buffer.from("/"), name]));
  };
  visit(Buffer.from(folder));
  return lines.sort();
}

/** The change time cannot be set: a second after that of `file` has to come, by the file system's clock, which is some milliseconds late. */
async function nextSecond(file: string): Promise<void> {
  const next = Math.floor(fs.statSync(file).ctimeMs / 1000) + 1;
  while (Date.now() / 1000 < next + 0.05) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** As long after that of `file` as any listing of a few files takes, and one second more. */
async function longSince(file: string): Promise<void> {
  await nextSecond(file);
  await new Promise((resolve) => setTimeout(resolve, 4000));
}

/** Runs the copy and asserts that neither tree changed and rsync was not called. */
function untouched(world: World, settings: Readonly<Record<string, string>> = {}): Run {
  const before = [snapshot(world.target), snapshot(world.source)];
  const run = world.copy(settings);
  assert.deepEqual([snapshot(world.target), snapshot(world.source)], before, run.err);
  assert.equal(world.read("arguments"), "", "rsync was called");
  assert.deepEqual(fs.readdirSync(path.join(world.folder, "tmp")), [], "something was left in the temporary folder");
  return run;
}

function refused(run: Run, status: number, ...texts: readonly (string | RegExp)[]): void {
  assert.equal(run.status, status, run.out + run.err);
  assert.equal(run.out, "");
  const lines = run.err.trimEnd().split("\n");
  assert.equal(lines.length, 3, run.err);
  assert.match(lines[0] ?? "", /^Volume \S+: ./);
  assert.match(lines[1] ?? "", /^Why: ./);
  assert.match(lines[2] ?? "", /^Next: .*(kubectl|mv) /);
  for (const text of texts) assert.match(run.err, typeof text === "string" ? new RegExp(text) : text);
}

before(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), "copy-test-"));
  applets = path.join(base, "busybox");
  imagePrograms(applets);
});
after(() => fs.rmSync(base, { recursive: true, force: true }));

for (const shell of shells) {
  describe(`copy.sh under ${shell.name}: the marker (rsync and sync are stand-ins: nothing here shows that files are copied)`, () => {
    beforeEach(function () {
      needs(this, shell.there, "busybox");
    });

    it("a finished copy leaves one line of JSON, for its owner alone", () => {
      const world = new World(shell);
      const run = world.copy();
      assert.equal(run.status, 0, run.err);
      const text = fs.readFileSync(world.marker, "utf8");
      assert.equal(text.indexOf("\n"), text.length - 1);
      const { finishedAt, newest, listed, ...rest } = JSON.parse(text) as Record<string, unknown>;
      assert.match(String(finishedAt), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      const times = [world.source, ...["a", "b"].map((name) => path.join(world.source, name))].map(
        (file) => fs.statSync(file).ctimeMs,
      );
      // Earlier by what the listing took, and a second for the rounding.
      const highest = Math.floor(Math.max(...times) / 1000);
      assert.ok(Number(newest) < highest && Number(newest) >= highest - 30, `newest ${String(newest)} of ${highest}`);
      assert.ok(Number(listed) >= Number(newest) && Number(listed) <= Date.now() / 1000, `listed ${String(listed)}`);
      assert.equal(fs.statSync(path.dirname(world.marker)).mode & 0o7777, 0o700);
      assert.deepEqual(rest, {
        version: 1,
        state: "finished",
        volume: "games/valheim",
        sourceUid: "uid-source",
        phase: "warm",
        fence: "",
        job: "volume-migration-valheim",
      });
      assert.equal(fs.statSync(world.marker).mode & 0o7777, 0o600);
      assert.deepEqual(fs.readdirSync(path.join(world.folder, "tmp")), []);
    });

    it("the marker is on disk before the first file, the files before the marker says finished", function () {
      needs(this, shell.asksPath(), "a shell that takes sync from PATH");
      const world = new World(shell);
      assert.equal(world.copy().status, 0);
      assert.equal(
        world.read("order"),
        "sync while copying\nfolders\ntimes\nsync while copying\nsync while finished\n",
      );
    });

    /** Flags of the call, without the file of names, in order. */
    const flags = (call: readonly string[]): string =>
      call.map((argument) => argument.replace(/^--files-from=.*/, "--files-from")).join(" ");
    const always = `-ptgolDS --numeric-ids -@-1 --force --exclude=/lost+found --exclude=/${reserved} --from0 --files-from`;

    it("phase warm: rsync is given the flags that were decided and no others, files with several names first, folders' times last", () => {
      const world = new World(shell);
      fs.linkSync(path.join(world.source, "a"), path.join(world.source, "c"));
      const large = fs.openSync(path.join(world.source, "large"), "w");
      fs.writeSync(large, Buffer.alloc(33 << 20, "x"));
      fs.closeSync(large);
      assert.equal(world.copy().status, 0);
      const ends = `${world.source}/ ${world.target}/`;
      const warm = `${always} --ignore-missing-args`;
      assert.deepEqual(world.calls().map(flags), [
        `${warm} -O -HAX -X ${ends}`,
        `${warm} -O -HAX -X ${ends}`,
        `${warm} -O -HAX -X --delete ${ends}`,
        `${warm} ${ends}`,
      ]);
      assert.deepEqual(
        world.names().map((names) => [...names].sort()),
        [["./a", "./c"], ["./large"], ["./"], ["."]],
      );
    });

    /** A world with a finished warm copy whose newest change time lies between those of a and of everything made later. */
    const warmed = async (programs?: Readonly<Record<string, string>>): Promise<World> => {
      const world = new World(shell, programs);
      const newest = Math.floor(fs.statSync(path.join(world.source, "a")).ctimeMs / 1000) + 1;
      world.writeMarker({ newest });
      fs.writeFileSync(path.join(world.target, reserved, "folders"), `${fs.statSync(world.source).ino} .\n`);
      fs.writeFileSync(path.join(world.target, "a"), "a");
      await nextSecond(path.join(world.source, "a"));
      return world;
    };

    it("phase final: what changed by its change time is copied again whatever its size and time, the rest is only looked at, nothing may be missing", async () => {
      const world = await warmed();
      fs.writeFileSync(path.join(world.source, "b"), "B");
      fs.mkdirSync(path.join(world.source, "folder"));
      fs.writeFileSync(path.join(world.source, "one"), "");
      fs.linkSync(path.join(world.source, "one"), path.join(world.source, "two"));
      const run = world.copy({ PHASE: "final", FENCE: "f1", WORKERS: "1" });
      assert.equal(run.status, 0, run.err);
      const ends = `${world.source}/ ${world.target}/`;
      assert.deepEqual(world.calls().map(flags), [
        `${always} -O -HAX -X -I ${ends}`,
        `${always} -O -HAX -X -c --delete ${ends}`,
        `${always} -O -HAX -X -I ${ends}`,
        `${always} -O --delete --out-format=%i ${ends}`,
        `${always} ${ends}`,
      ]);
      assert.deepEqual(
        world.names().map((names) => [...new Set(names)].sort()),
        [[".", "./b", "./folder"], ["./folder/"], ["./one", "./two"], ["./", "./folder/"], [".", "./folder"]],
      );
      const { state, phase, fence, newest } = world.held();
      assert.deepEqual({ state, phase, fence }, { state: "finished", phase: "final", fence: "f1" });
      assert.ok(Number(newest) <= fs.statSync(path.join(world.source, "b")).ctimeMs / 1000, "newest moved");
    });

    it("phase final: of folders that did not change only those that were moved are looked into, and all where nothing is believed", async () => {
      const world = new World(shell);
      for (const name of ["x", "y", "y/be\nlow", "z", "z/below"]) fs.mkdirSync(path.join(world.source, name));
      await longSince(world.source);
      fs.chmodSync(path.join(world.source, "b"), 0o600);
      assert.equal(world.copy().status, 0);
      // The marker says when; what follows is later.
      await nextSecond(world.source);
      for (const name of ["x", "y", "y/be\nlow", "z", "z/below"]) {
        fs.mkdirSync(path.join(world.target, name), { recursive: true });
      }
      fs.renameSync(path.join(world.source, "y"), path.join(world.source, "w"));
      const looks = (settings: Readonly<Record<string, string>>): readonly string[] => {
        for (const file of ["arguments", "names"]) fs.rmSync(path.join(world.folder, file));
        assert.equal(world.copy({ PHASE: "final", ...settings }).status, 0);
        return world
          .calls()
          .flatMap((call, i) => (call.includes("--delete") ? (world.names()[i] ?? []) : []))
          .filter((name, i, all) => all.indexOf(name) === i)
          .sort();
      };
      fs.mkdirSync(path.join(world.source, "new"));
      assert.deepEqual(looks({ FENCE: "f1" }), ["./", "./new/", "./w/", "./w/be\nlow/"]);
      assert.deepEqual(
        world
          .calls()
          .filter((call) => call.includes("--delete"))
          .map((call) => call.includes("-I"))
          .sort(),
        [false, false, true, true],
        "only what was moved is copied again whatever its size and time",
      );
      const all = ["./", "./new/", "./w/", "./w/be\nlow/", "./x/", "./z/", "./z/below/"];
      assert.deepEqual(looks({ FENCE: "f2", SUPERSEDES: "f1", HASH: "all" }), all);
      fs.rmSync(path.join(world.target, reserved, "folders"));
      assert.deepEqual(looks({ FENCE: "f3", SUPERSEDES: "f2" }), all, "nothing tells what was moved");
    });

    it("phase final: a share in which the look finds more than deletions is done in full", async () => {
      const world = await warmed();
      fs.chmodSync(world.source, 0o750);
      assert.equal(world.copy({ PHASE: "final", FENCE: "f1", FOUND: ">f+++++++++" }).status, 0);
      const ends = `${world.source}/ ${world.target}/`;
      assert.deepEqual(world.calls().map(flags), [
        `${always} -O -HAX -X -I ${ends}`,
        `${always} -O --delete --out-format=%i ${ends}`,
        `${always} -O -HAX -X --delete ${ends}`,
        `${always} ${ends}`,
      ]);
    });

    it("each name reaches rsync once and as it is: newline, leading dash, invalid UTF-8, more names and folders than workers", () => {
      const world = new World(shell);
      const names = [
        "new\nline",
        "-rf",
        "--delete",
        "ends ",
        "in\xffvalid",
        "*",
        "quote'\"",
        "\\n",
        "lost+found:",
        "$(x)",
      ];
      for (let i = 0; i < 70; i++) names.push(`folder${i}`);
      const all: string[] = [];
      for (const name of names) {
        fs.mkdirSync(Buffer.from(`${world.source}/${name}`, "latin1"));
        all.push(`./${name}`);
        for (const below of names.slice(0, 10)) {
          fs.mkdirSync(Buffer.from(`${world.source}/${name}/${below}`, "latin1"));
          all.push(`./${name}/${below}`);
        }
      }
      fs.mkdirSync(path.join(world.source, "lost+found/deep"), { recursive: true });
      const run = world.copy();
      assert.equal(run.status, 0, run.err);
      const passes = (wanted: (call: readonly string[]) => boolean): string[] =>
        world
          .calls()
          .flatMap((call, i) => (wanted(call) ? (world.names()[i] ?? []) : []))
          .sort();
      assert.deepEqual(
        passes((call) => call.includes("--delete")),
        ["./", ...all.map((name) => `${name}/`)].sort(),
      );
      assert.deepEqual(
        passes((call) => !call.includes("-O")),
        [".", ...all].sort(),
      );
      assert.ok(world.calls().filter((call) => call.includes("--delete")).length > 4, "not shared out");
    });

    it("the same source, phase finished: no byte is written, the finishing Job is named, exit 0", () => {
      const world = new World(shell);
      fs.writeFileSync(path.join(world.target, "live"), "written by the workload since");
      world.writeMarker();
      const run = untouched(world);
      assert.equal(run.status, 0, run.err);
      assert.match(
        run.out,
        /Job volume-migration-earlier finished the warm copy .* at 2026-01-02T03:04:05Z; nothing was written/,
      );
    });

    it("a later phase finished: no byte is written either", () => {
      const world = new World(shell);
      world.writeMarker({ phase: "final", fence: "f1" });
      const run = untouched(world);
      assert.equal(run.status, 0, run.err);
      assert.match(run.out, /Job volume-migration-earlier finished the final copy/);
    });

    it("a second run of the Job that finished is the same", () => {
      const world = new World(shell);
      assert.equal(world.copy().status, 0);
      fs.rmSync(path.join(world.folder, "arguments"));
      const run = untouched(world);
      assert.equal(run.status, 0, run.err);
      assert.match(run.out, /Job volume-migration-valheim finished/);
    });

    for (const state of ["finished", "copying"]) {
      it(`another source's marker (${state}): refused, nothing touched`, () => {
        const world = new World(shell);
        world.writeMarker({
          state,
          sourceUid: "uid-other",
          finishedAt: state === "finished" ? "2026-01-02T03:04:05Z" : null,
        });
        refused(untouched(world), 67, "uid-other", "uid-source", "volume-migration-earlier", "Next: .*grep uid-other");
      });
    }

    it("a later phase under way: refused, nothing touched", () => {
      const world = new World(shell);
      world.writeMarker({ state: "copying", phase: "final", fence: "f1", finishedAt: null });
      refused(untouched(world), 70, "volume-migration-earlier has begun the final copy");
    });

    const good = `{"version":1,"state":"finished","volume":"games/valheim","sourceUid":"uid-source","phase":"warm","fence":"","job":"j","newest":1,"listed":2,"finishedAt":"2026-01-02T03:04:05Z"}`;
    const broken: Readonly<Record<string, (file: string) => void>> = {
      "cut short": (file) => fs.writeFileSync(file, good.slice(0, 60)),
      "whole but not filled up": (file) => fs.writeFileSync(file, `${good}\n`),
      "all zeros": (file) => fs.writeFileSync(file, Buffer.alloc(512)),
      "not JSON": (file) => fs.writeFileSync(file, `${"finished uid-source".padEnd(511)}\n`),
      "a later version": (file) => fs.writeFileSync(file, `${good.replace(":1,", ":2,").padEnd(511)}\n`),
      "an unknown state": (file) => fs.writeFileSync(file, `${good.replace("finished", "paused").padEnd(511)}\n`),
      "phase warm with a fence": (file) =>
        fs.writeFileSync(file, `${good.replace('"fence":""', '"fence":"f"').padEnd(511)}\n`),
      "phase final without one": (file) => fs.writeFileSync(file, `${good.replace("warm", "final").padEnd(511)}\n`),
      "no number": (file) => fs.writeFileSync(file, `${good.replace('"newest":1', '"newest":x').padEnd(511)}\n`),
      "an unknown phase": (file) => fs.writeFileSync(file, `${good.replace("warm", "tepid").padEnd(511)}\n`),
      "one field more": (file) => fs.writeFileSync(file, `${good.replace("}", ',"x":1}').padEnd(511)}\n`),
      "something behind it": (file) => fs.writeFileSync(file, `${good.padEnd(510)}x\n`),
      "two lines": (file) => fs.writeFileSync(file, `${good}\n${good}`.padEnd(511) + "\n"),
      "a folder": (file) => fs.mkdirSync(file),
      "a link to a good one": (file) => {
        fs.writeFileSync(`${file}.real`, `${good.padEnd(511)}\n`);
        fs.symlinkSync(`${file}.real`, file);
      },
      "a link to nowhere": (file) => fs.symlinkSync("nowhere", file),
      "empty, beside files": (file) => {
        fs.writeFileSync(file, "");
        fs.writeFileSync(path.join(path.dirname(file), "../file"), "");
      },
      "its folder a file": (file) => {
        fs.rmdirSync(path.dirname(file));
        fs.writeFileSync(path.dirname(file), `${good.padEnd(511)}\n`);
      },
      "its folder a link to a good one": (file) => {
        fs.renameSync(path.dirname(file), path.join(path.dirname(file), "../elsewhere"));
        fs.symlinkSync("elsewhere", path.dirname(file));
        fs.writeFileSync(file, `${good.padEnd(511)}\n`);
      },
    };
    it(`a broken marker: refused, nothing touched (${Object.keys(broken).length} ways of being broken, and a good one is not)`, () => {
      const whole = new World(shell);
      fs.mkdirSync(path.dirname(whole.marker));
      fs.writeFileSync(whole.marker, `${good.padEnd(511)}\n`);
      assert.equal(untouched(whole).status, 0);
      for (const [name, write] of Object.entries(broken)) {
        const world = new World(shell);
        fs.mkdirSync(path.dirname(world.marker));
        write(world.marker);
        const run = untouched(world);
        assert.equal(run.status, 65, `${name}: ${run.out}${run.err}`);
        refused(run, 65, "broken", "uid-target", "Next: .*grep uid-target");
      }
    });

    it("killed between creating the marker and filling it: an empty marker in an empty target is begun anew", () => {
      const world = new World(shell);
      fs.mkdirSync(path.dirname(world.marker));
      fs.writeFileSync(world.marker, "");
      assert.equal(world.copy().status, 0);
      assert.equal(world.state(), "finished");
      const other = new World(shell);
      fs.mkdirSync(path.dirname(other.marker));
      assert.equal(other.copy().status, 0);
      assert.equal(other.state(), "finished");
    });

    it("a source that has the reserved name in its root: refused, nothing touched; deeper down the name is anyone's", () => {
      const make: readonly ((file: string) => void)[] = [
        (file) => fs.writeFileSync(file, ""),
        (file) => fs.mkdirSync(file),
        (file) => fs.symlinkSync("nowhere", file),
      ];
      for (const entry of make) {
        const world = new World(shell);
        entry(path.join(world.source, reserved));
        refused(
          untouched(world),
          69,
          "the source has an entry named .home-cluster-migration",
          "Next: .*mv .*grep uid-source",
        );
      }
      const world = new World(shell);
      fs.mkdirSync(path.join(world.source, "deep"));
      fs.writeFileSync(path.join(world.source, "deep", reserved), "");
      assert.equal(world.copy().status, 0);
    });

    it("a target with files and no marker: refused, nothing touched", () => {
      for (const name of ["file", ".hidden", "-dash", "lost+found2", `${reserved}2`]) {
        const world = new World(shell);
        fs.writeFileSync(path.join(world.target, name), "somebody's");
        refused(untouched(world), 68, `it holds ${name.replace("+", "\\+")}`, "uid-target");
      }
    });

    it("a run that failed is continued, also by a Job of another name, whatever is there already", () => {
      const world = new World(shell);
      const failed = world.copy({ FOLDERS: "20" });
      assert.equal(failed.status, 20);
      assert.match(failed.err, /failed with code 20; the copy is not finished, and a new run continues it/);
      const { newest, listed } = world.held();
      assert.equal(world.state(), "copying");
      fs.writeFileSync(path.join(world.target, "half"), "");
      const run = world.copy({ JOB: "volume-migration-valheim-2" });
      assert.equal(run.status, 0, run.err);
      assert.match(run.out, /continuing the warm copy that Job volume-migration-valheim began/);
      assert.deepEqual(
        [world.held().newest, world.held().listed],
        [newest, listed],
        "what changed meanwhile would be lost",
      );
      assert.match(untouchedAgain(world).out, /Job volume-migration-valheim-2 finished/);
    });

    it("a run killed outright among the folders leaves a marker that the next run continues from", async () => {
      const world = new World(shell);
      spawnSync("mkfifo", [path.join(world.folder, "never")]);
      const [command = "", ...rest] = shell.command();
      const child = spawn(command, [...rest, copyScript], {
        env: world.environment({ HANG: "1" }),
        detached: true,
        stdio: ["ignore", "pipe", "inherit"],
      });
      const ended = once(child, "exit");
      // Opens once the stand-in reads from it: no waiting by the clock.
      const fifo = await fs.promises.open(path.join(world.folder, "never"), "w");
      process.kill(-(child.pid ?? assert.fail()), "SIGKILL");
      await ended;
      await fifo.close();
      child.stdout.destroy();
      assert.equal(world.state(), "copying");
      assert.equal(world.copy().status, 0);
      assert.equal(world.state(), "finished");
    });

    it("phase warm: what ends with 23 is done again with the names that are left; what ends so four times fails the copy", () => {
      // The share with the folder, which goes away at its first call, and after that holds no name.
      const changing = (times: number): World =>
        new World(shell, {
          sync: standInSync,
          rsync: standIn.replace(
            '*" --delete "*)\n',
            `$&  if grep -q folder "$names" || [ ! -s "$names" ]; then
    rm -rf "$SOURCE/folder"
    echo "$(tr -cd 'a-z' <"$names")." >>"$WORLD/calls"
    [ "$(grep -c . "$WORLD/calls")" -gt ${times} ] || exit 23
  fi
`,
          ),
        });
      for (const [times, status] of [
        [3, 0],
        [4, 23],
      ] as const) {
        const world = changing(times);
        fs.mkdirSync(path.join(world.source, "folder"));
        const run = world.copy();
        assert.equal(run.status, status, run.out + run.err);
        assert.deepEqual(world.read("calls").trim().split("\n"), ["folder.", ".", ".", "."]);
        assert.equal(world.state(), status === 0 ? "finished" : "copying");
      }
    });

    it("files that vanish (24) are allowed in phase warm, and nothing else is; in phase final nothing is", async () => {
      for (const [settings, status] of [
        [{ FILES: "24" }, 0],
        [{ FOLDERS: "24" }, 0],
        [{ TIMES: "24" }, 0],
        [{ FILES: "23" }, 23],
        [{ FOLDERS: "23" }, 23],
        [{ TIMES: "12" }, 12],
        [{ FILES: "137" }, 137],
        [{ FOLDERS: "255" }, 255],
      ] as const) {
        const world = new World(shell);
        fs.linkSync(path.join(world.source, "a"), path.join(world.source, "c"));
        const run = world.copy(settings);
        assert.equal(run.status, status, JSON.stringify(settings) + run.err);
        assert.equal(world.state(), status === 0 ? "finished" : "copying");
        if (status === 0) assert.match(run.out, /went away while they were copied/);
        if ("FILES" in settings && status !== 0) assert.doesNotMatch(world.read("order"), /folders/);
      }
      const failing: readonly Readonly<Record<string, string>>[] = [
        { FILES: "24" },
        { FOLDERS: "24" },
        { TIMES: "24" },
        { FOLDERS: "10" },
      ];
      for (const settings of failing) {
        const world = await warmed();
        fs.writeFileSync(path.join(world.source, "later"), "");
        const run = world.copy({ PHASE: "final", FENCE: "f1", ...settings });
        assert.equal(run.status, Number(Object.values(settings)[0]), JSON.stringify(settings) + run.err);
        assert.equal(world.state(), "copying");
      }
    });

    it("one worker's failure is not hidden by another's 24", () => {
      const world = new World(shell);
      for (const name of ["bad", "gone", "zone"]) fs.mkdirSync(path.join(world.source, name));
      const run = world.copy({ WORKERS: "2" });
      assert.equal(run.status, 23, run.out + run.err);
      assert.equal(world.state(), "copying");
    });

    it("storage that does not take the data: the copy is never called finished", function () {
      needs(this, shell.asksPath(), "a shell that takes sync from PATH");
      const first = new World(shell);
      refused(first.copy({ SYNC_FAILS: "1" }), 74, "marker");
      assert.equal(first.read("arguments"), "", "copied although the marker was not on disk");
      const second = new World(shell);
      const run = second.copy({ SYNC_FAILS: "2" });
      assert.equal(run.status, 74, run.err);
      assert.match(run.err, /reported an error while writing/);
      assert.equal(second.state(), "copying");
    });

    it("settings that cannot be meant: refused, nothing touched", () => {
      const cases: readonly (readonly [Readonly<Record<string, string>>, number, RegExp])[] = [
        [{ SOURCE_UID: "" }, 64, /SOURCE_UID is empty/],
        [{ VOLUME: 'a"b' }, 64, /VOLUME .* characters/],
        [{ JOB: "a\nb" }, 64, /JOB .* characters/],
        [{ VOLUME: "v".repeat(350) }, 64, /too long/],
        [{ TARGET_UID: "uid-source" }, 64, /same claim/],
        [{ PHASE: "tepid" }, 64, /phases warm, final and finalize/],
        [{ PHASE: "final" }, 64, /FENCE is empty/],
        [{ PHASE: "final", FENCE: "a b" }, 64, /FENCE .* characters/],
        [{ PHASE: "final", FENCE: "f", SUPERSEDES: '"' }, 64, /SUPERSEDES .* characters/],
        [{ FENCE: "f" }, 64, /phase warm has no fence/],
        [{ PHASE: "finalize", SUPERSEDES: "f" }, 64, /phase finalize has no fence/],
        [{ PROGRESS_SECONDS: "0" }, 64, /PROGRESS_SECONDS/],
        [{ WORKERS: "0" }, 64, /WORKERS/],
        [{ HASH: "some" }, 64, /HASH is 'some'/],
        [{ WORKERS: "4; true" }, 64, /WORKERS/],
        [{ SOURCE: "/does/not/exist" }, 66, /not a folder/],
        [{ TARGET: "/does/not/exist" }, 66, /not a folder/],
      ];
      for (const [settings, status, message] of cases) {
        const world = new World(shell);
        const run = untouched(world, settings);
        assert.equal(run.status, status, JSON.stringify(settings) + run.err);
        assert.match(run.err, message);
        assert.match(run.err, /\nNext: kubectl /);
      }
      const world = new World(shell);
      refused(untouched(world, { TARGET: path.join(world.source, ".") }), 64, "lies in the source");
      refused(untouched(world, { SOURCE: path.join(world.target, "lost+found") }), 64, "lies in the target");
    });

    describe("every marker and every Job: what the table in docs/decisions/copy-and-verify.md says, and no byte is written where it says so", () => {
      const markers = {
        none: undefined,
        "warm copying": { state: "copying", finishedAt: null },
        "warm finished": {},
        "final f1 copying": { state: "copying", phase: "final", fence: "f1", finishedAt: null },
        "final f1 finished": { phase: "final", fence: "f1" },
        "another volume's": { volume: "games/other" },
        "another source's": { sourceUid: "uid-other" },
      } as const;
      const jobs = {
        warm: {},
        "final f1": { PHASE: "final", FENCE: "f1" },
        "final f2": { PHASE: "final", FENCE: "f2" },
        "final f2 for f1": { PHASE: "final", FENCE: "f2", SUPERSEDES: "f0 f1" },
        "final f2 for f0": { PHASE: "final", FENCE: "f2", SUPERSEDES: "f0 f11 1 f" },
        finalize: { PHASE: "finalize" },
      } as const;
      type Outcome = "copies" | "writes nothing" | "removes" | 67 | 70 | 71 | 72 | 73;
      const table: Readonly<Record<keyof typeof markers, Readonly<Record<keyof typeof jobs, Outcome>>>> = {
        none: row("copies", 71, 71, 71, 71, "writes nothing"),
        "warm copying": row("copies", 71, 71, 71, 71, 73),
        "warm finished": row("writes nothing", "copies", "copies", "copies", "copies", 73),
        "final f1 copying": row(70, "copies", 72, "copies", 72, 73),
        "final f1 finished": row("writes nothing", "writes nothing", 72, "copies", 72, "removes"),
        "another volume's": row(67, 67, 67, 67, 67, 67),
        "another source's": row(67, 67, 67, 67, 67, 67),
      };
      function row(...outcomes: readonly [Outcome, Outcome, Outcome, Outcome, Outcome, Outcome]) {
        const [warm, own, other, successor, stranger, finalize] = outcomes;
        return {
          warm,
          "final f1": own,
          "final f2": other,
          "final f2 for f1": successor,
          "final f2 for f0": stranger,
          finalize,
        };
      }
      for (const [marker, fields] of Object.entries(markers)) {
        it(marker, () => {
          for (const [job, settings] of Object.entries(jobs)) {
            const outcome = table[marker as keyof typeof markers][job as keyof typeof jobs];
            const world = new World(shell);
            if (fields !== undefined) {
              world.writeMarker(fields);
              fs.writeFileSync(path.join(world.target, "live"), "the workload's, once it was switched");
              for (const file of ["hashes", "folders"]) fs.writeFileSync(path.join(world.target, reserved, file), "");
            }
            if (outcome === "copies") {
              const run = world.copy(settings);
              assert.equal(run.status, 0, `${job}: ${run.err}`);
              const { state, phase, fence } = world.held();
              const { PHASE = "warm", FENCE = "" }: { readonly PHASE?: string; readonly FENCE?: string } = settings;
              assert.deepEqual({ state, phase, fence }, { state: "finished", phase: PHASE, fence: FENCE }, job);
            } else if (outcome === "removes") {
              const run = world.copy(settings);
              assert.equal(run.status, 0, `${job}: ${run.err}`);
              assert.deepEqual(fs.readdirSync(world.target).sort(), ["live", "lost+found"]);
              assert.equal(world.read("arguments"), "");
            } else {
              const run = untouched(world, settings);
              assert.equal(run.status, outcome === "writes nothing" ? 0 : outcome, `${job}: ${run.out}${run.err}`);
              if (typeof outcome === "number") refused(run, outcome);
            }
          }
        });
      }
    });

    it("finalize leaves what is not ours in the folder, with its marker's absence told", () => {
      const world = new World(shell);
      world.writeMarker({ phase: "final", fence: "f1" });
      fs.writeFileSync(path.join(world.target, reserved, "mine"), "");
      const run = world.copy({ PHASE: "finalize" });
      assert.equal(run.status, 73, run.err);
      assert.ok(fs.existsSync(path.join(world.target, reserved, "mine")));
      refused(untouched(world, { PHASE: "finalize" }), 73, "not empty");
    });

    it("progress is a line that an operation can read", () => {
      const world = new World(shell);
      assert.match(
        world.copy().out,
        /^progress: phase=warm step=compare bytes=\d+\/\d+ files=\d+\/3 rate=\d+ left=(\d+|unknown)$/m,
      );
    });
  });
}

/** A further run of a world whose copy is finished. */
function untouchedAgain(world: World): Run {
  fs.rmSync(path.join(world.folder, "arguments"));
  return untouched(world);
}

/** What a plain user can make of the trouble that real volumes hold. */
function troubledTree(folder: string): void {
  const make = (name: string, text: string | Buffer = name): string => {
    const file = `${folder}/${name}`;
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(Buffer.from(file, "latin1"), text);
    return file;
  };
  make("one/file");
  fs.mkdirSync(path.join(folder, "two/empty"), { recursive: true });
  fs.linkSync(path.join(folder, "one/file"), path.join(folder, "two/linked across"));
  fs.linkSync(path.join(folder, "one/file"), path.join(folder, "linked to the root"));
  for (const name of [
    "new\nline",
    "-rf",
    "in\xffvalid",
    " ",
    "*",
    "[ab]",
    "back\\slash",
    "co:lon",
    "#hash",
    "+ plus",
  ]) {
    make(`odd/${name}`);
  }
  for (const name of ["new\nline", "-rf", "in\xffvalid", " ", "*"]) make(name);
  make("x".repeat(255));
  make(`odd/${reserved}`);
  make("odd/lost+found/kept");
  make("lost+found/left out");
  make("modes", "");
  fs.chmodSync(path.join(folder, "modes"), 0o640);
  fs.chmodSync(path.join(folder, "two"), 0o1771);
  fs.symlinkSync("one/file", path.join(folder, "link"));
  fs.symlinkSync("/nowhere\nat all", path.join(folder, "dangling"));
  spawnSync("mkfifo", [path.join(folder, "fifo")]);
  const sparse = fs.openSync(path.join(folder, "sparse"), "w");
  fs.writeSync(sparse, "end", 8 << 20);
  fs.closeSync(sparse);
  make("large", Buffer.alloc(3 << 20, "abc"));
  for (let i = 0; i < 40; i++) make(`many/${i % 4}/${i}`);
  fs.utimesSync(path.join(folder, "one/file"), -86_400, -86_400);
  fs.lutimesSync(path.join(folder, "link"), 1_000_000_000.25, 1_000_000_000.25);
  fs.utimesSync(path.join(folder, "odd"), 1_100_000_000.75, 1_100_000_000.75);
  fs.chmodSync(folder, 0o751);
  fs.utimesSync(folder, 1_200_000_000.123, 1_200_000_000.123);
}

function pythonLines(code: string, ...args: readonly string[]): Run {
  const run = spawnSync(python ?? assert.fail(), ["-I", "-S", "-c", code, ...args], { encoding: "utf8" });
  return { status: run.status, out: run.stdout, err: run.stderr };
}

/** What verify.py finds: its lines, without the summary. */
function differences(world: World): readonly string[] {
  const result = path.join(world.folder, "result");
  const run = spawnSync(python ?? assert.fail(), ["-I", "-S", verifyScript], {
    env: { ...process.env, SOURCE: world.source, TARGET: world.target, RESULT: result },
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout
    .trimEnd()
    .split("\n")
    .slice(0, -1)
    .filter((line) => !line.startsWith("progress: "));
}

for (const shell of shells) {
  describe(`copy.sh under ${shell.name}, with rsync, judged by verify.py (on one local disk: no NFS, no power cut)`, () => {
    const real = (): World => {
      const world = new World(shell, {});
      fs.symlinkSync(rsync ?? assert.fail(), path.join(world.folder, "bin", "rsync"));
      return world;
    };
    beforeEach(function () {
      needs(this, shell.there, "busybox");
      needs(this, rsync !== undefined, "rsync");
      needs(this, python !== undefined, "python3");
    });

    it("a tree with links across folders, odd names, holes, a FIFO and old times arrives without a difference", () => {
      const world = real();
      troubledTree(world.source);
      fs.writeFileSync(path.join(world.target, "lost+found", "the new file system's"), "");
      const run = world.copy();
      assert.equal(run.status, 0, run.err);
      assert.deepEqual(differences(world), []);
      // Not left to the judge, which leaves the same names out:
      assert.deepEqual(fs.readdirSync(path.join(world.target, "lost+found")), ["the new file system's"]);
      assert.ok(fs.existsSync(path.join(world.target, "odd", reserved)));
      assert.ok(fs.existsSync(path.join(world.target, "odd/lost+found/kept")));
      const inode = (name: string): number => fs.statSync(path.join(world.target, name)).ino;
      assert.equal(inode("one/file"), inode("two/linked across"));
      assert.equal(inode("one/file"), inode("linked to the root"));
      const sparse = fs.statSync(path.join(world.target, "sparse"));
      assert.ok(sparse.blocks * 512 < sparse.size / 2, `${sparse.blocks} blocks: holes were filled`);
      assert.equal(
        fs.statSync(world.target, { bigint: true }).mtimeNs,
        fs.statSync(world.source, { bigint: true }).mtimeNs,
        "the marker changed the root's time",
      );
      assert.doesNotMatch(run.out, /nowhere|abcabc/, "the log shows contents");
      assert.match(untouched(world).out, /nothing was written/);
    });

    it("an interrupted copy is continued: what is wrong, half there or too much in the target is put right", () => {
      const world = real();
      fs.writeFileSync(path.join(world.source, "large"), Buffer.alloc(1 << 20));
      spawnSync("mkfifo", [path.join(world.source, "fifo")]);
      world.writeMarker({ state: "copying", finishedAt: null });
      fs.mkdirSync(path.join(world.target, "deleted/since"), { recursive: true });
      fs.writeFileSync(path.join(world.target, ".large.Ab3dEf"), "an rsync killed here");
      fs.writeFileSync(path.join(world.target, "large"), "half");
      fs.mkdirSync(path.join(world.target, "fifo"));
      fs.writeFileSync(path.join(world.target, "a"), "x");
      fs.linkSync(path.join(world.target, "a"), path.join(world.target, "b"));
      const run = world.copy();
      assert.equal(run.status, 0, run.err);
      assert.deepEqual(differences(world), []);
      assert.equal(world.state(), "finished");
    });

    it("folders that changed places since the warm copy, unchanged below: all of it arrives, with files of the same size and time", async () => {
      const world = real();
      for (const name of ["daily.0", "daily.1", "kept"]) {
        fs.mkdirSync(path.join(world.source, name, "deep", "deeper"), { recursive: true });
        fs.writeFileSync(path.join(world.source, name, "deep", "deeper", "file"), name);
        fs.utimesSync(path.join(world.source, name, "deep", "deeper", "file"), 1_000_000_000, 1_000_000_000);
      }
      // Two files with two names each, alike but for their inodes.
      for (const [one, other] of [
        ["daily.0/deep/p", "kept/q"],
        ["daily.1/deep/p", "kept/s"],
      ] as const) {
        fs.writeFileSync(path.join(world.source, one), "alike");
        fs.utimesSync(path.join(world.source, one), 1_000_000_000, 1_000_000_000);
        fs.linkSync(path.join(world.source, one), path.join(world.source, other));
      }
      await longSince(path.join(world.source, "daily.1"));
      fs.chmodSync(path.join(world.source, "b"), 0o600);
      assert.equal(world.copy().status, 0);
      await nextSecond(path.join(world.source, "b"));
      for (const [from, to] of [
        ["daily.1", "daily.2"],
        ["daily.0", "daily.1"],
        ["daily.2", "daily.0"],
      ] as const) {
        fs.renameSync(path.join(world.source, from), path.join(world.source, to));
      }
      const run = world.copy({ PHASE: "final", FENCE: "f1" });
      assert.equal(run.status, 0, run.err);
      assert.deepEqual(differences(world), []);
    });

    it("a folder that the warm copy's listing has missed, with old files and links in it, is brought by the final pass", async () => {
      const world = real();
      for (const name of ["missed/deep", "kept"]) fs.mkdirSync(path.join(world.source, name), { recursive: true });
      fs.writeFileSync(path.join(world.source, "missed/deep/file"), "old");
      fs.writeFileSync(path.join(world.source, "kept/p"), "two names");
      fs.linkSync(path.join(world.source, "kept/p"), path.join(world.source, "missed/deep/q"));
      await longSince(path.join(world.source, "kept/p"));
      fs.chmodSync(path.join(world.source, "b"), 0o600);
      assert.equal(world.copy().status, 0);
      // What it leaves when the folder is moved behind the back of a listing that is being made: not a word, and no file.
      const listing = path.join(world.target, reserved, "folders");
      const lines = fs.readFileSync(listing, "utf8").split("\n");
      fs.writeFileSync(listing, lines.filter((line) => !line.includes("missed")).join("\n"));
      fs.rmSync(path.join(world.target, "missed"), { recursive: true });
      const run = world.copy({ PHASE: "final", FENCE: "f1" });
      assert.equal(run.status, 0, run.err);
      assert.deepEqual(differences(world), []);
    });

    it("a top-level entry that goes away between listing and copying is no failure", function () {
      needs(this, shell.asksPath(), "a shell that takes find from PATH");
      const world = real();
      const find = shell
        .path()
        .split(path.delimiter)
        .map((folder) => path.join(folder, "find"))
        .find(fs.existsSync);
      fs.writeFileSync(
        path.join(world.folder, "bin", "find"),
        `#!/bin/sh\n${find} "$@" || exit\ncase " $* " in *" -print0 ") printf './went away\\0' ;; esac\n`,
        { mode: 0o755 },
      );
      const run = world.copy();
      assert.equal(run.status, 0, run.err);
      assert.deepEqual(differences(world), []);
    });

    // What follows depends on rsync and not on the shell.
    if (shell.name !== shells[0]?.name) return;

    it("extended attributes arrive, those that another rsync stored included (user.*; trusted.* and security.* need root)", function () {
      const world = real();
      const set = pythonLines(
        "import os, sys\nfor n in sys.argv[2:]: os.setxattr(sys.argv[1], n, b'v')",
        path.join(world.source, "a"),
        "user.plain",
        "user.rsync.%stat",
      );
      needs(this, set.status === 0, "extended attributes in the temporary folder");
      assert.equal(world.copy().status, 0);
      const names = pythonLines(
        "import os, sys\nprint(sorted(os.listxattr(sys.argv[1])))",
        path.join(world.target, "a"),
      );
      assert.equal(names.out.trim(), "['user.plain', 'user.rsync.%stat']");
      assert.deepEqual(differences(world), []);
    });

    it("as root: foreign owners, setuid, mode 000, devices", function () {
      needs(this, root, "root");
      const world = real();
      const file = path.join(world.source, "a");
      needs(this, spawnSync("chown", ["12345:54321", file]).status === 0, "the right to change owners");
      fs.chmodSync(file, 0o4751);
      fs.chmodSync(path.join(world.source, "b"), 0);
      const device = spawnSync("mknod", [path.join(world.source, "null"), "c", "1", "3"]);
      needs(this, device.status === 0, "the right to make devices");
      assert.equal(world.copy().status, 0);
      assert.deepEqual(differences(world), []);
      const stat = fs.statSync(path.join(world.target, "a"));
      assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777], [12_345, 54_321, 0o4751]);
    });

    it("as a plain user: a file that cannot be read fails the copy with rsync's 23", function () {
      needs(this, !root, "a user other than root");
      const world = real();
      fs.chmodSync(path.join(world.source, "b"), 0);
      assert.equal(world.copy().status, 23);
      assert.equal(world.state(), "copying");
    });
  });
}
