import assert from "node:assert/strict";
import { LonghornRelease, longhornValues } from "../../../../components/services/longhorn-release";
import type { Environment } from "../../../../environment/schema";
import { Refusal } from "../../../../operations/refusal";
import { checkLonghornRelease } from "../../../../operations/storage/check-longhorn-release";
import { record, reveal, type Properties } from "../../../../rehearsal/record";
import { versions } from "../../../../versions";
import { environment } from "../../../support/environment";
import { helmSecret, storageHome, type HelmRecord } from "../../../support/longhorn";
import { kubernetesAccess, names, resources, run } from "../../../support/services";

type LonghornFile = Environment["longhorn"];
const home = environment("home").longhorn;

const args = (longhorn: LonghornFile) => ({
  longhorn,
  namespace: "longhorn-system",
  backupSecret: undefined,
  access: kubernetesAccess,
});
const program = (longhorn: LonghornFile) => (opts: object) =>
  new LonghornRelease("helm", args(longhorn), opts).revision;

const nodeSelector = { "home-cluster/node": "debian" };
/** The whole of what is set of the chart, for the committed environment home. */
const values = {
  global: { nodeSelector },
  longhornManager: { nodeSelector },
  longhornDriver: { nodeSelector },
  longhornUI: { nodeSelector },
  csi: { kubeletRootDir: "/var/lib/kubelet" },
  persistence: { defaultClass: true, defaultClassReplicaCount: 3, reclaimPolicy: "Retain" },
  defaultSettings: {
    createDefaultDiskLabeledNodes: true,
    defaultDataPath: "/var/lib/longhorn/",
    storageReservedPercentageForDefaultDisk: 30,
    defaultReplicaCount: 3,
    nodeDrainPolicy: "block-if-contains-last-replica",
    systemManagedComponentsNodeSelector: "home-cluster/node:debian",
    deletingConfirmationFlag: false,
  },
  defaultBackupStore: {
    backupTarget: "nfs://192.168.10.5:/backup/longhorn",
    backupTargetCredentialSecret: "",
    pollInterval: 300,
  },
  ingress: { enabled: false },
  preUpgradeChecker: { jobEnabled: true, upgradeVersionCheck: true },
};
const release = {
  name: "helm-release",
  type: "kubernetes:helm.sh/v3:Release",
  parent: "helm",
  provider: "cluster",
  inputs: {
    compat: "true",
    name: "longhorn",
    namespace: "longhorn-system",
    chart: "longhorn",
    version: "1.12.1",
    repositoryOpts: { repo: "https://charts.longhorn.io" },
    createNamespace: false,
    atomic: false,
    timeout: 1200,
    values,
  },
};
const patient = { customTimeouts: { create: "30m", update: "30m", delete: "30m" } };

