import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hash, MigrationScripts } from "../../../../components/volumes/migration-scripts";
import { root } from "../../../support/environment";
import { run, summaries } from "../../../support/services";

const text = (file: string) => readFileSync(join(root, "components", "volumes", "scripts", file), "utf8");
const data = { "copy.sh": text("copy.sh"), "verify.py": text("verify.py") };
const version = hash(data);

describe("components/volumes/migration-scripts (does not prove that the scripts run in their images)", () => {
  const program = (opts: ConstructorParameters<typeof MigrationScripts>[2]) => {
    new MigrationScripts("scripts", { namespaces: ["games", "media", "games"] }, opts);
  };

  for (const preview of [false, true]) {
    it(`registers one immutable ConfigMap a namespace, kept when it leaves (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program, { preview });
      assert.equal(recording.error, undefined);
      const configMap = (namespace: string) => ({
        name: `scripts-${namespace}-${version}`,
        type: "kubernetes:core/v1:ConfigMap",
        parent: "scripts",
        provider: "cluster",
        inputs: {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: {
            name: `volume-migration-scripts-${version}`,
            namespace,
            labels: {
              "app.kubernetes.io/managed-by": "home-cluster",
              "app.kubernetes.io/part-of": "volume-migration",
            },
          },
          immutable: true,
          data,
        },
        options: { retainOnDelete: true },
      });
      assert.deepEqual(
        summaries(recording).filter(({ type }) => type.startsWith("kubernetes:")),
        [configMap("games"), configMap("media")],
      );
      assert.deepEqual(
        summaries(recording)
          .filter(({ type }) => type.startsWith("home-cluster:"))
          .map(({ name, type }) => [name, type]),
        [["scripts", "home-cluster:volumes:MigrationScripts"]],
      );
    });
  }

  it("no path of this machine enters the state", async () => {
    assert.equal(JSON.stringify((await run(program)).registrations).includes(root), false);
  });

  it("changed scripts are another ConfigMap", () => {
    assert.match(version, /^[0-9a-f]{10}$/);
    assert.notEqual(hash({ ...data, "copy.sh": `${data["copy.sh"]}\n` }), version);
  });

  it("fits into a ConfigMap (1 MiB)", () => {
    assert.ok(Buffer.byteLength(JSON.stringify(data)) < 2 ** 20);
  });

  it("hands out the ConfigMap of its namespaces, and refuses others", async () => {
    const names: string[] = [];
    const recording = await run((opts) => {
      const scripts = new MigrationScripts("scripts", { namespaces: ["games"] }, opts);
      scripts.in("games").apply((name) => names.push(name));
      assert.throws(() => scripts.in("media"), /no migration scripts were declared for the namespace media/);
    });
    assert.equal(recording.error, undefined);
    assert.deepEqual(names, [`volume-migration-scripts-${version}`]);
  });
});
