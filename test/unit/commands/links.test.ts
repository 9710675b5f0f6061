import assert from "node:assert/strict";
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../commands/links";
import { layers } from "../../../environment/stack";

const content = "config:\n  home-cluster:domain: home.example.org\n";

describe("commands/links", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "home-cluster-links-command-"));
    for (const name of ["home", "lab"]) writeFileSync(join(folder, `Pulumi.${name}.yaml`), content);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  async function run(...args: string[]): Promise<{ code: number; out: readonly string[]; error: readonly string[] }> {
    const out: string[] = [];
    const error: string[] = [];
    const code = await main(args, {
      folder,
      from: [folder],
      out: (line) => out.push(line),
      error: (line) => error.push(line),
    });
    return { code, out, error };
  }

  it("makes the links of every environment, and says which", async () => {
    assert.deepEqual(await run(), {
      code: 0,
      out: ["home", "lab"].flatMap((name) =>
        layers.map((layer) => `Pulumi.${name}-${layer}.yaml -> Pulumi.${name}.yaml`),
      ),
      error: [],
    });
    assert.equal(readlinkSync(join(folder, "Pulumi.lab-volumes.yaml")), "Pulumi.lab.yaml");
    assert.deepEqual((await run()).out, [
      "Pulumi.home.yaml: 4 links were right",
      "Pulumi.lab.yaml: 4 links were right",
    ]);
  });

  it("makes those of one environment", async () => {
    assert.equal((await run("lab")).out.length, 4);
    rmSync(join(folder, "Pulumi.lab-nodes.yaml"));
    rmSync(join(folder, "Pulumi.lab-services.yaml"));
    rmSync(join(folder, "Pulumi.lab-rancheros.yaml"));
    assert.deepEqual((await run("lab")).out, [
      "Pulumi.lab-nodes.yaml -> Pulumi.lab.yaml",
      "Pulumi.lab-services.yaml -> Pulumi.lab.yaml",
      "Pulumi.lab-rancheros.yaml -> Pulumi.lab.yaml",
      "Pulumi.lab.yaml: 1 link was right",
    ]);
  });

  it("exits 1 when something had to be left alone, and makes the rest", async () => {
    writeFileSync(join(folder, "Pulumi.home-nodes.yaml"), "config: {}\n");
    const { code, out, error } = await run("home");
    assert.equal(code, 1);
    assert.equal(out.length, 3);
    assert.deepEqual(error, [
      "Pulumi.home-nodes.yaml: a file of its own: must be a symbolic link to Pulumi.home.yaml, so that values and secrets live once: " +
        "take over into Pulumi.home.yaml what only this one has (`diff Pulumi.home.yaml Pulumi.home-nodes.yaml`), remove it, and run `npm run links`",
    ]);
  });

  it("exits 2 on wrong usage and touches nothing", async () => {
    for (const args of [["--all"], ["home", "lab"], ["none"], ["home-nodes"], ["../home"]]) {
      const { code, out, error } = await run(...args);
      assert.deepEqual([code, out], [2, []], args.join(" "));
      assert.match(error.join("\n"), /^usage: npm run links[^]*environments here: home, lab$/);
    }
  });
});
