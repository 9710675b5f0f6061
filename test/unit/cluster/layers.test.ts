import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "tar";
import { stringify } from "yaml";
import { toolsFolder } from "../../cluster/lab/build";
import { combinations, isObject, leftOut, recordingOf, titleOf } from "../../cluster/lab/combinations";
import { deprecatedIn } from "../../cluster/lab/deprecated";
import { differencesFrom, longhornDefinitions } from "../../cluster/lab/longhorn-kinds";

describe("what the cluster tier applies (does not apply it)", () => {
  it("is every environment with every distribution and controller that its rules accept, and rke1 with every Service", () => {
    const each = (name: string): string[] => [
      `${name}, rke1, nginx, Service existing, by app`,
      `${name}, rke1, nginx, Service existing, by workload`,
      `${name}, rke1, nginx, Service made, by app`,
      `${name}, rke1, nginx, Service made, by workload`,
      `${name}, rke2, nginx`,
      `${name}, rke2, traefik`,
      `${name}, k3s, traefik`,
      `${name}, rke1, nginx, Service made, by app, policy Cluster, another pool`,
    ];
    assert.deepEqual(combinations().map(titleOf), [...each("home"), ...each("lab")]);
  });

  it("is in the order of its dependencies, and what is no object is counted by its type", async () => {
    const combination = combinations().find(
      ({ environment, controller }) => environment === "lab" && controller === "traefik",
    );
    assert.ok(combination);
    const { services, volumes } = await recordingOf(combination);
    for (const layer of [services, volumes]) {
      const urns = layer.map(({ urn }) => urn);
      for (const [index, { dependencies }] of layer.entries())
        for (const urn of dependencies) assert.ok(urns.indexOf(urn) < index, `${urns[index]} before ${urn}`);
    }
    assert.deepEqual(
      services
        .filter(isObject)
        .map(({ type }) => type.split(":").at(-1))
        .sort(),
      [
        ...["HelmChartConfig", "IPAddressPool", "Ingress", "L2Advertisement", "Middleware", "Middleware"],
        ...["Namespace", "Namespace", "RecurringJob", "Secret", "Secret"],
      ],
    );
    assert.equal(leftOut(services), "Command 5, RandomPassword 1, RandomString 1, Release 2");
  });
});

describe("the server's count of deprecated versions", () => {
  it("names each once, whatever was done with it, and nothing that is counted otherwise", () => {
    const metric = "apiserver_requested_deprecated_apis";
    const text = [
      `# TYPE ${metric} gauge`,
      `${metric}{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1`,
      `${metric}{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1`,
      `${metric}{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="status",version="v1beta1"} 1`,
      'apiserver_request_total{group="",resource="pods",version="v1"} 1',
    ].join("\n");
    assert.deepEqual(deprecatedIn(text), ["policy/v1beta1 podsecuritypolicies", "v1 endpoints"]);
  });
});

describe("Longhorn's kinds, our own schemas, against a chart (one made up here: says nothing of Longhorn's)", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "chart-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  /** The chart whose CRDs are ours after a change of their text. */
  function chart(change: (text: string) => string = (text) => text): string {
    const crds = longhornDefinitions().map((definition) => stringify(definition));
    const labelled = crds.map((text) =>
      text.replace("metadata:\n", 'metadata:\n  labels: {{- include "labels" . | nindent 4 }}\n'),
    );
    mkdirSync(join(folder, "longhorn", "templates"), { recursive: true });
    writeFileSync(join(folder, "longhorn", "templates", "crds.yaml"), change(labelled.join("---\n")));
    return join(folder, "longhorn");
  }

  it("agree where the chart has them, as a folder and as an archive", () => {
    const found = chart();
    assert.deepEqual(differencesFrom(found), []);
    create({ file: `${found}.tgz`, cwd: folder, gzip: true, sync: true }, ["longhorn"]);
    assert.deepEqual(differencesFrom(`${found}.tgz`), []);
  });

  for (const [what, from, to, said] of [
    [
      "a field is called otherwise",
      /cron:/,
      "schedule:",
      "recurringjobs.longhorn.io.spec.cron: the chart has no such field",
    ],
    [
      "a field is of another type",
      /retain:\n(\s+)type: integer/,
      "retain:\n$1type: string",
      "recurringjobs.longhorn.io.spec.retain: integer, and in the chart string",
    ],
    [
      "a word is not taken",
      /- snapshot\n/,
      "- other\n",
      "recurringjobs.longhorn.io.spec.task: snapshot, which the chart does not take",
    ],
    [
      "a field inside a map is missing",
      /storageReserved:/,
      "reserved:",
      "nodes.longhorn.io.spec.disks.*.storageReserved: the chart has no such field",
    ],
    [
      "a kind is missing",
      /name: settings\.longhorn\.io/,
      "name: others.longhorn.io",
      "settings.longhorn.io: the chart has no such kind",
    ],
    [
      "a version is not served",
      /served: true/,
      "served: false",
      "recurringjobs.longhorn.io: the chart does not serve v1beta2, or as deprecated",
    ],
    [
      "a field has to be there",
      /(\s+)(properties:\s+name:\s+type: string\s+task:)/,
      "$1required: [ cron ]$1$2",
      "recurringjobs.longhorn.io.spec.cron: must be there by the chart",
    ],
    [
      "a kind belongs to no namespace",
      /scope: Namespaced/,
      "scope: Cluster",
      "recurringjobs.longhorn.io: its scope is Cluster",
    ],
    [
      "a kind has no status of its own",
      /subresources:\n\s+status: \{\}/,
      "subresources: {}",
      "recurringjobs.longhorn.io: only one of both has a status of its own",
    ],
  ] as const) {
    it(`differ when ${what}`, () => {
      assert.deepEqual(differencesFrom(chart((text) => text.replace(from, to))), [said]);
    });
  }
});

describe("the pins of CRDs", () => {
  it("have a checksum each, and are no module of which something would be built", () => {
    const read = (file: string): string => readFileSync(join(toolsFolder, "crds", file), "utf8");
    const pins = [...read("go.mod").matchAll(/^\t(\S+) (v\S+)$/gm)].map(
      ([, module, version]) => `${module} ${version}`,
    );
    assert.equal(pins.length, 4);
    const sums = read("go.sum")
      .trim()
      .split("\n")
      .map((line) => line.replace(/ h1:\S+$/, ""));
    assert.deepEqual(sums, pins.flatMap((pin) => [pin, `${pin}/go.mod`]).sort());
  });
});
