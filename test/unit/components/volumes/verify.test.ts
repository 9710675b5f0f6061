import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { missingPrograms, packageOf, skip } from "../../../support/needs";

const script = path.resolve(__dirname, "../../../../components/volumes/scripts/verify.py");
const root = process.getuid?.() === 0;
/** Python itself: what stands on PATH may be a wrapper that takes longer to start than a test to run. Always with -I -S, no extras. */
const python =
  spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout?.trim() || undefined;

/** Skips, with the reason, unless the thing is there. */
function needs(test: Mocha.Context, there: boolean, what: string): void {
  if (!there) skip(test, what in packageOf ? (missingPrograms([what]) ?? what) : `needs ${what}`);
}

interface Result {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly err: string;
  /** The result file, as text and as data. */
  readonly raw: string;
  readonly data: Readonly<Record<string, unknown>>;
}

let base = "";
let count = 0;
const whole = 1_600_000_000;

/** Runs Python that changes a file in ways that Node cannot. */
function change(code: string, ...args: readonly string[]): boolean {
  return spawnSync(python ?? assert.fail(), ["-I", "-S", "-c", `import os, sys\n${code}`, ...args]).status === 0;
}

class Pair {
  readonly folder = path.join(base, String(count++));
  readonly old = path.join(this.folder, "old");
  readonly new = path.join(this.folder, "new");

  constructor() {
    for (const side of [this.old, this.new]) {
      for (const folder of ["folder/deep/empty", "lost+found"])
        fs.mkdirSync(path.join(side, folder), { recursive: true });
      for (const name of ["one", "two", "folder/three", "folder/deep/four"]) {
        fs.writeFileSync(path.join(side, name), `content of ${path.basename(name).padEnd(8)}`);
        fs.chmodSync(path.join(side, name), 0o644);
      }
      fs.linkSync(path.join(side, "one"), path.join(side, "folder/linked"));
      fs.symlinkSync("two", path.join(side, "link"));
    }
    this.settle();
  }

  /** The same whole second everywhere: making an entry changes its folder's time, which is not what a test is about. */
  settle(): void {
    const visit = (file: Buffer): void => {
      if (fs.lstatSync(file).isDirectory()) {
        for (const name of fs.readdirSync(file, { encoding: "buffer" }))
          visit(Buffer.concat([file, Buffer.from("/"), name]));
      }
      fs.lutimesSync(file, whole, whole);
    };
    visit(Buffer.from(this.old));
    visit(Buffer.from(this.new));
  }

  compare(settings: Readonly<Record<string, string>> = {}, patch?: string): Result {
    const file = path.join(this.folder, "result");
    fs.rmSync(file, { force: true });
    const load = `
import errno, importlib.util, os, sys
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("verify", ${JSON.stringify(script)})
verify = sys.modules["verify"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
real_open, real_list, real_get = os.open, os.listxattr, os.getxattr
${patch ?? ""}
sys.exit(verify.main())
`;
    const run = spawnSync(python ?? assert.fail(), ["-I", "-S", ...(patch === undefined ? [script] : ["-c", load])], {
      env: {
        PATH: process.env.PATH,
        SOURCE: this.old,
        TARGET: this.new,
        RESULT: file,
        WORKERS: "2",
        ...settings,
      },
    });
    const raw = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "{}";
    return {
      status: run.status,
      lines: run.stdout
        .toString()
        .trimEnd()
        .split("\n")
        .slice(0, -1)
        .filter((line) => !line.startsWith("progress: ")),
      err: run.stderr.toString(),
      raw,
      data: JSON.parse(raw) as Record<string, unknown>,
    };
  }

  /** Asserts that exactly these differences are found. */
  finds(expected: readonly RegExp[], result = this.compare()): Result {
    assert.equal(result.status, 0, result.err);
    assert.equal(result.data.differences, expected.length, result.lines.join("\n"));
    assert.equal(result.lines.length, expected.length);
    assert.deepEqual(result.data.first, result.lines.slice(0, 10));
    for (const [i, pattern] of expected.entries()) assert.match(result.lines[i] ?? "", pattern);
    return result;
  }
}

