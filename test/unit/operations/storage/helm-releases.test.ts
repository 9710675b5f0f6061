import assert from "node:assert/strict";
import type { V1Secret } from "@kubernetes/client-node";
import { helmRevisions } from "../../../../operations/storage/helm-releases";
import { helmSecret, storageHome } from "../../../support/longhorn";

async function revisions(...given: readonly V1Secret[]): ReturnType<typeof helmRevisions> {
  const { kubernetes } = storageHome();
  for (const secret of given) await kubernetes.create(secret);
  return helmRevisions(kubernetes);
}

describe("helmRevisions (records as Helm 3 writes them; does not prove what other versions write)", () => {
  it("reads name, namespace, revision and status from the labels, and unpacks the rest when asked", async () => {
    const record = { name: "metallb", namespace: "metallb-system", chart: "metallb", version: "0.16.1" };
    const more = {
      revision: 12,
      status: "failed",
      appVersion: "v0.16.1",
      description: "timed out",
      manifest: "kind: Pod",
    };
    const [found] = await revisions(helmSecret({ ...record, ...more }));
    const { content, ...labels } = found ?? assert.fail();
    assert.deepEqual(labels, {
      release: "metallb",
      namespace: "metallb-system",
      revision: 12,
      status: "failed",
      secret: "sh.helm.release.v1.metallb.v12",
    });
    assert.deepEqual(content(), {
      chart: { name: "metallb", version: "0.16.1", appVersion: "v0.16.1" },
      description: "timed out",
      manifest: "kind: Pod",
    });
  });

  it("takes a record without description, manifest and appVersion", async () => {
    const secret = helmSecret();
    const bare = { chart: { metadata: { name: "longhorn", version: "1.12.1" } } };
    const inner = Buffer.from(JSON.stringify(bare)).toString("base64");
    secret.data = { release: Buffer.from(inner).toString("base64") };
    const [found] = await revisions(secret);
    assert.deepEqual(found?.content(), {
      chart: { name: "longhorn", version: "1.12.1", appVersion: undefined },
      description: "",
      manifest: "",
    });
  });

  it("calls a record whose labels somebody took off unknown, and not deployed", async () => {
    const secret = helmSecret();
    secret.metadata = { ...secret.metadata, labels: { owner: "helm" } };
    const [found] = await revisions(secret);
    assert.deepEqual([found?.release, found?.revision, found?.status], ["", 0, "unknown"]);
  });

  for (const data of [undefined, {}, { release: "" }, { release: Buffer.from("H4sI").toString("base64") }]) {
    it(`names the Secret of a record that cannot be read (${JSON.stringify(data)})`, async () => {
      const [found] = await revisions({ ...helmSecret(), data } as V1Secret);
      assert.throws(
        () => found?.content(),
        /Secret longhorn-system\/sh\.helm\.release\.v1\.longhorn\.v1: no Helm release/,
      );
    });
  }

  it("overlooks Secrets of other kinds and owners", async () => {
    const opaque = { ...helmSecret({ name: "a" }), type: "Opaque" };
    const foreign = helmSecret({ name: "b" });
    foreign.metadata = { ...foreign.metadata, labels: { ...foreign.metadata?.labels, owner: "someone" } };
    assert.deepEqual(await revisions(opaque, foreign), []);
  });
});
