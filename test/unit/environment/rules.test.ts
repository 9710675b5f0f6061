import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkEnvironment } from "../../../environment/check";
import { formatProblem, type Problem } from "../../../environment/problem";
import { rules } from "../../../environment/rules";
import { rawEnvironment, root } from "../../support/environment";
import { applyEdit, ruleFixtures, type Edit } from "../../support/fixtures";

// Proves what each rule says about files. Does not prove that Proxmox, Rancher, Kubernetes, Longhorn or MetalLB would refuse or take the same.
describe("environment/rules", () => {
  const fixtures = ruleFixtures();
  /** What the two committed files report unedited: the one warning about an even number of etcd members on the way. */
  const usual = new Map(
    (["home", "lab"] as const).map((base) => [
      base,
      new Set(checkEnvironment(rawEnvironment(base)).problems.map(formatProblem)),
    ]),
  );
  const unusual = (edit: Edit, problems: readonly Problem[]): readonly Problem[] =>
    problems.filter((problem) => !usual.get(edit.base)?.has(formatProblem(problem)));

  for (const { rule, invalid, valid } of fixtures) {
    describe(rule, () => {
      for (const edit of invalid) {
        it(`objects to ${edit.title}`, () => {
          const { problems } = checkEnvironment(applyEdit(edit));
          assert.deepEqual(problems.filter((problem) => problem.rule === rule).map(formatProblem), edit.lines);
          const others = new Set(
            unusual(edit, problems)
              .map((problem) => problem.rule)
              .filter((name) => name !== rule),
          );
          assert.deepEqual([...others], edit.also ?? []);
        });
      }
      for (const edit of valid) {
        it(`lets ${edit.title} pass`, () => {
          const { problems } = checkEnvironment(applyEdit(edit));
          const objections = unusual(edit, problems).filter(
            ({ severity, rule: name }) => severity === "error" || name === rule,
          );
          assert.deepEqual(objections.map(formatProblem), []);
        });
      }
    });
  }

  it("has fixtures for every rule, invalid ones and a valid neighbour each", () => {
    assert.deepEqual(
      fixtures.filter(({ invalid, valid }) => invalid.length > 0 && valid.length > 0).map(({ rule }) => rule),
      rules.map((rule) => rule.name).sort(),
    );
  });

  it("applies every function that a file in rules/ exports", () => {
    const files = readdirSync(join(root, "environment", "rules"));
    const exported = files.flatMap((file) =>
      [
        ...readFileSync(join(root, "environment", "rules", file), "utf8").matchAll(/^export (?:async )?(\w+) (\w+)/gm),
      ].map(([, kind, name]) => `${kind} ${name}`),
    );
    assert.deepEqual(exported.sort(), rules.map((rule) => `function ${rule.name}`).sort());
  });

  it("finds each invalid fixture by its own rule alone: without the rule, its lines are gone", () => {
    for (const { rule, invalid } of fixtures) {
      const others = rules.filter(({ name }) => name !== rule);
      assert.equal(others.length, rules.length - 1, rule);
      for (const edit of invalid) {
        const lines = checkEnvironment(applyEdit(edit), others).problems.map(formatProblem);
        assert.deepEqual(
          edit.lines.filter((line) => lines.includes(line)),
          [],
          `${rule}: ${edit.title}`,
        );
      }
    }
  });

  it("has no error for the committed environments, and one warning for home", () => {
    assert.deepEqual([...(usual.get("lab") ?? [])], []);
    assert.deepEqual(
      [...(usual.get("home") ?? [])],
      [
        "warning: oldNodes[1]: rancheros-2: once it has left, 4 etcd members are there: an even number survives no more losses than 3: retire the next node soon after this one",
      ],
    );
  });

  it("is pure: the same environment gives the same problems, and is not changed", () => {
    for (const { rule, invalid } of fixtures) {
      const raw = applyEdit(invalid[0] ?? assert.fail(rule));
      const before = structuredClone(raw);
      assert.deepEqual(checkEnvironment(raw).problems, checkEnvironment(raw).problems);
      assert.deepEqual(raw, before);
    }
  });

  it("keys on no name of an operating system", () => {
    for (const file of readdirSync(join(root, "environment", "rules"))) {
      const text = readFileSync(join(root, "environment", "rules", file), "utf8");
      // Debian's image has a size; nothing else may know what runs on a node.
      assert.deepEqual(text.match(/rancheros|k3os|["'`]debian/gi), null, file);
    }
  });
});
