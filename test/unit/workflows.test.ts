import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { root } from "../support/environment";
import { needs, skip } from "../support/needs";
import { lint, linters } from "../support/workflows";

const permissions = z.record(z.string(), z.string());
const step = z.object({
  name: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.unknown()).default({}),
});
const workflow = z.object({
  name: z.string(),
  on: z.record(z.string(), z.unknown()),
  permissions,
  jobs: z.record(
    z.string(),
    z.object({ permissions, if: z.string().default(""), environment: z.string().optional(), steps: z.array(step) }),
  ),
});

const folder = join(root, ".github", "workflows");
const texts = new Map(
  [
    ...readdirSync(folder).map((name) => [name, join(folder, name)] as const),
    ["action.yml", join(root, ".github", "actions", "live", "action.yml")] as const,
  ].map(([name, path]) => [name, readFileSync(path, "utf8")] as const),
);
const workflows = new Map(
  [...texts]
    .filter(([name]) => name !== "action.yml")
    .map(([name, text]) => [name, workflow.parse(parse(text))] as const),
);

function get(name: string): z.infer<typeof workflow> {
  const found = workflows.get(name);
  assert.ok(found, name);
  return found;
}

describe(".github: the workflows (does not prove that GitHub runs them, or that a digest is still the release that its comment names)", () => {
  it("are these, each started by what it is for", () => {
    assert.deepEqual(Object.fromEntries([...workflows].map(([name, { on }]) => [name, Object.keys(on)])), {
      "check.yml": ["pull_request", "push"],
      "comment.yml": ["workflow_run"],
      "deploy.yml": ["push", "workflow_dispatch"],
      "diff.yml": ["pull_request"],
      "drift.yml": ["schedule", "workflow_dispatch"],
      "preview.yml": ["pull_request"],
    });
  });

  it("take every action at a commit, with its release beside it, and the same one everywhere", () => {
    const used = [...texts].flatMap(([name, text]) =>
      text
        .split("\n")
        .flatMap((line) => (/\buses:/.test(line) ? [{ name, line: line.trim().replace(/^- /, "") }] : [])),
    );
    assert.ok(used.length >= 15, `${used.length}`);
    const byAction = new Map<string, Set<string>>();
    for (const { name, line } of used) {
      if (line === "uses: ./.github/actions/live") continue;
      const [, action = "", pin = ""] = /^uses: ([\w-]+\/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$/.exec(line) ?? [];
      assert.notEqual(pin, "", `${name}: ${line}`);
      byAction.set(action, (byAction.get(action) ?? new Set()).add(pin));
    }
    for (const [action, pins] of byAction) assert.equal(pins.size, 1, `${action}: ${[...pins].join(", ")}`);
  });

  it("have no right unless a job names it, and only the comment may write to the repository", () => {
    const writing: string[] = [];
    for (const [name, { permissions: all, jobs }] of workflows) {
      assert.deepEqual(all, {}, name);
      for (const job of Object.values(jobs)) {
        for (const [right, degree] of Object.entries(job.permissions)) {
          // OIDC's token says who asks; it gives no right on the repository.
          if (degree !== "read" && right !== "id-token") writing.push(`${name}: ${right}: ${degree}`);
        }
      }
    }
    assert.deepEqual(writing, ["comment.yml: pull-requests: write"]);
  });

  it("give what a fork's pull request runs neither a secret nor an identity nor a stored token", () => {
    for (const name of ["check.yml", "diff.yml"]) {
      assert.doesNotMatch(texts.get(name) ?? "", /secrets|github\.token|GITHUB_TOKEN|id-token/, name);
      for (const { permissions: rights, environment } of Object.values(get(name).jobs)) {
        assert.deepEqual([rights, environment], [{ contents: "read" }, undefined], name);
      }
    }
    for (const [name, { jobs }] of workflows) {
      for (const { uses, with: input } of Object.values(jobs).flatMap(({ steps }) => steps)) {
        if (uses?.startsWith("actions/checkout@") === true) assert.equal(input["persist-credentials"], false, name);
      }
    }
  });

  it("keep forks from the live preview, and leave every live job off until a variable says otherwise", () => {
    const { if: when } = get("preview.yml").jobs.preview ?? { if: "" };
    assert.match(when, /github\.event\.pull_request\.head\.repo\.full_name == github\.repository/);
    assert.match(when, /^vars\.LIVE_PREVIEW == 'true' &&/);
    assert.match(
      get("deploy.yml").jobs.look?.if ?? "",
      /^vars\.DEPLOY == 'true' && github\.ref == 'refs\/heads\/main'$/,
    );
    assert.match(
      get("drift.yml").jobs.drift?.if ?? "",
      /^vars\.DRIFT == 'true' && github\.ref == 'refs\/heads\/main'$/,
    );
    for (const [name, { jobs }] of workflows) {
      for (const [id, { permissions: rights, environment }] of Object.entries(jobs)) {
        if ("id-token" in rights) assert.notEqual(environment, undefined, `${name}: ${id}`);
      }
    }
    assert.equal(get("deploy.yml").jobs.up?.environment, "production");
  });

  it("comment from the default branch's checkout alone, with the artifact outside of it", () => {
    const { steps } = get("comment.yml").jobs.comment ?? { steps: [] };
    const checkouts = steps.filter(({ uses }) => uses?.startsWith("actions/checkout@"));
    assert.deepEqual(
      checkouts.map(({ with: input }) => input.ref),
      ["${{ github.event.repository.default_branch }}"],
    );
    const artifact = steps.find(({ uses }) => uses?.startsWith("actions/download-artifact@"));
    assert.equal(artifact?.with.path, "${{ runner.temp }}/diff");
    assert.deepEqual(
      steps.flatMap(({ run }) => run ?? []),
      ["npm ci", 'node commands/run comment "$REPORT"'],
    );
    assert.deepEqual(get("comment.yml").on, {
      workflow_run: { workflows: [get("diff.yml").name], types: ["completed"] },
    });
  });

  for (const linter of linters) {
    describe(linter.name, () => {
      let path: string;

      before(function () {
        this.timeout(300_000);
        const found = linter.program();
        if ("missing" in found) skip(this, `${linter.name}: ${found.missing}`);
        path = found.path;
      });

      it("has nothing to say of them", function () {
        this.timeout(120_000);
        const { code, said } = lint(linter, path, root);
        assert.equal(code, 0, said);
      });

      it("would have something to say of a mistake of its kind", function () {
        this.timeout(120_000);
        const checkout = mkdtempSync(join(tmpdir(), "workflows-"));
        try {
          cpSync(join(root, ".github"), join(checkout, ".github"), { recursive: true });
          // actionlint looks for a repository's root.
          mkdirSync(join(checkout, ".git"));
          const { file, from, to, says } = mistakes[linter.name];
          const target = join(checkout, ".github", "workflows", file);
          const text = readFileSync(target, "utf8");
          assert.ok(text.includes(from));
          writeFileSync(target, text.replace(from, to));
          const { code, said } = lint(linter, path, checkout);
          assert.notEqual(code, 0);
          assert.match(said, says);
        } finally {
          rmSync(checkout, { recursive: true });
        }
      });
    });
  }
});

const mistakes = {
  actionlint: {
    file: "deploy.yml",
    from: "needs: look",
    to: "needs: looking",
    says: /needs job "looking" which does not exist/,
  },
  zizmor: {
    file: "diff.yml",
    from: "printf '%s\\n' \"$NUMBER\"",
    to: "printf '%s\\n' \"${{ github.head_ref }}\"",
    says: /template-injection/,
  },
} as const;

describe(".github: the step that makes the report (npm is a stand-in)", () => {
  let folder: string;

  before(function () {
    needs(this, "bash");
  });

  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "diff-step-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const script = (): string => {
    const run = get("diff.yml").jobs.diff?.steps.find(({ name }) => name === "diff")?.run;
    assert.ok(run !== undefined);
    return run;
  };

  for (const code of [0, 2, 3]) {
    it(`ends with ${code} where the diff does, after both reports were asked for`, () => {
      mkdirSync(join(folder, "bin"));
      writeFileSync(join(folder, "bin", "npm"), `#!/bin/bash\necho "$*" >>"$PWD/calls"\nexit ${code}\n`, {
        mode: 0o755,
      });
      const { status } = spawnSync("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", script()], {
        cwd: folder,
        env: { ...process.env, PATH: `${join(folder, "bin")}${delimiter}${process.env.PATH}` },
      });
      assert.equal(status, code);
      assert.deepEqual(readFileSync(join(folder, "calls"), "utf8").trim().split("\n"), [
        `run --silent diff -- HEAD^1 HEAD --format markdown --output ${folder}/report/comment.md`,
        `run --silent diff -- HEAD^1 HEAD --format html --output ${folder}/report/diff.html`,
      ]);
    });
  }
});
