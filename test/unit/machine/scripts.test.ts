import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagesOf } from "../../machine/image";
import { leash } from "../../machine/namespace";
import { root } from "../../support/environment";
import { needs, skip } from "../../support/needs";
import { guestScripts } from "../../support/nodes";

const folder = join(root, "test", "machine");

describe("test/machine: its scripts", () => {
  for (const script of readdirSync(folder).filter((name) => name.endsWith(".sh"))) {
    it(`${script} is what shellcheck has nothing to say about`, function () {
      needs(this, "shellcheck");
      const { status, stdout } = spawnSync("shellcheck", [join(folder, script)], { encoding: "utf8" });
      assert.equal(status, 0, stdout);
    });
  }

  it("the image's archive gets every package that provisioning may install", () => {
    const text = readFileSync(join(guestScripts, "provision.sh"), "utf8");
    const found = packagesOf(text);
    for (const name of ["open-iscsi", "nfs-common", "nftables", "docker.io", "docker-cli"])
      assert.ok(found.includes(name), name);
    assert.throws(() => packagesOf(text.replaceAll("packages", "wanted")), /no line packages=/);
  });
});

describe("test/machine/leash.sh (needs root: says nothing of a machine where namespaces are refused)", function () {
  this.timeout(30_000);
  let work: string;
  const own = ["--mount", "--pid", "--fork", "--kill-child", "bash", leash];

  before(function () {
    needs(this, "unshare");
    const { status, stderr } = spawnSync("unshare", ["--mount", "--pid", "--fork", "true"], { encoding: "utf8" });
    if (status !== 0) skip(this, `needs namespaces of its own: ${stderr.trim()}`);
  });
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "leash-"));
    writeFileSync(join(work, "file"), "");
  });

  it("ends with the command, with its exit code, and removes the folder with what was mounted there", async () => {
    const command = `mkdir "$0/proc" && mount -t proc proc "$0/proc" && exit 7`;
    const child = spawn("unshare", [...own, work, "bash", "-c", command, work], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    assert.equal(await new Promise((resolve) => child.once("exit", resolve)), 7);
    assert.equal(existsSync(work), false);
  });

  for (const [what, command] of [
    ["a command that would go on", ["sleep", "600"]],
    ["a daemon of such a command", ["bash", "-c", "setsid sleep 600 & wait"]],
    ["nothing but what entered later", []],
  ] as const) {
    it(`kills ${what} when whoever started it is gone, and removes the folder`, async () => {
      const child = spawn("unshare", [...own, work, ...command], { stdio: ["pipe", "pipe", "inherit"] });
      const ended = new Promise((resolve) => child.once("exit", resolve));
      const id = String(await new Promise((resolve) => child.stdout.once("data", resolve))).trim();
      const later = spawn("nsenter", ["--target", id, "--pid", "--", "sh", "-c", "echo in; exec sleep 600"]);
      await new Promise((resolve) => later.stdout.once("data", resolve));
      const killed = new Promise((resolve) => later.once("exit", (code, signal) => resolve(signal ?? code)));
      child.stdin.destroy();
      assert.equal(await ended, 130);
      assert.ok(["SIGKILL", 137].includes((await killed) as string | number), String(await killed));
      assert.equal(existsSync(work), false);
      assert.equal(existsSync(`/proc/${id}`), false);
    });
  }
});
