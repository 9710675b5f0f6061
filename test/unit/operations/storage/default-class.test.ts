import assert from "node:assert/strict";
import type { V1StorageClass } from "@kubernetes/client-node";
import { storageClasses } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { defaultClass, recordAnnotation, restoreDefaultClass } from "../../../../operations/storage/default-class";
import { betaFlag, defaultFlag, storageClass, storageHome } from "../../../support/longhorn";

const input = { storageClass: "longhorn", oldStorageClass: "nfs-client" };

/** A home whose classes are exactly these, Longhorn's own among them. */
async function classes(...given: readonly V1StorageClass[]): Promise<ReturnType<typeof storageHome>> {
  const clients = storageHome();
  await clients.kubernetes.remove(storageClasses, "nfs-client");
  for (const one of [storageClass("longhorn", { [defaultFlag]: "true" }), ...given])
    await clients.kubernetes.create(one);
  return clients;
}

/** Annotations by class; undefined and {} are the same to Kubernetes. */
async function annotations({ kubernetes }: ReturnType<typeof storageHome>): Promise<Record<string, unknown>> {
  const found = await kubernetes.list(storageClasses);
  return Object.fromEntries<object>(found.map((one) => [one.metadata?.name ?? "", one.metadata?.annotations ?? {}]));
}

const own = { [defaultFlag]: "true" };

describe("default-class (pretend API server: does not prove who else writes the class)", () => {
  it("takes the flag from the old class, and records it there", async () => {
    const clients = await classes(storageClass("nfs-client", { [defaultFlag]: "true", kept: "yes" }));
    assert.deepEqual(await defaultClass.run(input, clients), { storageClass: "longhorn", recorded: ["nfs-client"] });
    assert.deepEqual(await annotations(clients), {
      longhorn: own,
      "nfs-client": { kept: "yes", [recordAnnotation]: JSON.stringify({ [defaultFlag]: "true" }) },
    });
  });

  it("puts back exactly what was there, and takes it from Longhorn's", async () => {
    const before = { [defaultFlag]: "true", [betaFlag]: "false", kept: "yes" };
    const clients = await classes(storageClass("nfs-client", before));
    await defaultClass.run(input, clients);
    assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: ["nfs-client"] });
    assert.deepEqual(await annotations(clients), { longhorn: { [defaultFlag]: "false" }, "nfs-client": before });
  });

  it("knows the flag under its old key too", async () => {
    const clients = await classes(storageClass("nfs-client", { [betaFlag]: "true" }));
    await defaultClass.run(input, clients);
    assert.deepEqual((await annotations(clients))["nfs-client"], {
      [recordAnnotation]: JSON.stringify({ [betaFlag]: "true" }),
    });
    await restoreDefaultClass.run(input, clients);
    assert.deepEqual((await annotations(clients))["nfs-client"], { [betaFlag]: "true" });
  });

  it("takes it from every default class, and gives it back to each", async () => {
    const clients = await classes(
      storageClass("nfs-client", { [defaultFlag]: "true" }),
      storageClass("local-path", { [defaultFlag]: "true" }),
      storageClass("slow", { [defaultFlag]: "false" }),
    );
    const result = await defaultClass.run(input, clients);
    assert.deepEqual(result, { storageClass: "longhorn", recorded: ["local-path", "nfs-client"] });
    assert.deepEqual((await annotations(clients)).slow, { [defaultFlag]: "false" });
    assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: ["local-path", "nfs-client"] });
    assert.deepEqual(await annotations(clients), {
      longhorn: { [defaultFlag]: "false" },
      "nfs-client": own,
      "local-path": own,
      slow: { [defaultFlag]: "false" },
    });
  });

  it("records nothing and gives nothing back where no class was the default", async () => {
    const clients = await classes(storageClass("nfs-client"));
    assert.deepEqual(await defaultClass.run(input, clients), { storageClass: "longhorn", recorded: [] });
    assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: [] });
    assert.deepEqual((await annotations(clients))["nfs-client"], {});
  });

  it("says so when the old class is not there, and goes on", async () => {
    const clients = await classes();
    assert.deepEqual(await defaultClass.run(input, clients), { storageClass: "longhorn", recorded: [] });
    assert.deepEqual(clients.lines, ["StorageClass nfs-client (oldStorage.storageClass) does not exist"]);
  });

  it("changes nothing in a second run", async () => {
    const clients = await classes(storageClass("nfs-client", { [defaultFlag]: "true" }));
    const first = await defaultClass.run(input, clients);
    const versions = JSON.stringify(await clients.kubernetes.list(storageClasses));
    assert.deepEqual(await defaultClass.run(input, clients), first);
    assert.equal(JSON.stringify(await clients.kubernetes.list(storageClasses)), versions);
  });

  it("never overwrites a record: a flag that somebody set again is taken off, the first record stays", async () => {
    const clients = await classes(storageClass("nfs-client", { [defaultFlag]: "true" }));
    await defaultClass.run(input, clients);
    await clients.kubernetes.patch(storageClasses, "nfs-client", {
      metadata: { annotations: { [defaultFlag]: "true", [betaFlag]: "true" } },
    });
    await defaultClass.run(input, clients);
    assert.deepEqual((await annotations(clients))["nfs-client"], {
      [recordAnnotation]: JSON.stringify({ [defaultFlag]: "true" }),
    });
  });

  it("makes Longhorn's class the default again after a removal that was taken back", async () => {
    const clients = await classes(storageClass("nfs-client", { [defaultFlag]: "true" }));
    await defaultClass.run(input, clients);
    await restoreDefaultClass.run(input, clients);
    await defaultClass.run(input, clients);
    assert.deepEqual(await annotations(clients), {
      longhorn: own,
      "nfs-client": { [recordAnnotation]: JSON.stringify({ [defaultFlag]: "true" }) },
    });
  });

  it("leaves the old default alone until Longhorn's class exists", async () => {
    const clients = storageHome();
    const before = await annotations(clients);
    const running = defaultClass.run(input, clients);
    await clients.clock.sleep(300_000);
    assert.deepEqual(await annotations(clients), before);
    await clients.kubernetes.create(storageClass("longhorn", own));
    assert.deepEqual(await running, { storageClass: "longhorn", recorded: ["nfs-client"] });
  });

  it("leaves the old default alone when Longhorn's class never comes, and says who makes it", async () => {
    const clients = storageHome();
    const before = await annotations(clients);
    await assert.rejects(defaultClass.run(input, clients), (error: unknown) => {
      assert.ok(error instanceof Refusal);
      assert.equal(error.parts.what, "StorageClass longhorn: not within 900 s");
      assert.match(error.parts.why, /ConfigMap longhorn-storageclass/);
      return true;
    });
    assert.deepEqual(await annotations(clients), before);
  });

  it("gives back to the others when Longhorn's class is gone already", async () => {
    const clients = await classes(storageClass("nfs-client", { [defaultFlag]: "true" }));
    await defaultClass.run(input, clients);
    await clients.kubernetes.remove(storageClasses, "longhorn");
    assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: ["nfs-client"] });
    assert.deepEqual(await annotations(clients), { "nfs-client": own });
  });

  for (const text of ["not json", '{"a":1}']) {
    it(`refuses a record that somebody changed (${text}), and touches no other class's flag`, async () => {
      const clients = await classes(storageClass("nfs-client", { [recordAnnotation]: text }));
      await assert.rejects(
        restoreDefaultClass.run(input, clients),
        /annotation home-cluster\/default-class-before cannot be read/,
      );
      assert.deepEqual((await annotations(clients))["nfs-client"], { [recordAnnotation]: text });
    });
  }
});