describe("LonghornRelease (mock runtime: does not prove that Helm installs the chart)", () => {
  for (const preview of [false, true]) {
    it(`registers one guarded release (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(home), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [
        { ...release, options: { protect: true, retainOnDelete: true, ...patient } },
      ]);
    });

    it(`registers nothing when the look at the cluster refuses (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(home), { preview, refuse: "release elsewhere lives in namespace storage" });
      assert.deepEqual(names(recording), ["helm"]);
      assert.match(recording.error?.message ?? "", /release elsewhere lives in namespace storage/);
    });
  }

  it("can be deleted with the switch, and only then, together with Longhorn's own confirmation", async () => {
    const [found] = resources(await run(program({ ...home, leaving: true })));
    const { defaultSettings } = values;
    assert.deepEqual(found, {
      ...release,
      inputs: {
        ...release.inputs,
        values: { ...values, defaultSettings: { ...defaultSettings, deletingConfirmationFlag: true } },
      },
      options: patient,
    });
  });

  it("takes the chart from another repository", async () => {
    const [found] = resources(await run(program({ ...home, chart: { repository: "https://charts.lan.example.org" } })));
    const { repositoryOpts } = found?.inputs as typeof release.inputs;
    assert.deepEqual(repositoryOpts, { repo: "https://charts.lan.example.org" });
  });

  it("takes chart and version from the answer, which for a path is its Chart.yaml's, and then no repository", async () => {
    const chart = { path: "charts/longhorn" };
    const recording = await recordWith({ ...home, chart }, async () => ({
      chart: "charts/longhorn",
      version: "1.12.3",
    }));
    const [found] = resources(recording);
    const { repositoryOpts, ...rest } = release.inputs;
    assert.ok(repositoryOpts);
    assert.deepEqual(found?.inputs, { ...rest, chart: "charts/longhorn", version: "1.12.3" });
  });

  it("asks with what it declares, and hands the way into the cluster on standard input", async () => {
    const seen: Properties[] = [];
    await recordWith({ ...home, chart: { path: "charts/longhorn" } }, async (input) => {
      seen.push(input);
      return { chart: "charts/longhorn", version: "1.12.1" };
    });
    const declared = { name: "longhorn", namespace: "longhorn-system", chart: "longhorn", version: "1.12.1" };
    assert.deepEqual(seen, [{ ...declared, path: "charts/longhorn" }]);
    assert.equal(checkLonghornRelease.schema.safeParse(seen[0]).success, true);
  });

  it("declares the version of versions.ts", () =>
    assert.equal(versions.charts.longhorn.version, release.inputs.version));

  describe("by the real check against a cluster:", () => {
    const cases: Record<string, readonly [readonly HelmRecord[], RegExp | undefined]> = {
      "nothing installed": [[], undefined],
      "the version before": [[{ version: "1.11.3" }], undefined],
      "another name": [[{ name: "longhorn-1a2b" }], /declared is longhorn in longhorn-system/],
      "another namespace": [[{ namespace: "storage" }], /every volume and replica/],
      "a newer version": [[{ version: "1.13.0" }], /does not go back/],
    };
    for (const [title, [records, why]] of Object.entries(cases)) {
      for (const preview of [false, true]) {
        it(`${title} (${preview ? "preview" : "update"})`, async () => {
          const clients = storageHome();
          for (const one of records) await clients.kubernetes.create(helmSecret(one));
          const recording = await recordWith(
            home,
            async (input) => checkLonghornRelease.run(checkLonghornRelease.schema.parse(input), clients),
            preview,
          );
          assert.deepEqual(names(recording), why ? ["helm"] : ["helm", "helm-release"]);
          if (why) assert.match(recording.error?.message ?? "", why);
          else assert.equal(recording.error, undefined);
        });
      }
    }
  });
});

/** Records the release with a check of the test's own, which gets the operation's input. */
async function recordWith(
  longhorn: LonghornFile,
  check: (input: Properties) => Promise<object>,
  preview = false,
): ReturnType<typeof record> {
  return record(() => program(longhorn)({}), {
    preview,
    call: async (token, { command, stdin }) => {
      assert.equal(token, "command:local:run");
      assert.equal(command, "operations/run check-longhorn-release");
      const request = JSON.parse(String(reveal(stdin))) as { access: object; input: Properties };
      assert.deepEqual(request.access, { kubernetes: { kubeconfig: "kubeconfig-that-must-not-show" } });
      try {
        return { stdout: JSON.stringify(await check(request.input)) };
      } catch (error) {
        assert.ok(error instanceof Refusal);
        throw error;
      }
    },
  });
}

describe("longhornValues (given-charts.test.ts looks the keys up in a chart; does not prove what the chart makes of them)", () => {
  it("follows the file: replicas, reserve and S3 target with its credentials and the slash that Longhorn needs", () => {
    const lab = longhornValues(environment("lab").longhorn, "longhorn-backup");
    const { persistence, defaultSettings } = values;
    assert.deepEqual(lab, {
      ...values,
      persistence: { ...persistence, defaultClassReplicaCount: 2 },
      defaultSettings: { ...defaultSettings, defaultReplicaCount: 2, storageReservedPercentageForDefaultDisk: 20 },
      defaultBackupStore: {
        backupTarget: "s3://lab-backup@eu-central-1/longhorn/",
        backupTargetCredentialSecret: "longhorn-backup",
        pollInterval: 300,
      },
    });
  });

  it("leaves a slash that is there", () => {
    const backup = { target: "s3://backup@eu-central-1/", pollInterval: 60 };
    assert.deepEqual(longhornValues({ ...home, backup }, "keys").defaultBackupStore, {
      backupTarget: "s3://backup@eu-central-1/",
      backupTargetCredentialSecret: "keys",
      pollInterval: 60,
    });
  });

  it("empties a target that was taken out of the file", () => {
    assert.deepEqual(longhornValues({ ...home, backup: undefined }, undefined).defaultBackupStore, {
      backupTarget: "",
      backupTargetCredentialSecret: "",
    });
  });
});
