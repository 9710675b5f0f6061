import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { extract } from "tar";
import { stringify } from "yaml";
import { chartUses } from "../../components/services/given-charts";
import type { Kind } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { helmRevisions } from "../../operations/storage/helm-releases";
import { versions } from "../../versions";
import { Engine, type Checkout } from "../engine/support";
import { environment } from "../support/environment";
import { needs } from "../support/needs";
import { ControlPlane } from "./lab/control-plane";
import { longhornDefinitions } from "./lab/longhorn-kinds";
import { addNodes } from "./lab/nodes";
import { until } from "./lab/processes";

const { longhornNamespace } = kinds;
const stack = "home-services";
const given = process.env.LONGHORN_CHART ?? "";
const chartTitle = given === "" ? "a made-up chart of Longhorn's values" : "the chart of LONGHORN_CHART";
/** The committed environment with its chart in the copy, and without the one thing that this part of the layer has no Secret for. */
const committed = environment("home");
const home = {
  ...committed,
  longhorn: { ...committed.longhorn, backup: undefined, chart: { path: "charts/longhorn" } },
};
const definitions: Kind = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" };

describe(`Longhorn's release by the real engine and Helm, with ${chartTitle} (kwok's pods run nothing: nothing is said of Longhorn itself)`, () => {
  let plane: ControlPlane;
  let engine: Engine;
  let checkout: Checkout;

  before(async function () {
    needs(this, "pulumi", "pulumi-language-nodejs", "pulumi-resource-kubernetes", "pulumi-resource-command");
    plane = await ControlPlane.start();
    await addNodes(plane.api, [{ name: "debian-1", labels: kinds.debianLabels }]);
    engine = new Engine();
    checkout = engine.copy();
    checkout.write("index.ts", program);
    layChart(versions.charts.longhorn.version);
    declare({});
    await checkout.init(stack);
  });

  after(async () => {
    engine?.dispose();
    await plane?.stop();
  });

  afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

  it("is installed, and the next preview reads Helm's own record of it and changes nothing", async () => {
    await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
    const [record] = await helmRevisions(plane.api);
    assert.deepEqual([record?.release, record?.namespace, record?.status], ["longhorn", longhornNamespace, "deployed"]);
    assert.equal(record?.content().chart.version, versions.charts.longhorn.version);
    await checkout.must("preview", "--expect-no-changes", "--stack", stack);
  });

  it("brings reserve, path, replicas, selectors and the confirmation to where Longhorn reads them", async () => {
    if (given === "") {
      const { values } = await configMap("values");
      assert.deepEqual(JSON.parse(values ?? ""), chartUses(home)[0]?.values);
      return;
    }
    const settings = (await configMap("longhorn-default-setting"))["default-setting.yaml"] ?? "";
    for (const line of [
      "create-default-disk-labeled-nodes: true",
      'default-data-path: "/var/lib/longhorn/"',
      'storage-reserved-percentage-for-default-disk: "30"',
      'default-replica-count: "3"',
      'node-drain-policy: "block-if-contains-last-replica"',
      'system-managed-components-node-selector: "home-cluster/node:debian"',
      "deleting-confirmation-flag: false",
    ]) {
      assert.ok(settings.split("\n").includes(line), `${line}\n${settings}`);
    }
    const storageClass = (await configMap("longhorn-storageclass"))["storageclass.yaml"] ?? "";
    for (const part of ['numberOfReplicas: "3"', 'reclaimPolicy: "Retain"', 'is-default-class: "true"']) {
      assert.ok(storageClass.includes(part), `${part}\n${storageClass}`);
    }
  });

  it("previews the next minor version as an update in place", async () => {
    const [major, middle] = versions.charts.longhorn.version.split(".").map(Number);
    layChart(`${major}.${(middle ?? 0) + 1}.0`);
    const text = await checkout.must("preview", "--stack", stack);
    assert.match(text, /~.*longhorn-helm-release\s+update/);
    assert.doesNotMatch(text, /replace|delete/);
    layChart(versions.charts.longhorn.version);
  });

  describe("a preview refuses, with the reason, and an update where a replacement would come of it; nothing is touched:", () => {
    const update = ["up", "--yes", "--skip-preview"];
    let before: unknown;
    beforeEach(async () => (before = await live()));
    afterEach(async () => {
      checkout.write("operations/kinds.ts", readFileSync(join(__dirname, "..", "..", "operations/kinds.ts"), "utf8"));
      checkout.write(releaseFile, source);
      layChart(versions.charts.longhorn.version);
      assert.deepEqual(await live(), before);
    });
    after(() => checkout.must("preview", "--expect-no-changes", "--stack", stack));

    it("another namespace, which would replace the release", async () => {
      change("operations/kinds.ts", 'longhornNamespace = "longhorn-system"', 'longhornNamespace = "storage"');
      // Whichever comes first: the namespace is protected like the release.
      const check = "Longhorn lives as release longhorn in namespace longhorn-system .*declared is longhorn in storage";
      await refused(new RegExp(`${check}|longhorn-storage-namespace.*marked for protection`, "s"), update);
    });

    it("another name", async () => {
      const renamed = source.replaceAll('name: "longhorn"', 'name: "storage"');
      assert.notEqual(renamed, source);
      checkout.write(releaseFile, renamed);
      await refused(/declared is storage in longhorn-system/, update);
    });

    it("a replacement that our check was not told of, by the engine's protection", async () => {
      change(releaseFile, "namespace: args.namespace,", 'namespace: "elsewhere",');
      await refused(/unable to replace resource .*longhorn-helm-release.*marked for protection/s, update);
    });

    it("a step over a minor version, and one back", async () => {
      const [major, middle] = versions.charts.longhorn.version.split(".").map(Number);
      layChart(`${major}.${(middle ?? 0) + 2}.0`);
      await refused(/one minor version at a time/);
      layChart(`${major}.${(middle ?? 0) - 1}.0`);
      await refused(/does not go back/);
    });

    it("a chart that does not know a value", async () => {
      layChart(versions.charts.longhorn.version, (values) =>
        values.replace("deletingConfirmationFlag", "confirmation"),
      );
      await refused(/does not take a value that would be set of it:\s+defaultSettings\.deletingConfirmationFlag/);
    });

    async function refused(why: RegExp, ...commands: readonly string[][]): Promise<void> {
      for (const command of [["preview"], ...commands]) {
        const { code, text } = await checkout.pulumi(...command, "--stack", stack);
        assert.notEqual(code, 0, text);
        assert.match(text, why);
      }
    }
  });

  describe("leaving", () => {
    it("does not leave without its switch", async () => {
      const before = await live();
      const { code, text } = await checkout.pulumi("destroy", "--yes", "--stack", stack);
      assert.notEqual(code, 0, text);
      assert.match(text, /longhorn-helm-release.* cannot be deleted.*protected|leaves only by its switch/s);
      assert.deepEqual(await live(), before);
    });

    it("with the switch does not leave while a volume exists, and nothing of it is touched", async () => {
      declare({ leaving: true });
      await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
      await until("the flag is handed to Longhorn", async () => {
        const text = JSON.stringify(await configMap(given === "" ? "values" : "longhorn-default-setting"));
        assert.match(text, /deletingConfirmationFlag\\?":\s*true|deleting-confirmation-flag: true/);
      });
      const setting = { name: "deleting-confirmation-flag", namespace: longhornNamespace };
      const existing = await plane.api.read(kinds.longhornSettings, setting.name, setting.namespace);
      if (!existing) await plane.api.create({ ...kinds.longhornSettings, metadata: setting, value: "true" });
      const volume = { name: "pvc-1", namespace: longhornNamespace, finalizers: ["longhorn.io"] };
      await plane.api.create({ ...kinds.longhornVolumes, metadata: volume, spec: {} });
      const before = await live();
      const { code, text } = await checkout.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack);
      assert.notEqual(code, 0, text);
      assert.match(text, /Longhorn still holds 1 volume: pvc-1/);
      assert.deepEqual(await live(), before);
    });

    it("leaves once no volume is left: guard, release with its kinds, namespace", async () => {
      await plane.api.patch(kinds.longhornVolumes, "pvc-1", { metadata: { finalizers: null } }, longhornNamespace);
      await plane.api.remove(kinds.longhornVolumes, "pvc-1", longhornNamespace);
      await until("the volume is gone", async () =>
        assert.equal(await plane.api.read(kinds.longhornVolumes, "pvc-1", longhornNamespace), undefined),
      );
      const text = await checkout.must("destroy", "--yes", "--skip-preview", "--stack", stack);
      const order = ["longhorn-guard-guard", "longhorn-helm-release", "longhorn-storage-namespace"];
      const at = order.map((name) => text.search(new RegExp(`${name}\\s+deleted`)));
      assert.deepEqual(
        at,
        [...at].sort((a, b) => a - b),
        text,
      );
      assert.ok(
        at.every((position) => position >= 0),
        text,
      );
      assert.deepEqual(await helmRevisions(plane.api), []);
      assert.deepEqual(await volumesDefinition(), []);
      assert.deepEqual(await checkout.real(stack), []);
    });
  });

  const releaseFile = "components/services/longhorn-release.ts";
  const source = readFileSync(join(__dirname, "..", "..", releaseFile), "utf8");

  function change(file: string, from: string, to: string): void {
    const text = checkout.file(file);
    assert.ok(text.includes(from), `${file} has no ${from}`);
    checkout.write(file, text.replace(from, to));
  }

  /** The chart at its place in the copy, with this version. */
  function layChart(version: string, changeValues = (text: string): string => text): void {
    const folder = join(checkout.folder, "charts", "longhorn");
    mkdirSync(folder, { recursive: true });
    if (given === "") makeUp(folder);
    else if (statSync(given).isDirectory()) cpSync(given, folder, { recursive: true });
    else extract({ file: given, cwd: folder, strip: 1, sync: true });
    const change = (name: string, by: (text: string) => string): void =>
      writeFileSync(join(folder, name), by(readFileSync(join(folder, name), "utf8")));
    change("Chart.yaml", (text) => text.replace(/^version: .*$/m, `version: ${version}`));
    change("values.yaml", changeValues);
  }

  function declare(longhorn: object): void {
    const file = { ...home, longhorn: { ...home.longhorn, ...longhorn } };
    checkout.write("lab.json", JSON.stringify({ file, kubeconfig: plane.kubeconfig }));
  }

  async function configMap(name: string): Promise<Readonly<Record<string, string>>> {
    return (await plane.api.read(kinds.configMaps, name, longhornNamespace))?.data ?? {};
  }

  async function volumesDefinition(): Promise<readonly unknown[]> {
    return (await plane.api.list(definitions)).filter(({ metadata }) => metadata?.name === "volumes.longhorn.io");
  }

  /** What must not be touched: the release's records, its kinds, its namespace, by identity. */
  async function live(): Promise<unknown> {
    const revisions = await helmRevisions(plane.api);
    const crds = await volumesDefinition();
    const namespaces = await plane.api.list(kinds.namespaces);
    return {
      revisions: revisions.map(({ secret, status }) => `${secret} ${status}`),
      crds: crds.map((crd) => (crd as { metadata?: { uid?: string } }).metadata?.uid),
      namespaces: namespaces.map(({ metadata, status }) => `${metadata?.name} ${status?.phase}`),
    };
  }
});

