import assert from "node:assert/strict";
import { EnvironmentRefused, formatProblem, kindOf, refuses, show, type Problem } from "../../../environment/problem";

const problem: Problem = {
  severity: "error",
  rule: "aRule",
  path: "nodes[0].vmId",
  value: "101",
  why: "is taken",
  remedy: "choose another",
};

describe("environment/problem", () => {
  it("is one line: path, value, why, remedy", () => {
    assert.equal(formatProblem(problem), "nodes[0].vmId: 101: is taken: choose another");
  });

  it("says where it only warns", () => {
    assert.equal(
      formatProblem({ ...problem, severity: "warning" }),
      "warning: nodes[0].vmId: 101: is taken: choose another",
    );
  });

  it("refuses by errors, not by warnings", () => {
    assert.equal(refuses([]), false);
    assert.equal(refuses([{ ...problem, severity: "warning" }]), false);
    assert.equal(refuses([{ ...problem, severity: "warning" }, problem]), true);
  });

  it("shows every problem of a refused environment", () => {
    const refused = new EnvironmentRefused("stack home-nodes", [problem, { ...problem, severity: "warning" }]);
    assert.equal(refused.name, "EnvironmentRefused");
    assert.equal(
      refused.message,
      "stack home-nodes: refused, nothing was touched\n" +
        "  nodes[0].vmId: 101: is taken: choose another\n" +
        "  warning: nodes[0].vmId: 101: is taken: choose another",
    );
  });

  describe("show", () => {
    const cases: readonly (readonly [unknown, string])[] = [
      [undefined, "(missing)"],
      [null, "(nothing)"],
      ["", '""'],
      ["  ", '""'],
      ["debian-1", "debian-1"],
      [5, "5"],
      [false, "false"],
      [[1], "(a list)"],
      [{ password: "hunter2" }, "(a mapping)"],
      [Symbol("x"), "(text)"],
      ["two\n  lines", "two lines"],
      ["a".repeat(80), "a".repeat(80)],
      ["a".repeat(81), `${"a".repeat(77)}...`],
    ];
    for (const [value, text] of cases) {
      it(`shows ${typeof value === "symbol" ? "a symbol" : (JSON.stringify(value) ?? "undefined").slice(0, 30)} on one short line`, () => {
        assert.equal(show(value), text);
      });
    }

    const secrets: readonly (readonly [string, string])[] = [
      ["-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2", "(a private key, not shown)"],
      ["https://admin:hunter2@rancher.example.org/x", "https://***@rancher.example.org/x"],
      ["https://hunter2@rancher.example.org", "https://***@rancher.example.org"],
      ["https://admin:hun@ter2@rancher.example.org", "https://***@rancher.example.org"],
      ["s3://AKIA:hun/ter2@bucket@region/path", "s3://***@region/path"],
      ["token-abc12:hunter2", "(a token, not shown)"],
      ["kubeconfig-user-abc:hunter2", "(a token, not shown)"],
      ["root@pam!pulumi=01234567-89ab-cdef-0123-456789abcdef", "(a token, not shown)"],
    ];
    for (const [value, text] of secrets) {
      it(`conceals what looks like a secret, as ${text}`, () => {
        assert.equal(show(value), text);
      });
    }

    it("leaves what only resembles one", () => {
      for (const value of [
        "s3://lab-backup@eu-central-1/longhorn",
        "nfs://192.168.10.5:/backup",
        "c-abc12:p-xyz34",
        "https://rancher.example.org/@home",
      ])
        assert.equal(show(value), value);
    });
  });

  it("names kinds in words", () => {
    assert.deepEqual([undefined, null, [], {}, true, 1, "x"].map(kindOf), [
      "nothing",
      "nothing",
      "a list",
      "a mapping",
      "true or false",
      "a number",
      "text",
    ]);
  });
});
