import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main as validate } from "../../../commands/validate";
import { readConfigFile } from "../../../environment/file";
import { repairLinks } from "../../../environment/links";
import { judge } from "../../../rehearsal/checks";
import { runLayer } from "../../../rehearsal/layer";
import { rehearse, type Rehearsal } from "../../../rehearsal/run";
import { compareHome, edited, named, type Edit } from "../../support/diff";
import { environment, rawEnvironment } from "../../support/environment";

type Name = "home" | "lab";

const count = (name: Name): number => rawEnvironment(name).oldNodes?.length ?? 0;
/** The first so many old nodes as their retirement leaves them in the file. */
const retired = (name: Name, first = count(name)): Edit[] =>
  Array.from({ length: first }, (_, index) => [["oldNodes", index, "retired"], true] as const);

describe("an environment whose old nodes are retired (does not prove what the real engine does: test/engine/retirement.test.ts)", function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "home-cluster-retired-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function told(name: Name, edits: readonly Edit[], fail?: string): Promise<Rehearsal> {
    const path = join(folder, `Pulumi.${name}.yaml`);
    writeFileSync(path, edited(edits, name));
    const config = new Map([...(readConfigFile(path).config ?? [])].map(([key, { text }]) => [key, text] as const));
    return rehearse({
      ...{ environmentName: name, config, fail, progress: () => undefined },
      environment: environment(name, (file) => {
        for (const [index] of edits.entries()) Object.assign(file.oldNodes?.[index] ?? {}, { retired: true });
      }),
      runLayer: (request) => runLayer(structuredClone(request)),
    });
  }

  for (const name of ["home", "lab"] as const) {
    it(`${name}, all of them: validate has nothing against it`, async () => {
      writeFileSync(join(folder, `Pulumi.${name}.yaml`), edited(retired(name), name));
      repairLinks(folder, name);
      const lines: string[] = [];
      const say = (line: string): void => void lines.push(line);
      assert.equal(await validate([name], { folder, from: [folder], out: say, error: say }), 0, lines.join("\n"));
      assert.deepEqual(lines, [`${name}: valid`]);
    });

    for (const first of [1, count(name)]) {
      it(`${name}, ${first === 1 ? "the first" : "all"} of them: every layer goes up, every check holds, and nothing of the retired is asked for`, async () => {
        const { story } = await told(name, retired(name, first));
        assert.deepEqual(
          judge(story).filter(({ holds }) => !holds),
          [],
        );
        const names = rawEnvironment(name).oldNodes?.map((node) => node.name) ?? [];
        const recorded = story.layers.at(-1)?.registered ?? [];
        for (const [index, node] of names.entries())
          if (index < first) assert.ok(!recorded.some((urn) => urn.includes(node)), node);
      });
    }
  }

  it("a fault in a layer that goes up without old nodes is told like any other", async () => {
    const { story } = await told("home", retired("home"), "join:debian-2");
    const failed = judge(story).filter(({ holds }) => !holds);
    assert.ok(failed.some(({ name }) => name === "every layer went up"));
  });

  it("diff: what becomes retired leaves the layer rancheros, each named as a danger, and nothing of another layer goes", async () => {
    const { stacks } = await compareHome(retired("home"));
    const changes = named(stacks);
    assert.deepEqual(
      changes.filter((line) => !/ update$/.test(line)),
      [
        "home-rancheros operations delete",
        ...["rancheros-1", "rancheros-2", "rancheros-3"].map((node) => `home-rancheros ${node}-machine delete`),
        "home-rancheros retirement-check delete",
      ].sort(),
    );
    assert.deepEqual(
      changes.filter((line) => / update$/.test(line)),
      [],
    );
  });
});
