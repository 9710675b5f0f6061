import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { renderTerminal } from "../../../diff/render/terminal";
import { changedTexts, encryptedIn, secretChanges, standInPrefix, type Encrypted } from "../../../diff/secrets";
import { standInSecrets } from "../../../rehearsal/stand-ins";
import { changeOf, compareHome, named } from "../../support/diff";
import { root } from "../../support/environment";
import { emptyReport } from "../../support/report";

/** Files that the real CLI encrypted with a throw-away passphrase. */
function fixture(name: string): Encrypted {
  return encryptedIn(readFileSync(join(root, "test", "fixtures", "secrets", `${name}.yaml`), "utf8"));
}

function between(base: string, head: string): ReturnType<typeof secretChanges> {
  return secretChanges(new Map([["home", fixture(base)]]), new Map([["home", fixture(head)]]));
}

describe("diff: secrets by their encrypted text (that a text changed does not prove that the value did)", () => {
  it("nothing changed", () => {
    assert.deepEqual(between("base", "base"), { changes: [], encryptedAnew: [] });
  });

  it("one secret set again: it alone is changed", () => {
    assert.deepEqual(between("base", "changed"), {
      changes: [{ environment: "home", key: "home-cluster:rancherToken", change: "changed" }],
      encryptedAnew: [],
    });
  });

  it("one added, one removed", () => {
    const key = "home-cluster:backupAccessKey";
    assert.deepEqual(between("base", "added").changes, [{ environment: "home", key, change: "added" }]);
    assert.deepEqual(between("added", "base").changes, [{ environment: "home", key, change: "removed" }]);
  });

  it("all of them with another passphrase: one line for the environment, and no secret by name", () => {
    const secrets = between("base", "encrypted-anew");
    assert.deepEqual(secrets, { changes: [], encryptedAnew: ["home"] });
    const text = renderTerminal({ ...emptyReport, secrets }, false);
    assert.equal(text.split("\n").filter((line) => line.includes("encrypted anew")).length, 1);
  });

  it("all of them changed with the same passphrase are changed one by one: that is no re-encryption", () => {
    const same = fixture("encrypted-anew");
    const head = new Map([["home", { ...same, with: fixture("base").with }]]);
    const { changes, encryptedAnew } = secretChanges(new Map([["home", fixture("base")]]), head);
    assert.deepEqual([changes.length, encryptedAnew], [4, []]);
  });

  it("a secret inside of a structure is found by its path", () => {
    const text = (secure: string): string => `config:\n  home-cluster:list:\n    - a: {secure: "${secure}"}\n`;
    const sides = ["v1:x", "v1:y"].map((secure) => new Map([["home", encryptedIn(text(secure))]] as const));
    const [base = new Map<string, Encrypted>(), head = new Map<string, Encrypted>()] = sides;
    assert.deepEqual(secretChanges(base, head).changes, [
      { environment: "home", key: "home-cluster:list[0].a", change: "changed" },
    ]);
  });

  it("neither YAML that is broken nor a file without configuration says anything", () => {
    for (const text of ["a: [", "- 1", "config: 3", ""]) assert.equal(encryptedIn(text).texts.size, 0, text);
  });

  it("what uses a changed secret differs, and is shown as a changed secret; what does not stays as it is", async () => {
    const texts = changedTexts(between("base", "changed"));
    assert.deepEqual(texts, { home: { rancherToken: `${standInPrefix}rancherToken-changed` } });
    const { stacks } = await compareHome([], texts);
    assert.ok(named(stacks).includes("home-rancheros rancheros-1-machine update"));
    assert.deepEqual(
      named(stacks).filter((line) => /-(services|volumes) /.test(line)),
      [],
    );
    const { properties } = changeOf(stacks, "rancheros-1-machine");
    assert.deepEqual(properties, [
      { path: "stdin.access.rancher.token", before: "[secret]", after: "[secret]", secret: true },
    ]);
  });

  it("no form of output holds a stand-in, whatever changes", async () => {
    const all = Object.fromEntries(Object.keys(standInSecrets()).map((key) => [key, `${standInPrefix}${key}-changed`]));
    const { stacks } = await compareHome([[["longhorn", "backup", "target"], "s3://home@eu/longhorn"]], { home: all });
    assert.ok(stacks.every(({ resources }) => resources.length > 0));
    const text = JSON.stringify(stacks);
    assert.ok(!text.includes(standInPrefix));
    for (const secret of Object.values(standInSecrets()))
      assert.ok(!text.includes(Buffer.from(secret).toString("base64").slice(0, 24)), secret);
  });
});