/** Namespace, release and guard as the layer services has them, and nothing else of it. */
const program = `
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { refuseGivenCharts } from "./components/services/given-charts";
import { LonghornGuard } from "./components/services/longhorn-guard";
import { LonghornRelease } from "./components/services/longhorn-release";
import { StorageNamespace } from "./components/services/storage-namespace";
import { access, kubernetesProvider, operationsProvider } from "./stacks/providers";

const { file, kubeconfig } = JSON.parse(readFileSync("lab.json", "utf8"));
const context = { environment: "home", layer: "services", file, secrets: { kubeconfig: pulumi.secret(kubeconfig) } } as any;
refuseGivenCharts(file);
const providers = [kubernetesProvider(context), operationsProvider()];
const ways = access(context, ["kubernetes"]);
const { longhorn, cluster } = file;
const storage = new StorageNamespace("longhorn-storage", { project: cluster.rancher.storageProject, leaving: longhorn.leaving }, { providers });
const { namespace } = storage;
const release = new LonghornRelease("longhorn-helm", { longhorn, namespace, backupSecret: undefined, access: ways }, { providers });
new LonghornGuard("longhorn-guard", { leaving: longhorn.leaving, access: ways }, { providers, dependsOn: [storage, release] });
`;

/** A chart that takes the values that are set, shows them in a ConfigMap, and brings Longhorn's kinds as its chart does: in its templates. */
function makeUp(folder: string): void {
  mkdirSync(join(folder, "templates"), { recursive: true });
  const [use] = chartUses(home);
  writeFileSync(join(folder, "Chart.yaml"), stringify({ apiVersion: "v2", name: "longhorn", version: "0.0.0" }));
  writeFileSync(join(folder, "values.yaml"), stringify(use?.values));
  writeFileSync(
    join(folder, "templates", "values.yaml"),
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: values\ndata:\n  values: {{ .Values | toJson | quote }}\n",
  );
  writeFileSync(
    join(folder, "templates", "crds.yaml"),
    longhornDefinitions()
      .map((crd) => stringify(crd))
      .join("---\n"),
  );
}