describe("verify.py on real files (as far as the user running the tests may make them; no NFS)", () => {
  before(() => {
    base = fs.mkdtempSync(path.join(os.tmpdir(), "verify-test-"));
  });
  after(() => fs.rmSync(base, { recursive: true, force: true }));
  beforeEach(function () {
    needs(this, python !== undefined, "python3");
  });

  it("equal trees: no difference, and the counts of the source (a file with two names counts its bytes once)", () => {
    const result = new Pair().finds([]);
    const { manifest, ...rest } = result.data;
    assert.match(String(manifest), /^[0-9a-f]{64}$/);
    // The root, three folders, four files, one more name, one link; 19 bytes a file and 3 of the link's target are not content.
    const counts = { entries: 10, bytes: 76, differences: 0, first: [], vanished: 0, hashed: 5, trusted: 0 };
    assert.deepEqual(rest, { version: 1, phase: "warm", ...counts });
  });

  /** Each changes the target alone, in one way, and leaves times as they were unless they are the point. */
  const corruptions: Readonly<Record<string, readonly [change: (pair: Pair) => void, ...finds: readonly RegExp[]]>> = {
    "one byte, same size and time": [
      (pair) => fs.writeFileSync(path.join(pair.new, "two"), "content of twO     "),
      /^'two': content: sha256 [0-9a-f]{12} → [0-9a-f]{12}$/,
    ],
    "one byte more": [
      (pair) => fs.appendFileSync(path.join(pair.new, "folder/deep/four"), "."),
      /^'folder\/deep\/four': size: 19 → 20$/,
    ],
    "two files swapped": [
      (pair) => {
        const at = (name: string): string => path.join(pair.new, name);
        fs.renameSync(at("two"), at("held"));
        fs.renameSync(at("folder/three"), at("two"));
        fs.renameSync(at("held"), at("folder/three"));
      },
      /^'folder\/three': content/,
      /^'two': content/,
    ],
    "a mode bit": [(pair) => fs.chmodSync(path.join(pair.new, "two"), 0o645), /^'two': mode: 0644 → 0645$/],
    "a setgid bit of a folder": [
      (pair) => fs.chmodSync(path.join(pair.new, "folder/deep"), 0o2755),
      /^'folder\/deep': mode: 0755 → 2755$/,
    ],
    "the root's own mode": [(pair) => fs.chmodSync(pair.new, 0o700), /^'\.': mode: 0755 → 0700$/],
    "a hard link that became a second file": [
      (pair) => {
        fs.rmSync(path.join(pair.new, "folder/linked"));
        fs.copyFileSync(path.join(pair.new, "one"), path.join(pair.new, "folder/linked"));
      },
      /^'one': hard link: same file as 'folder\/linked' → same file as 'one'$/,
    ],
    "an extra file": [
      (pair) => fs.writeFileSync(path.join(pair.new, "folder/extra"), ""),
      /^'folder\/extra': entry: missing → file$/,
    ],
    "a missing file": [(pair) => fs.rmSync(path.join(pair.new, "two")), /^'two': entry: file → missing$/],
    "a missing empty folder": [
      (pair) => fs.rmdirSync(path.join(pair.new, "folder/deep/empty")),
      /^'folder\/deep\/empty': entry: directory → missing$/,
    ],
    "a missing folder, each entry of it": [
      (pair) => fs.rmSync(path.join(pair.new, "folder/deep"), { recursive: true }),
      /^'folder\/deep': entry: directory → missing$/,
      /^'folder\/deep\/empty': entry/,
      /^'folder\/deep\/four': entry: file → missing$/,
    ],
    "a file where a folder was": [
      (pair) => {
        fs.rmdirSync(path.join(pair.new, "folder/deep/empty"));
        fs.writeFileSync(path.join(pair.new, "folder/deep/empty"), "");
      },
      /^'folder\/deep\/empty': type: directory → file$/,
    ],
    "a FIFO where a file was (and it is not waited on)": [
      (pair) => {
        fs.rmSync(path.join(pair.new, "two"));
        spawnSync("mkfifo", [path.join(pair.new, "two")]);
      },
      /^'two': type: file → FIFO$/,
    ],
    "a link's target": [
      (pair) => {
        fs.rmSync(path.join(pair.new, "link"));
        fs.symlinkSync("one", path.join(pair.new, "link"));
      },
      /^'link': target: 'two' → 'one'$/,
    ],
    "the old tree one level too deep": [
      (pair) =>
        fs.cpSync(path.join(pair.old, "folder/deep"), path.join(pair.new, "folder/deep/deep"), { recursive: true }),
      /^'folder\/deep\/deep': entry: missing → directory$/,
      /^'folder\/deep\/deep\/empty'/,
      /^'folder\/deep\/deep\/four'/,
    ],
    "an entry of the marker's name below the root": [
      (pair) => fs.writeFileSync(path.join(pair.new, "folder/.home-cluster-migration"), ""),
      /^'folder\/\.home-cluster-migration': entry: missing → file$/,
    ],
    "lost+found below the root": [
      (pair) => fs.mkdirSync(path.join(pair.new, "folder/lost+found")),
      /^'folder\/lost\+found': entry: missing → directory$/,
    ],
    "the reserved name in the source": [
      (pair) => fs.writeFileSync(path.join(pair.old, ".home-cluster-migration"), ""),
      /^'\.home-cluster-migration': entry: file → missing$/,
    ],
    "names that would change a log": [
      (pair) => fs.writeFileSync(Buffer.from(`${pair.new}/a\n\x1b[2Jb\xff`, "latin1"), ""),
      /^'a\\n\\x1b\[2Jb\\udcff': entry: missing → file$/,
    ],
  };
  for (const [name, [corrupt, ...finds]] of Object.entries(corruptions)) {
    it(`catches ${name}`, () => {
      const pair = new Pair();
      corrupt(pair);
      pair.settle();
      pair.finds(finds);
    });
  }

  it("catches two files that became one inode, which rsync -c never does", () => {
    const pair = new Pair();
    for (const side of [pair.old, pair.new]) {
      fs.copyFileSync(path.join(side, "two"), path.join(side, "same as two"));
      fs.chmodSync(path.join(side, "same as two"), 0o644);
    }
    fs.rmSync(path.join(pair.new, "two"));
    fs.linkSync(path.join(pair.new, "same as two"), path.join(pair.new, "two"));
    pair.settle();
    pair.finds([/^'two': hard link: same file as 'two' → same file as 'same as two'$/]);
  });

  it("catches one nanosecond, in a file, a folder, a link and the root", () => {
    const pair = new Pair();
    for (const name of ["two", "folder", "link", ""]) {
      change(
        "os.utime(sys.argv[1], ns=(0, int(sys.argv[2])), follow_symlinks=False)",
        path.join(pair.new, name),
        `${whole}000000001`,
      );
    }
    pair.finds(
      ["\\.", "folder", "link", "two"].map((n) => new RegExp(`^'${n}': mtime: ${whole}\\.0{9} → ${whole}\\.0{8}1$`)),
    );
  });

  it("catches an attribute that is lost, extra or has another value, and prints no value", function () {
    const pair = new Pair();
    const set = (file: string, name: string, value: string): boolean =>
      change("os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())", file, name, value);
    needs(this, set(path.join(pair.old, "one"), "user.lost", "secret"), "extended attributes in the temporary folder");
    set(path.join(pair.old, "folder/deep"), "user.value", "secret");
    set(path.join(pair.new, "folder/deep"), "user.value", "secreT");
    set(path.join(pair.new, "two"), "user.extra", "");
    pair.settle();
    const result = pair.finds([
      /^'folder\/deep': xattr 'user\.value': 6 bytes, sha256 [0-9a-f]{12} → 6 bytes, sha256 [0-9a-f]{12}$/,
      /^'folder\/linked': xattr 'user\.lost': 6 bytes, .* → none$/,
      /^'one': xattr 'user\.lost'/,
      /^'two': xattr 'user\.extra': none → 0 bytes/,
    ]);
    assert.doesNotMatch(result.lines.join(), /secre/i);
  });

  it("catches an owner, a group, a link's owner and a device's numbers (as root)", function () {
    needs(this, root, "root");
    const pair = new Pair();
    const made = [pair.old, pair.new].map((side, i) =>
      spawnSync("mknod", [path.join(side, "null"), "c", "1", String(3 + i)]),
    );
    needs(
      this,
      made.every((run) => run.status === 0),
      "the right to make devices",
    );
    fs.chownSync(path.join(pair.new, "two"), 1, 0);
    fs.chownSync(path.join(pair.new, "folder"), 0, 2);
    fs.lchownSync(path.join(pair.new, "link"), 3, 0);
    pair.settle();
    pair.finds([
      /^'folder': group: 0 → 2$/,
      /^'link': owner: 0 → 3$/,
      /^'null': rdev: \(1, 3\) → \(1, 4\)$/,
      /^'two': owner: 0 → 1$/,
    ]);
  });

  it("an NFSv4 server's own view of its files is no difference; a POSIX ACL that is lost is (the kernel's answers are stand-ins)", () => {
    const serve = (name: string): string => `
def listed(file, **options):
    return real_list(file, **options) + (["${name}"] if os.fsencode(file).startswith(verify.SOURCE) else [])
os.listxattr = listed
os.getxattr = lambda file, name, **options: b"acl" if os.fsdecode(name) == "${name}" else real_get(file, name, **options)
`;
    new Pair().finds([], new Pair().compare({}, serve("system.nfs4_acl")));
    const lost = new Pair().compare({}, serve("system.posix_acl_access"));
    assert.equal(lost.data.differences, 10);
    assert.match(lost.lines[0] ?? "", /xattr 'system\.posix_acl_access': 3 bytes, .* → none$/);
  });

  it("leaves out lost+found and the marker in the roots, whatever they are", () => {
    const pair = new Pair();
    fs.writeFileSync(path.join(pair.old, "lost+found/#12"), "recovered");
    fs.rmdirSync(path.join(pair.new, "lost+found"));
    fs.writeFileSync(path.join(pair.new, ".home-cluster-migration"), "{}");
    pair.settle();
    pair.finds([]);
  });

  it("the manifest depends on the source alone, and on everything in it; neither on the number of workers nor on the target", () => {
    const pair = new Pair();
    const manifests = new Set<unknown>();
    const manifest = (settings: Readonly<Record<string, string>> = {}): unknown => pair.compare(settings).data.manifest;
    const first = manifest();
    assert.equal(manifest({ WORKERS: "1" }), first);
    fs.appendFileSync(path.join(pair.new, "two"), "other");
    assert.equal(manifest(), first);
    manifests.add(first);
    fs.chmodSync(path.join(pair.old, "two"), 0o600);
    manifests.add(manifest());
    fs.writeFileSync(path.join(pair.old, "two"), "Content of two     ");
    pair.settle();
    manifests.add(manifest());
    fs.renameSync(path.join(pair.old, "two"), path.join(pair.old, "2"));
    pair.settle();
    manifests.add(manifest());
    fs.rmSync(path.join(pair.old, "folder/linked"));
    fs.copyFileSync(path.join(pair.old, "one"), path.join(pair.old, "folder/linked"));
    pair.settle();
    manifests.add(manifest());
    assert.equal(manifests.size, 5);
  });

  it("more entries and bytes than one task takes, files for two readers: nothing is skipped (the limits are lowered)", () => {
    const pair = new Pair();
    for (const side of [pair.old, pair.new]) {
      fs.mkdirSync(path.join(side, "many"));
      for (let i = 0; i < 60; i++) fs.writeFileSync(path.join(side, "many", String(i)), String(i));
      fs.writeFileSync(path.join(side, "large"), Buffer.alloc(2 << 20, "abc"));
    }
    fs.writeFileSync(path.join(pair.new, "many/59"), "58");
    const large = fs.openSync(path.join(pair.new, "large"), "r+");
    fs.writeSync(large, "x", (2 << 20) - 1);
    fs.closeSync(large);
    pair.settle();
    const result = pair.compare({}, "verify.TASK_ENTRIES, verify.TASK_BYTES = 7, 30");
    pair.finds([/^'large': content/, /^'many\/59': content/], result);
    assert.equal(result.data.entries, 10 + 60 + 2);
    assert.equal(result.data.manifest, pair.compare().data.manifest);
  });

  it("a hundred differences are printed, all are counted, and the result fits a termination message however long the names are", () => {
    const pair = new Pair();
    for (let i = 0; i < 130; i++) {
      fs.writeFileSync(
        Buffer.from(`${pair.new}/${String(i).padStart(3, "0")}${"\xf0\x9f\x98\x80".repeat(60)}`, "latin1"),
        "",
      );
    }
    pair.settle();
    const result = pair.compare();
    assert.equal(result.status, 0);
    assert.equal(result.lines.length, 101);
    assert.equal(result.lines[100], "… and 30 more");
    assert.match(result.lines[0] ?? "", /^'000/);
    assert.equal(result.data.differences, 130);
    assert.ok(Buffer.byteLength(result.raw) <= 4096, `${result.raw.length} bytes`);
    assert.ok(Array.isArray(result.data.first) && result.data.first.length > 0);
  });

  it("a file that vanishes, grows or is replaced at the moment of reading is a difference, never a crash (staged, not raced)", () => {
    const meanwhile = (name: string, action: string): Result => {
      const patch = `
def opened(file, *more, **options):
    if file == os.path.join(verify.SOURCE, b"${name}"):
        ${action}
    return real_open(file, *more, **options)
verify.os.open = opened
`;
      return new Pair().compare({}, patch);
    };
    const gone = meanwhile("two", "os.unlink(file)");
    assert.equal(gone.status, 0, gone.err);
    assert.equal(gone.data.vanished, 1);
    assert.deepEqual(gone.lines, ["'two': entry: vanished while it was compared (old)"]);
    for (const action of [
      "os.truncate(file, 30)",
      "os.unlink(file); os.mkfifo(file)",
      'os.unlink(file); os.symlink("one", file)',
      "os.unlink(file); os.mkdir(file)",
    ]) {
      const result = meanwhile("two", action);
      assert.equal(result.status, 0, result.err);
      assert.equal(result.data.vanished, 0);
      assert.match(result.lines.join("\n"), /^'two': entry: (changed|replaced) while it was compared \(old\)$/, action);
    }
  });

  it("a file that changes while it is being read is a difference, though both reads gave the same (staged)", () => {
    const patch = `
real_read = os.read
def read(fd, size):
    block = real_read(fd, size)
    if not block and os.readlink(f"/proc/self/fd/{fd}") == os.fsdecode(verify.SOURCE) + "/two":
        os.chmod(os.fsdecode(verify.SOURCE) + "/two", 0o600)
    return block
verify.os.read = read
`;
    const result = new Pair().compare({}, patch);
    assert.equal(result.status, 0, result.err);
    assert.deepEqual(result.lines, ["'two': entry: changed while it was compared (old)"]);
  });

  it("a folder that vanishes before it is listed is counted (staged)", () => {
    const patch = `
real_dir = os.listdir
def listed(folder):
    if folder == os.path.join(verify.SOURCE, b"folder/deep/empty"):
        os.rmdir(folder)
    return real_dir(folder)
verify.os.listdir = listed
`;
    const result = new Pair().compare({}, patch);
    assert.equal(result.status, 0, result.err);
    assert.equal(result.data.vanished, 1);
    assert.deepEqual(result.lines, ["'folder/deep/empty': entry: vanished while it was compared (old)"]);
  });

  const cannot = (result: Result, reason: RegExp): void => {
    assert.equal(result.status, 2, result.err);
    assert.match(result.err, reason);
    assert.equal(result.data.version, 1);
    assert.equal(typeof result.data.error, "string");
    assert.ok(!("differences" in result.data) && !("manifest" in result.data), "reads as a comparison");
  };

  it("what could not be compared is exit 2, never a result: I/O error, missing folder, the same folder twice, a killed worker", () => {
    const failing = `
def opened(file, *more, **options):
    if file == os.path.join(verify.TARGET, b"folder/three"):
        FAIL
    return real_open(file, *more, **options)
verify.os.open = opened
`;
    const io = failing.replace("FAIL", "raise OSError(errno.EIO, 'Input/output error')");
    cannot(new Pair().compare({}, io), /'folder\/three' \(new\): Input\/output error/);
    cannot(new Pair().compare({}, failing.replace("FAIL", "os.kill(os.getpid(), 9)")), /worker process was killed/);
    cannot(new Pair().compare({ SOURCE: path.join(base, "nowhere") }), /nowhere' \(old\): No such file/);
    cannot(new Pair().compare({ TARGET: path.join(base, "nowhere") }), /nowhere' \(new\): No such file/);
    cannot(new Pair().compare({ WORKERS: "many" }), /WORKERS/);
    const pair = new Pair();
    cannot(pair.compare({ TARGET: path.join(pair.old, ".") }), /are the same folder/);
    const lost = new Pair().compare({ RESULT: path.join(base, "nowhere/result") });
    assert.equal(lost.status, 2);
    assert.match(lost.err, /cannot write/);
  });

  it("a file that a plain user cannot read is exit 2", function () {
    needs(this, !root, "a user other than root");
    const pair = new Pair();
    fs.chmodSync(path.join(pair.old, "two"), 0);
    cannot(pair.compare(), /'two' \(old\): Permission denied/);
  });
});
