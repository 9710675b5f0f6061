import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diff } from "../../../diff/run";
import type { Report } from "../../../diff/report";
import { SideFailure } from "../../../diff/side";
import { edited, named, TestRepository } from "../../support/diff";

describe("diff of two sides of a repository (each in a process of its own; npm's registry is never asked)", function () {
  this.timeout(120_000);
  const repository = new TestRepository();
  const cache = join(repository.folder, ".cache", "diff");
  after(() => repository.dispose());

  function compare(base: string, head?: string): Promise<Report> {
    return diff({ checkout: repository.folder, cache, base, head, say: () => undefined });
  }

  it("the same on both sides: nothing changes, and the base's recording is kept for the next time", async () => {
    const report = await compare("HEAD");
    assert.deepEqual([report.failures, report.notes, report.summary.update], [[], [], 0]);
    assert.deepEqual(
      report.stacks.flatMap(({ resources }) => resources),
      [],
    );
    const [kept, ...more] = readdirSync(join(cache, "recordings"));
    assert.deepEqual(more, []);
    // A kept recording that somebody changed shows that it is what is read.
    const path = join(cache, "recordings", kept ?? "");
    const { version, layers } = JSON.parse(repository.read(join(".cache", "diff", "recordings", kept ?? ""))) as {
      version: number;
      layers: { stack: string; resources: unknown[] }[];
    };
    writeFileSync(path, JSON.stringify({ version, layers: layers.map((layer) => ({ ...layer, resources: [] })) }));
    assert.ok((await compare("HEAD")).summary.create > 100);
    rmSync(path);
  });

  it("the working tree against a commit, and a commit against a commit: the same report", async () => {
    repository.write("Pulumi.home.yaml", edited([[["nodes", 0, "cores"], 6]]));
    const working = await compare("HEAD");
    assert.deepEqual(named(working.stacks), [
      "home-nodes debian-1-restart-step update",
      "home-nodes debian-1-vm-machine update",
    ]);
    const base = repository.git("rev-parse", "HEAD");
    const head = repository.commit("more cores");
    const committed = await compare(base, head);
    assert.deepEqual(committed.stacks, working.stacks);
    assert.deepEqual([committed.head.commit, working.head.commit], [head, undefined]);
    repository.git("reset", "--quiet", "--hard", base);
  });

  it("each side runs its own code: a component that changed on one side changes what it registers", async () => {
    const file = "components/services/metallb.ts";
    repository.write(file, repository.read(file).replace("const helmTimeout = 600", "const helmTimeout = 700"));
    const report = await compare("HEAD");
    repository.git("checkout", "--quiet", file);
    const certain = report.stacks.map((stack) => ({
      ...stack,
      resources: stack.resources.filter(({ conditional }) => !conditional),
    }));
    assert.deepEqual(named(certain), ["home-services metallb-release update", "lab-services metallb-release update"]);
    // What waits for the release's answer is named as a preview names it, and told apart.
    assert.deepEqual(
      named(report.stacks).filter((line) => line.startsWith("home-services")),
      [
        "home-services metallb-release update",
        "home-services metallb-webhook-ready update",
        "home-services pools-default replace",
        "home-services pools-default-announcement replace",
      ],
    );
  });

  it("a head that does not evaluate is a failure with its reason, and deletes nothing", async () => {
    repository.write("Pulumi.home.yaml", edited([[["nodes", 1, "vmId"], 201]]));
    const report = await compare("HEAD");
    repository.git("checkout", "--quiet", "Pulumi.home.yaml");
    assert.deepEqual(
      report.failures.map(({ side, stack }) => [side, stack]),
      [["head", "home-nodes"]],
    );
    assert.match(report.failures[0]?.message ?? "", /nodes\[1\]\.vmId: 201/);
    assert.equal(report.summary.delete, 0);
    assert.deepEqual(
      [...new Set(report.stacks.filter(({ environment }) => environment === "home").map(({ state }) => state))],
      ["withheld"],
    );
    assert.deepEqual(
      [...new Set(report.stacks.filter(({ environment }) => environment === "lab").map(({ state }) => state))],
      ["compared"],
    );
  });

  it("a base that does not evaluate is one, too", async () => {
    repository.write("Pulumi.home.yaml", edited([[["nodes", 1, "vmId"], 201]]));
    const broken = repository.commit("broken");
    const report = await compare(broken, "HEAD~1");
    repository.git("reset", "--quiet", "--hard", "HEAD~1");
    assert.deepEqual(
      report.failures.map(({ side }) => side),
      ["base"],
    );
    assert.deepEqual([report.summary.create, report.summary.delete], [0, 0]);
  });

  it("a program that does not even load is a failure of its side", async () => {
    repository.write("stacks/nodes.ts", "throw new Error('no such thing');\n");
    const report = await compare("HEAD");
    repository.git("checkout", "--quiet", "stacks/nodes.ts");
    assert.deepEqual(
      report.failures.map(({ side, stack }) => [side, stack]),
      [["head", undefined]],
    );
    assert.match(report.failures[0]?.message ?? "", /no such thing/);
  });

  it("an environment that is gone is said to be gone; one that is new is created", async () => {
    for (const file of [
      "Pulumi.lab.yaml",
      ...["nodes", "services", "volumes", "rancheros"].map((l) => `Pulumi.lab-${l}.yaml`),
    ])
      rmSync(join(repository.folder, file));
    const gone = await compare("HEAD");
    repository.git("checkout", "--quiet", ".");
    assert.deepEqual(gone.failures, []);
    assert.deepEqual(
      [...new Set(gone.stacks.filter(({ environment }) => environment === "lab").map(({ state }) => state))],
      ["gone"],
    );
    assert.deepEqual([gone.summary.create, gone.summary.update], [0, 0]);
  });

  it("a base from before this command is recorded by this checkout's recorder, on its own program, and that is said", async () => {
    rmSync(join(repository.folder, "diff"), { recursive: true });
    repository.write("Pulumi.home.yaml", edited([[["nodes", 0, "cores"], 6]]));
    const older = repository.commit("before there was a diff");
    repository.git("reset", "--quiet", "--hard", "HEAD~1");
    const report = await compare(older);
    assert.deepEqual(report.failures, []);
    assert.match(report.notes.join(), /the base has no recorder of its own/);
    assert.deepEqual(named(report.stacks), [
      "home-nodes debian-1-restart-step update",
      "home-nodes debian-1-vm-machine update",
    ]);
  });

  it("a base without a program to run is older than the command: a failure, and no deletion", async () => {
    repository.git("checkout", "--quiet", "--orphan", "other");
    repository.git("rm", "-r", "--quiet", "--cached", ".");
    repository.git("add", "README.md");
    repository.git("commit", "--quiet", "--message", "only a readme");
    const first = repository.git("rev-parse", "HEAD");
    repository.git("checkout", "--quiet", "--force", "main");
    const report = await compare(first);
    assert.deepEqual(
      report.failures.map(({ side, stack }) => [side, stack]),
      [["base", undefined]],
    );
    assert.match(report.failures[0]?.message ?? "", /older than this command/);
    assert.equal(report.summary.delete, 0);
  });

  it("a danger is acknowledged by a line that this very change adds, and by no other", async () => {
    const dangerous = edited([[["oldNodes", 0, "retired"], true]]);
    const line = "# diff: accept old-node-retired: its workloads moved on Monday\n";
    const acknowledged = async (): Promise<unknown> =>
      (await compare("HEAD")).dangers.map((danger) => danger.acknowledged?.why);
    repository.write("Pulumi.home.yaml", dangerous);
    assert.deepEqual(await acknowledged(), [undefined]);
    repository.write("Pulumi.home.yaml", `${line}${dangerous}`);
    assert.deepEqual(await acknowledged(), ["its workloads moved on Monday"]);
    // It stood there before: for another change, now also moved to its end.
    repository.write("Pulumi.home.yaml", `${line}${edited([])}`);
    repository.commit("an older acknowledgement");
    repository.write("Pulumi.home.yaml", `${dangerous}${line}`);
    assert.deepEqual(await acknowledged(), [undefined]);
    repository.git("reset", "--quiet", "--hard", "HEAD~1");
  });

  it("packages that are not those of the lock are refused: a working tree runs what is installed", async () => {
    const lock = repository.read("package-lock.json");
    repository.write("package-lock.json", lock.replace(/("node_modules\/zod": \{\s+"version": )"[^"]+"/, '$1"0.0.1"'));
    const report = await compare("HEAD");
    repository.git("checkout", "--quiet", "package-lock.json");
    assert.match(report.failures[0]?.message ?? "", /run `npm ci`/);
  });

  it("a ref that is none is refused with its name, an option in its place, too", async () => {
    for (const ref of ["no-such-ref", "--output=x"]) await assert.rejects(compare(ref), SideFailure);
    assert.ok(!existsSync(join(repository.folder, "x")));
  });

  it("the recorder of a side sees nothing of this process's environment", async () => {
    process.env.PULUMI_ACCESS_TOKEN = "a-token";
    repository.write(
      "stacks/nodes.ts",
      `throw new Error(Object.keys(process.env).sort().join() + "; " + process.env.HOME);\n`,
    );
    const report = await compare("HEAD");
    delete process.env.PULUMI_ACCESS_TOKEN;
    repository.git("checkout", "--quiet", "stacks/nodes.ts");
    const [, names = ""] = /Error: ([\w,]+); /.exec(report.failures[0]?.message ?? "") ?? [];
    // Node itself hands NODE_V8_COVERAGE to every process that one under coverage starts, whatever its environment says.
    const known = [
      "HOME",
      "LANG",
      "NODE_CHANNEL_FD",
      "NODE_CHANNEL_SERIALIZATION_MODE",
      "PATH",
      "TMPDIR",
      "NODE_V8_COVERAGE",
    ];
    assert.deepEqual(
      names.split(",").filter((name) => !known.includes(name)),
      [],
    );
    assert.notEqual(names, "");
  });
});
