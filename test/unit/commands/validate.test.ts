import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { main } from "../../../commands/validate";
import { repairLinks } from "../../../environment/links";
import { root } from "../../support/environment";

const home = readFileSync(join(root, "Pulumi.home.yaml"), "utf8");
const warning =
  "warning: oldNodes[1]: rancheros-2: once it has left, 4 etcd members are there: an even number survives no more losses than 3: retire the next node soon after this one";
const taken =
  "nodes[0].vmId: 101: is the vmId of old node rancheros-1 already (oldNodes[0].vmId): choose an id that no machine in this file has or had";

describe("commands/validate", () => {
  let folder = "";
  let elsewhere = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "home-cluster-validate-"));
    elsewhere = mkdtempSync(join(tmpdir(), "home-cluster-elsewhere-"));
    writeFileSync(join(folder, "Pulumi.home.yaml"), home);
    repairLinks(folder, "home");
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
    rmSync(elsewhere, { recursive: true });
  });
  const broken = home.replace("vmId: 201", "vmId: 101");

  async function run(...args: string[]): Promise<{ code: number; out: readonly string[]; error: readonly string[] }> {
    const out: string[] = [];
    const error: string[] = [];
    const code = await main(args, {
      folder,
      from: [elsewhere, folder],
      out: (line) => out.push(line),
      error: (line) => error.push(line),
    });
    return { code, out, error };
  }

  it("exits 0 for a valid environment, warnings shown", async () => {
    assert.deepEqual(await run("home"), { code: 0, out: [warning, "home: valid, 1 warning"], error: [] });
  });

  it("exits 1 with every problem", async () => {
    writeFileSync(join(folder, "Pulumi.home.yaml"), broken);
    assert.deepEqual(await run("home"), { code: 1, out: [taken, warning, "home: 1 problem, 1 warning"], error: [] });
  });

  it("reports links that are none, for an environment by its name only", async () => {
    rmSync(join(folder, "Pulumi.home-nodes.yaml"));
    writeFileSync(join(folder, "Pulumi.home-nodes.yaml"), "config: {}\n");
    rmSync(join(folder, "Pulumi.home-volumes.yaml"));
    const byName = await run("home");
    assert.equal(byName.code, 1);
    assert.deepEqual(byName.out, [
      warning,
      "Pulumi.home-nodes.yaml: a file of its own: must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: " +
        "take over into Pulumi.home.yaml what only this one has (`diff Pulumi.home.yaml Pulumi.home-nodes.yaml`), remove it, and run `npm run links`",
      "Pulumi.home-volumes.yaml: (missing): must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: run `npm run links -- home`",
      "home: 2 problems, 1 warning",
    ]);
    const byPath = await run(join(folder, "Pulumi.home.yaml"));
    assert.equal(byPath.code, 0);
  });

  it("takes a path, absolute or relative to where the operator stands, with any name", async () => {
    writeFileSync(join(elsewhere, "draft.yml"), broken);
    for (const path of [
      join(elsewhere, "draft.yml"),
      "draft.yml",
      "./draft.yml",
      `../${relative(dirname(elsewhere), elsewhere)}/draft.yml`,
    ]) {
      const { code, out } = await run(path);
      assert.equal(code, 1, path);
      assert.deepEqual(out, [taken, warning, `${path}: 1 problem, 1 warning`]);
    }
    // npm runs scripts in the checkout: what is not where the operator stands may be there.
    assert.equal((await run("Pulumi.home.yaml")).code, 0);
  });

  it("reads a layer's file through its link", async () => {
    assert.equal((await run("Pulumi.home-nodes.yaml")).code, 0);
  });

  it("says that an environment is missing, or that a stack was named", async () => {
    const wanted = "give one of home, or the path of a file";
    assert.deepEqual((await run("lab")).out, [
      `Pulumi.lab.yaml: lab: there is no such environment: ${wanted}`,
      "lab: 1 problem",
    ]);
    const stack = await run("home-nodes");
    assert.equal(stack.code, 1);
    assert.deepEqual(stack.out, [
      `Pulumi.home-nodes.yaml: home-nodes: is a stack, one layer of an environment: ${wanted}`,
      "home-nodes: 1 problem",
    ]);
    assert.deepEqual((await run("none.yaml")).out, [
      "none.yaml: (missing): there is no such file: give the name of an environment, or the path of a file like Pulumi.home.yaml",
      "none.yaml: 1 problem",
    ]);
  });

  it("checks all environments without an argument", async () => {
    writeFileSync(join(folder, "Pulumi.away.yaml"), broken);
    repairLinks(folder, "away");
    assert.deepEqual(await run(), {
      code: 1,
      out: [taken, warning, "away: 1 problem, 1 warning", warning, "home: valid, 1 warning"],
      error: [],
    });
  });

  describe("--json", () => {
    it("prints one object for one environment and nothing else", async () => {
      writeFileSync(join(folder, "Pulumi.home.yaml"), broken);
      const { code, out, error } = await run("--json", "home");
      assert.equal(code, 1);
      assert.deepEqual(error, []);
      assert.equal(out.length, 1);
      assert.deepEqual(JSON.parse(out[0] ?? ""), {
        environment: "home",
        ok: false,
        problems: [
          {
            severity: "error",
            rule: "duplicateVmIds",
            path: "nodes[0].vmId",
            value: "101",
            why: "is the vmId of old node rancheros-1 already (oldNodes[0].vmId)",
            remedy: "choose an id that no machine in this file has or had",
          },
          {
            severity: "warning",
            rule: "etcdWhileRetiring",
            path: "oldNodes[1]",
            value: "rancheros-2",
            why: "once it has left, 4 etcd members are there: an even number survives no more losses than 3",
            remedy: "retire the next node soon after this one",
          },
        ],
      });
    });

    it("is ok with warnings", async () => {
      const { code, out } = await run("home", "--json");
      assert.equal(code, 0);
      const report = JSON.parse(out.join("")) as { ok: boolean; problems: unknown[] };
      assert.deepEqual([report.ok, report.problems.length], [true, 1]);
    });

    it("prints one object over all environments without an argument", async () => {
      writeFileSync(join(folder, "Pulumi.away.yaml"), "config: [\n  home-cluster:domain: x\n");
      repairLinks(folder, "away");
      const { code, out } = await run("--json");
      assert.equal(code, 1);
      const report = JSON.parse(out.join("")) as { ok: boolean; environments: { environment: string; ok: boolean }[] };
      assert.deepEqual(
        [report.ok, report.environments.map(({ environment, ok }) => [environment, ok])],
        [
          false,
          [
            ["away", false],
            ["home", true],
          ],
        ],
      );
    });
  });

  it("exits 2 on wrong usage, with nothing on standard output", async () => {
    for (const args of [["--strict"], ["home", "lab"], ["-j"], ["--json=yes"]]) {
      const { code, out, error } = await run(...args);
      assert.deepEqual([code, out], [2, []], args.join(" "));
      assert.match(error.join("\n"), /^usage: npm run validate/);
    }
    rmSync(join(folder, "Pulumi.home.yaml"));
    symlinkSync("gone", join(folder, "Pulumi.home.yaml"));
    const nothing = await run();
    assert.deepEqual([nothing.code, nothing.out], [2, []]);
    assert.match(nothing.error.join("\n"), /^no file Pulumi\.<environment>\.yaml/);
  });

  it("imports nothing of Pulumi, by any way: it starts at once and needs no engine", () => {
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { fileName } of ts.preProcessFile(readFileSync(file, "utf8"), true, true).importedFiles) {
        if (fileName.startsWith(".")) visit(`${resolve(dirname(file), fileName)}.ts`);
        else packages.add(fileName);
      }
    };
    visit(join(root, "commands", "validate.ts"));
    visit(join(root, "commands", "links.ts"));
    assert.deepEqual([...packages].filter((name) => !name.startsWith("node:")).sort(), [
      "croner",
      "ipaddr.js",
      "semver",
      "yaml",
      "zod",
    ]);
    assert.ok(seen.has(join(root, "environment", "rules", "etcd.ts")));
  });

  it("runs as npm runs it, on the committed environments, with exit codes and clean JSON", () => {
    const command = [join(root, "commands", "run"), "validate"];
    const report = JSON.parse(execFileSync("node", [...command, "home", "--json"], { encoding: "utf8" })) as object;
    assert.deepEqual(Object.keys(report), ["environment", "ok", "problems"]);
    const refused = spawnSync("node", [...command, "missing.yaml"], { encoding: "utf8", cwd: elsewhere });
    assert.deepEqual([refused.status, refused.stderr], [1, ""]);
    const usage = spawnSync("node", [...command, "--wrong"], { encoding: "utf8" });
    assert.deepEqual([usage.status, usage.stdout], [2, ""]);
  });
});
