import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { Longhorn, storageNodes } from "../../../../components/services/longhorn";
import type { EnvironmentFile } from "../../../../environment/schema";
import { environment } from "../../../support/environment";
import {
  inClear,
  kubeconfig,
  kubernetesAccess,
  names,
  run,
  summaries,
  type RunOptions,
} from "../../../support/services";

const program =
  (name: "home" | "lab", change?: (file: EnvironmentFile) => void) =>
  (opts: object): object => {
    const file = environment(name, change);
    const { namespace, storageClass } = new Longhorn(
      "longhorn",
      {
        longhorn: file.longhorn,
        project: file.cluster.rancher.storageProject,
        storageNodes: storageNodes(file),
        oldStorageClass: file.oldStorage.storageClass,
        access: kubernetesAccess,
        ...(name === "lab" && {
          backupCredentials: { accessKey: pulumi.secret("AKIA-nowhere"), secretKey: pulumi.secret("key-nowhere") },
        }),
      },
      opts,
    );
    return { namespace, storageClass };
  };

const home = async (options: RunOptions = {}) => run(program("home"), options);
const lab = async (options: RunOptions = {}) => run(program("lab"), options);

const components = ["longhorn", "longhorn-default", "longhorn-helm", "longhorn-jobs", "longhorn-storage"];
const everything = [
  ...components,
  "longhorn-default-default-class",
  "longhorn-default-storage-ready",
  "longhorn-helm-release",
  "longhorn-jobs-backup-nightly",
  "longhorn-jobs-snapshot-hourly",
  "longhorn-storage-namespace",
];
const backup = ["longhorn-backup", "longhorn-backup-secret"];
const sorted = (list: readonly string[]): readonly string[] => [...list].sort((one, other) => one.localeCompare(other));

describe("Longhorn (mock runtime: does not prove that it installs)", () => {
  for (const preview of [false, true]) {
    const mode = preview ? "preview" : "update";
    it(`home, backups to NFS: no credentials (${mode})`, async () => {
      const recording = await home({ preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(names(recording), sorted(everything));
    });

    it(`lab, backups to S3: with their Secret (${mode})`, async () => {
      const recording = await lab({ preview });
      assert.equal(recording.error, undefined);
      const jobs = everything.filter((one) => !one.startsWith("longhorn-jobs-"));
      assert.deepEqual(names(recording), sorted([...jobs, "longhorn-jobs-snapshot-daily", ...backup]));
    });
  }

  it("has each part under itself, with the provider of the stack", async () => {
    const found = summaries(await lab()).map(({ name, parent, provider }) => [name, parent, provider]);
    assert.deepEqual(found, [
      ["longhorn", "home-cluster-test-services", ""],
      ["longhorn-backup", "longhorn", ""],
      ["longhorn-backup-secret", "longhorn-backup", "cluster"],
      ["longhorn-default", "longhorn", ""],
      ["longhorn-default-default-class", "longhorn-default", "operations"],
      ["longhorn-default-storage-ready", "longhorn-default", "operations"],
      ["longhorn-helm", "longhorn", ""],
      ["longhorn-helm-release", "longhorn-helm", "cluster"],
      ["longhorn-jobs", "longhorn", ""],
      ["longhorn-jobs-snapshot-daily", "longhorn-jobs", "cluster"],
      ["longhorn-storage", "longhorn", ""],
      ["longhorn-storage-namespace", "longhorn-storage", "cluster"],
    ]);
  });

  it("waits at each gate for the one before it", async () => {
    const after = Object.fromEntries(summaries(await lab()).map((found) => [found.name, found.after]));
    assert.deepEqual(after["longhorn-helm-release"], ["longhorn-backup-secret", "longhorn-storage-namespace"]);
    assert.deepEqual(after["longhorn-default-default-class"], ["longhorn-helm-release"]);
    const gates = ["longhorn-default-default-class", "longhorn-helm-release"];
    assert.deepEqual(after["longhorn-default-storage-ready"], gates);
    assert.deepEqual(after["longhorn-jobs-snapshot-daily"], [
      "longhorn-default-default-class",
      "longhorn-default-storage-ready",
      "longhorn-storage-namespace",
    ]);
  });

  describe("registers nothing behind what failed:", () => {
    const gone = ["longhorn-jobs-backup-nightly", "longhorn-jobs-snapshot-hourly", "longhorn-jobs"];
    const cases: Record<string, readonly string[]> = {
      "longhorn-default-storage-ready": gone,
      "longhorn-default-default-class": [...gone, "longhorn-default-storage-ready"],
      "longhorn-helm-release": [
        ...gone,
        "longhorn-default-storage-ready",
        "longhorn-default-default-class",
        "longhorn-default",
      ],
      "longhorn-storage-namespace": [
        ...gone,
        "longhorn-default-storage-ready",
        "longhorn-default-default-class",
        "longhorn-default",
        "longhorn-helm-release",
        "longhorn-helm",
      ],
    };
    for (const [fail, missing] of Object.entries(cases)) {
      it(fail, async () => {
        const recording = await home({ fail });
        assert.deepEqual(names(recording), sorted(everything.filter((one) => !missing.includes(one))));
        assert.deepEqual(recording.outputs, {});
      });
    }

    it("longhorn-backup-secret", async () => {
      assert.deepEqual(names(await lab({ fail: "longhorn-backup-secret" })), [
        "longhorn",
        ...backup,
        "longhorn-storage",
        "longhorn-storage-namespace",
      ]);
    });

    it("the look at the cluster", async () => {
      assert.deepEqual(names(await home({ refuse: "another release" })), [
        "longhorn",
        "longhorn-helm",
        "longhorn-storage",
        "longhorn-storage-namespace",
      ]);
    });
  });

  it("hands on the namespace, and the class once it can be used", async () => {
    assert.deepEqual((await home()).outputs, { namespace: "longhorn-system", storageClass: "longhorn" });
  });

  it("guards namespace and release unless the switch is set", async () => {
    const guarded = async (leaving: boolean): Promise<readonly string[]> => {
      const recording = await run(program("home", (file) => (file.longhorn.leaving = leaving)));
      return recording.registrations.filter(({ options }) => options.protect).map(({ name }) => name);
    };
    assert.deepEqual(await guarded(false), ["longhorn-storage-namespace", "longhorn-helm-release"]);
    assert.deepEqual(await guarded(true), []);
  });

  it("shows no secret in clear", async () => {
    const shown = inClear(await lab());
    for (const text of [kubeconfig, "AKIA-nowhere", "key-nowhere"]) assert.equal(shown.includes(text), false);
  });
});

describe("storageNodes", () => {
  it("are the nodes with a data disk", () => {
    assert.deepEqual(storageNodes(environment("home")), ["debian-1", "debian-2", "debian-3"]);
    assert.deepEqual(storageNodes(environment("lab")), ["lab-debian-1", "lab-debian-2"]);
  });
});
