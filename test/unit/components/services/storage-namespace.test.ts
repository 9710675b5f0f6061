import assert from "node:assert/strict";
import { StorageNamespace } from "../../../../components/services/storage-namespace";
import { resources, run } from "../../../support/services";

const program = (leaving: boolean) => (opts: object) =>
  new StorageNamespace("storage", { project: "c-abc12:p-xyz34", leaving }, opts).namespace;

const namespace = {
  name: "storage-namespace",
  type: "kubernetes:core/v1:Namespace",
  parent: "storage",
  provider: "cluster",
  inputs: {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: "longhorn-system",
      annotations: { "field.cattle.io/projectId": "c-abc12:p-xyz34" },
      labels: {
        "pod-security.kubernetes.io/audit": "privileged",
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "privileged",
      },
    },
  },
};

describe("StorageNamespace (mock runtime: does not prove that Rancher moves it into the project)", () => {
  for (const preview of [false, true]) {
    it(`registers one guarded namespace with the project's annotation (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(false), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [{ ...namespace, options: { protect: true, retainOnDelete: true } }]);
    });
  }

  it("can be deleted with the switch, and only then", async () => {
    assert.deepEqual(resources(await run(program(true))), [namespace]);
  });
});
