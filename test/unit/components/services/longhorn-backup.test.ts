import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { LonghornBackup, isS3 } from "../../../../components/services/longhorn-backup";
import { inClear, resources, run } from "../../../support/services";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** With keys that the caller marked as secret, or forgot to. */
const program = (marked: boolean) => (opts: object) => {
  const key = (text: string): pulumi.Output<string> => (marked ? pulumi.secret(text) : pulumi.output(text));
  const credentials = { accessKey: key("AKIA-shown-nowhere"), secretKey: key("secret-key-shown-nowhere") };
  return { name: new LonghornBackup("backup", { credentials, namespace: "longhorn-system" }, opts).secretName };
};

describe("LonghornBackup (mock runtime: does not prove that the backup store takes the keys)", () => {
  for (const preview of [false, true]) {
    it(`registers one Secret with the keys that Longhorn reads (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(true), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [
        {
          name: "backup-secret",
          type: "kubernetes:core/v1:Secret",
          parent: "backup",
          provider: "cluster",
          inputs: {
            apiVersion: "v1",
            kind: "Secret",
            metadata: { name: "longhorn-backup", namespace: "longhorn-system" },
            type: "Opaque",
            data: {
              secret: {
                AWS_ACCESS_KEY_ID: base64("AKIA-shown-nowhere"),
                AWS_SECRET_ACCESS_KEY: base64("secret-key-shown-nowhere"),
              },
            },
          },
          options: { additionalSecretOutputs: ["data", "stringData"] },
        },
      ]);
      assert.deepEqual(recording.outputs, { name: "longhorn-backup" });
    });
  }

  it("shows neither key in clear", async () => {
    const shown = inClear(await run(program(true)));
    for (const text of ["AKIA-shown-nowhere", "secret-key-shown-nowhere"]) {
      assert.equal(shown.includes(text), false);
      assert.equal(shown.includes(base64(text)), false);
    }
  });

  it("makes the Secret's data secret even where a caller's keys were not", async () => {
    const [secret] = resources(await run(program(false)));
    assert.deepEqual(Object.keys((secret?.inputs as { data: object }).data), ["secret"]);
  });

  it("knows which targets need keys", () => {
    assert.equal(isS3({ target: "s3://lab-backup@eu-central-1/longhorn", pollInterval: 300 }), true);
    assert.equal(isS3({ target: "nfs://192.168.10.5:/s3://backup", pollInterval: 300 }), false);
    assert.equal(isS3(undefined), false);
  });
});
