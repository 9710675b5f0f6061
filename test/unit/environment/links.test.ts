import assert from "node:assert/strict";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentNames, inspectLinks, linkIsNone, repairLinks } from "../../../environment/links";
import { formatProblem } from "../../../environment/problem";
import { layers } from "../../../environment/stack";
import { root } from "../../support/environment";

const content = "config:\n  home-cluster:domain: home.example.org\n";

// The links as files. That Pulumi reads and writes through them was tried on the real CLI; not here.
describe("environment/links", () => {
  let folder = "";
  const path = (name: string): string => join(folder, `Pulumi.${name}.yaml`);
  const write = (name: string, text: string): void => writeFileSync(path(name), text);
  const states = (): readonly string[] => inspectLinks(folder, "home").map(({ state }) => state);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "home-cluster-links-"));
    write("home", content);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("makes the links that are missing, relative, one per layer", () => {
    assert.deepEqual(states(), ["missing", "missing", "missing", "missing"]);
    const files = layers.map((layer) => `Pulumi.home-${layer}.yaml`);
    assert.deepEqual(repairLinks(folder, "home"), { made: files, kept: [], refused: [] });
    for (const file of files) assert.equal(readlinkSync(join(folder, file)), "Pulumi.home.yaml");
    assert.deepEqual(repairLinks(folder, "home"), { made: [], kept: files, refused: [] });
    assert.deepEqual(linkIsNone(folder, "home"), []);
  });

  it("replaces links that go astray: elsewhere, by an absolute path, to nothing", () => {
    symlinkSync("Pulumi.lab.yaml", path("home-nodes"));
    symlinkSync(path("home"), path("home-services"));
    symlinkSync("gone", path("home-volumes"));
    assert.deepEqual(states(), ["astray", "astray", "astray", "missing"]);
    assert.equal(repairLinks(folder, "home").made.length, 4);
    assert.deepEqual(states(), ["right", "right", "right", "right"]);
  });

  it("replaces a copy of the file, and what git makes of a link where it makes none", () => {
    write("home-nodes", content);
    write("home-services", "Pulumi.home.yaml");
    write("home-volumes", "Pulumi.home.yaml\n");
    assert.deepEqual(states(), ["copy", "copy", "copy", "missing"]);
    assert.equal(repairLinks(folder, "home").made.length, 4);
    assert.deepEqual(states(), ["right", "right", "right", "right"]);
    assert.equal(readFileSync(path("home"), "utf8"), content);
  });

  it("leaves alone what differs, makes the others, and says how to go on", () => {
    write("home-nodes", `${content}  home-cluster:extra: 1\n`);
    mkdirSync(path("home-volumes"));
    const { made, kept, refused } = repairLinks(folder, "home");
    assert.deepEqual(made, ["Pulumi.home-services.yaml", "Pulumi.home-rancheros.yaml"]);
    assert.deepEqual(kept, []);
    assert.deepEqual(refused.map(formatProblem), [
      "Pulumi.home-nodes.yaml: a file of its own: must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: " +
        "take over into Pulumi.home.yaml what only this one has (`diff Pulumi.home.yaml Pulumi.home-nodes.yaml`), remove it, and run `npm run links`",
      "Pulumi.home-volumes.yaml: (no file): must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: " +
        "take over into Pulumi.home.yaml what only this one has (`diff Pulumi.home.yaml Pulumi.home-volumes.yaml`), remove it, and run `npm run links`",
    ]);
    assert.equal(readFileSync(path("home-nodes"), "utf8"), `${content}  home-cluster:extra: 1\n`);
    assert.ok(lstatSync(path("home-volumes")).isDirectory());
  });

  it("takes a file for different when there is no environment's file to compare it with", () => {
    write("other-nodes", content);
    assert.equal(inspectLinks(folder, "other")[0]?.state, "different");
  });

  it("survives what an interrupted repair left", () => {
    writeFileSync(`${path("home-nodes")}.tmp`, "left over");
    repairLinks(folder, "home");
    assert.deepEqual(states(), ["right", "right", "right", "right"]);
    assert.equal(lstatSync(`${path("home-nodes")}.tmp`, { throwIfNoEntry: false }), undefined);
  });

  it("reports each link that is none, with what mends it", () => {
    symlinkSync("gone", path("home-nodes"));
    write("home-services", content);
    symlinkSync("Pulumi.home.yaml", path("home-volumes"));
    assert.deepEqual(
      linkIsNone(folder, "home").map((problem) => [problem.rule, formatProblem(problem)]),
      [
        ["Pulumi.home-nodes.yaml", "link to gone"],
        ["Pulumi.home-services.yaml", "a copy"],
        ["Pulumi.home-rancheros.yaml", "(missing)"],
      ].map(([file, found]) => [
        "linkIsNone",
        `${file}: ${found}: must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: run \`npm run links -- home\``,
      ]),
    );
  });

  it("knows the environments of a folder: real files with our keys, no layers' files", () => {
    write("my-lab", '  "home-cluster:domain": x\nbroken: [\n');
    write("home-nodes", content);
    write("aws", "config:\n  aws:region: eu\n");
    write("comment", "# home-cluster:domain\n");
    symlinkSync("Pulumi.home.yaml", path("linked"));
    mkdirSync(path("folder"));
    writeFileSync(join(folder, "Pulumi.yaml"), "name: home-cluster\n");
    assert.deepEqual(environmentNames(folder), ["home", "my-lab"]);
  });

  it("finds every committed link right", () => {
    assert.deepEqual(environmentNames(root), ["home", "lab"]);
    for (const name of environmentNames(root)) assert.deepEqual(linkIsNone(root, name), []);
  });
});
