import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { root } from "../support/environment";
import { imagePrograms } from "../support/image-programs";
import { cannotMount, LoopMounts } from "../support/loop-mounts";
import { skip } from "../support/needs";

const scripts = join(root, "components", "volumes", "scripts");
const support = join(root, "test", "support");
const state = ".home-cluster-migration";
const own = { SOURCE_UID: "uid-old", TARGET_UID: "uid-new", VOLUME: "media/library", JOB: "job", WORKERS: "16" };
const fence = { PHASE: "final", FENCE: "fence-1" } as const;

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

interface Verdict {
  readonly differences: number;
  readonly first: readonly string[];
  readonly entries: number;
  readonly hashed: number;
  readonly trusted: number;
}

describe("copy.sh and verify.py as in their Jobs, between two ext4 file systems (no NFS, no Longhorn, no power cut)", () => {
  let base = "";
  let image = "";
  let python = "";
  let mounts: LoopMounts;
  let old = "";
  let target = "";
  let count = 0;

  before(function () {
    base = fs.mkdtempSync(join(process.env.TMPDIR ?? "/tmp", "files-"));
    const cannot = cannotMount(base);
    if (cannot !== undefined) skip(this, cannot);
    mounts = new LoopMounts(base, 900);
    image = imagePrograms(join(base, "image")) ?? assert.fail();
    // Not what stands on PATH, which may be a wrapper that is a shell script.
    python = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout.trim();
  });

  function run(program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Ended {
    const done = spawnSync(program, args, { env: environment, encoding: "latin1", maxBuffer: 1 << 28 });
    return { status: done.status, out: done.stdout, err: done.stderr };
  }

  function must(ended: Ended): string {
    assert.equal(ended.status, 0, ended.out.slice(-2000) + ended.err.slice(-2000));
    return ended.out;
  }

  const tree = (...args: readonly (string | number)[]): string =>
    must(run(python, ["-I", "-S", join(support, "tree.py"), ...args.map(String)], { PATH: process.env.PATH ?? "" }));

  /** A file system that the source is, mounted a second time for reading alone, and one for the target. */
  function pair(mebibytes?: number): { readonly written: string } {
    count += 1;
    const written = mounts.make(`source-${count}`, mebibytes);
    old = join(base, `old-${count}`);
    fs.mkdirSync(old);
    must(run("mount", ["--bind", written, old], { PATH: process.env.PATH ?? "" }));
    must(run("mount", ["-o", "remount,bind,ro", old], { PATH: process.env.PATH ?? "" }));
    target = mounts.make(`target-${count}`, mebibytes);
    return { written };
  }

  function forget(): void {
    for (const name of [old, join(base, `source-${count}`), join(base, `target-${count}`)]) {
      must(run("umount", [name], { PATH: process.env.PATH ?? "" }));
    }
    for (const name of [`source-${count}.img`, `target-${count}.img`]) fs.rmSync(join(base, name));
  }

  /** With the programs of the Job's image alone: busybox's and rsync. */
  const copyEnvironment = (more: Readonly<Record<string, string>>): Record<string, string> => ({
    ...own,
    PATH: image,
    SOURCE: old,
    TARGET: target,
    TMPDIR: process.env.TMPDIR ?? "/tmp",
    ...more,
  });
  const copy = (more: Readonly<Record<string, string>> = {}): Ended =>
    run(join(image, "sh"), [join(scripts, "copy.sh")], copyEnvironment(more));

  /** Nothing but Python's standard library, and nothing on PATH. */
  function verify(more: Readonly<Record<string, string>> = {}): Ended & { readonly result: Verdict } {
    const result = join(base, "result");
    fs.rmSync(result, { force: true });
    const ended = run(python, ["-I", "-S", join(scripts, "verify.py")], {
      ...own,
      PATH: "",
      SOURCE: old,
      TARGET: target,
      RESULT: result,
      ...more,
    });
    return { ...ended, result: JSON.parse(fs.readFileSync(result, "utf8")) as Verdict };
  }

  function same(more: Readonly<Record<string, string>> = {}): Verdict {
    const { result, ...ended } = verify(more);
    must(ended);
    assert.equal(result.differences, 0, result.first.join("\n"));
    return result;
  }

  const marker = (): Readonly<Record<string, unknown>> =>
    JSON.parse(fs.readFileSync(join(target, state, "marker"), "utf8")) as Record<string, unknown>;

  /** Of the file system's own clock, which is some milliseconds late. */
  async function nextSecond(): Promise<void> {
    const next = Math.floor(Date.now() / 1000) + 1;
    while (Date.now() / 1000 < next + 0.05) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Everything that was made is older than what the copy takes for changed, by more than its listing takes. */
  async function settle(written: string): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 6000));
    tree("touch", written);
  }

  describe("20,000 files with every kind of trouble, written to while they are copied", () => {
    let written = "";
    let writer: ChildProcess | undefined;

    before(async () => {
      ({ written } = pair());
      tree("make", written, 20_000, 1, 8);
      tree("alike", written, 8);
      fs.mkdirSync(join(written, "lost+found", "found"), { recursive: true });
      await settle(written);
    });
    after(() => {
      writer?.kill("SIGKILL");
      forget();
    });

    it("warm: the copy ends well beside a workload that writes, deletes and moves; what it leaves is made equal by the final pass", async () => {
      writer = spawn(python, ["-I", "-S", join(support, "tree.py"), "churn", written, "7"], { stdio: "ignore" });
      const ended = once(writer, "exit");
      const warm = copy();
      assert.equal(writer.exitCode, null, "the writer had ended");
      must(warm);
      assert.equal(marker().state, "finished");
      // While it still writes: differences are found, and no crash.
      const beside = verify({ STATE: join(target, state) });
      must(beside);
      assert.ok(beside.result.differences > 0, "nothing was written meanwhile: the test shows nothing");
      writer.kill("SIGKILL");
      await ended;
      const changed = Number(tree("change", written, 1));
      assert.ok(changed >= 190, String(changed));
      must(copy(fence));
      const found = same(fence);
      assert.ok(found.trusted > 1000, `${found.trusted} hashes were believed`);
      assert.ok(found.hashed >= changed / 2, `${found.hashed} files were read`);
      const all = same({ ...fence, HASH: "all" });
      assert.equal(all.trusted, 0);
      assert.equal(all.hashed, found.hashed + found.trusted);
    });

    it("no hole was filled, and lost+found stayed at home", () => {
      const counted = JSON.parse(
        must(run(python, ["-I", join(support, "losses.py"), join(scripts, "verify.py"), old, target])),
      ) as { readonly found: unknown };
      assert.deepEqual(counted.found, {});
      assert.deepEqual(fs.readdirSync(join(target, "lost+found")), []);
    });

    it("corruptions, one of each kind at a time in distinct files: every one is named, and nothing else", function () {
      const rounds = 3;
      const line = must(
        run(
          python,
          ["-I", "-S", join(support, "corrupt.py"), join(scripts, "verify.py"), old, target, String(rounds), "5"],
          { ...own, ...fence },
        ),
      );
      const { tried, caught, unexpected, missed } = JSON.parse(line) as {
        readonly tried: Readonly<Record<string, number>>;
        readonly caught: Readonly<Record<string, number>>;
        readonly unexpected: readonly string[];
        readonly missed: readonly string[];
      };
      const sum = (counts: Readonly<Record<string, number>>): number =>
        Object.values(counts).reduce((all, one) => all + one, 0);
      process.stdout.write(`      corruptions tried and caught, half with kept hashes, half with every file read:\n`);
      for (const [kind, number] of Object.entries(tried)) {
        process.stdout.write(`        ${kind.padEnd(34)} ${number} tried, ${caught[kind] ?? 0} caught\n`);
      }
      process.stdout.write(`        ${"all".padEnd(34)} ${sum(tried)} tried, ${sum(caught)} caught\n`);
      assert.deepEqual(missed, []);
      assert.deepEqual(unexpected, []);
      assert.deepEqual(caught, tried);
      assert.equal(sum(tried), 24 * 2 * rounds);
    });

    it("each Job that comes back writes no byte; finalize takes the marker and leaves the files", () => {
      const blocks = (): string => must(run("stat", ["-f", "-c", "%f %d", target], { PATH: image }));
      const before = [fs.statSync(join(target, state, "marker"), { bigint: true }).ctimeNs, blocks()];
      for (const again of [{}, fence, { ...fence, JOB: "another" }] as const) {
        assert.match(must(copy(again)), /nothing was written/);
      }
      assert.deepEqual([fs.statSync(join(target, state, "marker"), { bigint: true }).ctimeNs, blocks()], before);
      must(copy({ PHASE: "finalize" }));
      assert.equal(fs.existsSync(join(target, state)), false);
      // The root's own time tells that a name went from it. By then it is the workload's to change, so it is not put back.
      const left = verify();
      must(left);
      assert.match(left.result.first.join("\n"), /^'\.': mtime: .*$/);
      assert.equal(left.result.differences, 1);
    });
  });

  it("killed at any moments, in both phases: the next run goes on, what was there is kept, nothing differs at the end", async function () {
    const { written } = pair();
    tree("make", written, 3000, 2, 8);
    await settle(written);
    /** By inode, which rsync never keeps when it copies a file. */
    const inodes = (): Map<string, number> => {
      const found = must(
        run(
          "find",
          [
            target,
            "-type",
            "f",
            "-size",
            "+0",
            "!",
            "-path",
            `*${state}*`,
            "!",
            "-name",
            ".*",
            "-exec",
            "stat",
            "-c",
            "%i %n",
            "{}",
            "+",
          ],
          { PATH: image },
        ),
      );
      return new Map(
        found.split("\n").map((line) => [line.slice(line.indexOf(" ") + 1), Number(line.split(" ", 1)[0])]),
      );
    };
    let kills = 0;
    const killed = async (more: Readonly<Record<string, string>>, after: number): Promise<boolean> => {
      const child = spawn(join(image, "sh"), [join(scripts, "copy.sh")], {
        env: copyEnvironment(more),
        detached: true,
        stdio: "ignore",
      });
      const ended = once(child, "exit");
      const timer = setTimeout(() => process.kill(-(child.pid ?? assert.fail()), "SIGKILL"), after);
      const [status] = (await ended) as [number | null];
      clearTimeout(timer);
      if (status !== null) assert.equal(status, 0);
      kills += status === null ? 1 : 0;
      return status === null;
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 30, max: 1500 }), { minLength: 2, maxLength: 4 }),
        fc.array(fc.integer({ min: 30, max: 900 }), { minLength: 1, maxLength: 3 }),
        async (warm, final) => {
          target = mounts.make(`target-${count}`);
          // What the round before changed is old by now: it would count as changed while this listing was made, and be brought twice.
          await settle(written);
          for (const after of warm) {
            const there = fs.existsSync(join(target, state)) ? inodes() : new Map<string, number>();
            const cut = await killed({}, after);
            const now = inodes();
            const again = [...there].filter(([name, inode]) => now.get(name) !== inode);
            // A file that was under way in the second before the first listing may be brought again; here that is one.
            assert.ok(
              again.length <= 1,
              `${again.length} of ${there.size} files were copied twice: ${again.slice(0, 3).join(", ")}`,
            );
            if (!cut) break;
          }
          must(copy());
          same({ STATE: join(target, state) });
          await nextSecond();
          tree("change", written, 1, final[0] ?? 0);
          for (const after of final) await killed(fence, after);
          must(copy(fence));
          same(fence);
        },
      ),
      { numRuns: 4, seed: 6, endOnFailure: true },
    );
    assert.ok(kills >= 6, `${kills} kills`);
    forget();
  });

  it("any sequence of changes to names, folders, links and contents between warm and final pass: the final pass makes both sides equal", async () => {
    const { written } = pair(64);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 1, max: 60 }),
        async (seed, changes) => {
          must(run("umount", [old], { PATH: process.env.PATH ?? "" }));
          const anew = mounts.make(`source-${count}`, 64);
          must(run("mount", ["--bind", anew, old], { PATH: process.env.PATH ?? "" }));
          must(run("mount", ["-o", "remount,bind,ro", old], { PATH: process.env.PATH ?? "" }));
          target = mounts.make(`target-${count}`, 64);
          tree("make", anew, 150, seed, 8);
          await settle(anew);
          must(copy());
          same({ STATE: join(target, state) });
          await nextSecond();
          tree("mutate", anew, changes, seed);
          must(copy(fence));
          same(fence);
          same({ ...fence, HASH: "all" });
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
    assert.ok(written);
    forget();
  });

  it("a full target fails the copy, which goes on once there is room", async () => {
    const { written } = pair(200);
    tree("make", written, 3000, 3, 32);
    await settle(written);
    const name = `small-${count}`;
    target = mounts.make(name, 24);
    const full = copy();
    assert.notEqual(full.status, 0, full.out);
    assert.match(full.err, /No space left on device|could not be written/);
    assert.equal(marker().state, "copying");
    const left = verify();
    must(left);
    assert.ok(left.result.differences > 0);
    const file = join(base, `${name}.img`);
    const more = { PATH: process.env.PATH ?? "" };
    must(run("umount", [target], more));
    fs.truncateSync(file, 200 << 20);
    run("e2fsck", ["-f", "-p", file], more);
    must(run("resize2fs", [file], more));
    must(run("mount", ["-o", "loop", file, target], more));
    assert.match(must(copy()), /what is there already is kept/);
    same();
    must(run("umount", [target], { PATH: process.env.PATH ?? "" }));
    forget();
  });

  it("a file that the disk does not give fails the copy and the verification, by name; once it does, the copy goes on", async () => {
    const { written } = pair(200);
    tree("make", written, 500, 4, 32);
    await settle(written);
    must(copy());
    same({ STATE: join(target, state) });
    const where = must(
      run(python, [
        "-I",
        "-S",
        "-c",
        `
import fcntl, os, stat, struct, sys
last, size = (0, b""), os.statvfs(sys.argv[1]).f_frsize
for folder, _, names in os.walk(os.fsencode(sys.argv[1])):
    for name in names:
        path = os.path.join(folder, name)
        st = os.lstat(path)
        if stat.S_ISREG(st.st_mode) and st.st_size and st.st_blocks and st.st_nlink == 1:
            with open(path, "rb") as file:
                block = struct.unpack("i", fcntl.ioctl(file, 1, struct.pack("i", (st.st_size - 1) // size)))[0]
            last = max(last, (block, path))
print(last[0] * size)
sys.stdout.flush()
sys.stdout.buffer.write(last[1])
`,
        written,
      ]),
    );
    const at = Number(where.split("\n", 1)[0]);
    const victim = Buffer.from(where.slice(where.indexOf("\n") + 1), "latin1");
    // The same size and time, another change time: the final pass has to read it.
    const { atime, mtime } = fs.statSync(victim);
    fs.chmodSync(victim, 0o604);
    fs.utimesSync(victim, atime, mtime);
    const device = join(base, `source-${count}.img`);
    must(run("sync", ["-f", written], { PATH: image }));
    const whole = fs.readFileSync(device).subarray(at);
    fs.truncateSync(device, at);
    fs.writeFileSync("/proc/sys/vm/drop_caches", "3");
    assert.throws(() => fs.readFileSync(victim), /EIO/, "the file can still be read: the test shows nothing");
    const failed = copy(fence);
    assert.equal(failed.status, 23, failed.out + failed.err);
    assert.equal(marker().state, "copying");
    const fd = fs.openSync(device, "r+");
    fs.writeSync(fd, whole, 0, whole.length, at);
    fs.closeSync(fd);
    must(copy(fence));
    fs.truncateSync(device, at);
    fs.writeFileSync("/proc/sys/vm/drop_caches", "3");
    const unread = verify({ ...fence, HASH: "all" });
    assert.equal(unread.status, 2, unread.out);
    assert.match(unread.err, /cannot compare: .*\(old\): Input\/output error/);
    const fd2 = fs.openSync(device, "r+");
    fs.writeSync(fd2, whole, 0, whole.length, at);
    fs.closeSync(fd2);
    fs.writeFileSync("/proc/sys/vm/drop_caches", "3");
    same({ ...fence, HASH: "all" });
    forget();
  });
});
