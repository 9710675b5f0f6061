import assert from "node:assert/strict";
import { DefaultStorage } from "../../../../components/services/default-storage";
import { storageClasses } from "../../../../operations/kinds";
import type { Operation } from "../../../../operations/operation";
import { operations } from "../../../../operations/verbs";
import { readyObjects, storageHome } from "../../../support/longhorn";
import {
  accessWith,
  inClear,
  kubeconfig,
  kubernetesAccess,
  resources,
  run,
  type RunOptions,
} from "../../../support/services";

const declared = {
  storageNodes: ["debian-1", "debian-2"],
  oldStorageClass: "nfs-client",
  reservedPercent: 30,
  revision: 3 as number | undefined,
  access: kubernetesAccess,
};

const program =
  (change: Partial<typeof declared> = {}) =>
  (opts: object) => ({ storageClass: new DefaultStorage("default", { ...declared, ...change }, opts).storageClass });

const access = { kubernetes: { kubeconfig } };
const command = { type: "command:local:Command", parent: "default", provider: "operations" };
const constant = { logging: "stderr", addPreviousOutputInEnv: false };
const options = { deleteBeforeReplace: true };

const flag = {
  name: "default-default-class",
  ...command,
  inputs: {
    create: "operations/run default-class",
    update: "operations/run default-class",
    delete: "operations/run restore-default-class",
    stdin: { secret: { version: 1, access, input: { storageClass: "longhorn", oldStorageClass: "nfs-client" } } },
    ...constant,
  },
  options,
};
const ready = {
  name: "default-storage-ready",
  ...command,
  inputs: {
    create: "operations/run storage-ready",
    update: "operations/run storage-ready",
    stdin: {
      secret: {
        version: 1,
        access,
        input: { storageClass: "longhorn", nodes: ["debian-1", "debian-2"], reservedPercent: 30, revision: 3 },
      },
    },
    ...constant,
  },
  after: ["default-default-class"],
  options,
};

describe("DefaultStorage (mock runtime: does not prove what the operations do, see operations/storage)", () => {
  for (const preview of [false, true]) {
    it(`registers the flag, then the gate behind it (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [flag, ready]);
    });
  }

  it("hands on the class only once the gate has opened, and not as a secret", async () => {
    assert.deepEqual((await run(program())).outputs, { storageClass: "longhorn" });
    assert.deepEqual((await run(program(), { fail: "storage-ready" })).outputs, {});
  });

  it("does not ask for a ready storage when the flag could not be moved", async () => {
    const recording = await run(program(), { fail: "default-class" });
    assert.deepEqual(
      resources(recording).map(({ name }) => name),
      ["default-default-class"],
    );
  });

  it("shows no kubeconfig in clear", async () =>
    assert.equal(inClear(await run(program())).includes(kubeconfig), false));

  it("leaves a revision out that nobody reported", async () => {
    const [, found] = resources(await run(program({ revision: undefined })));
    assert.deepEqual(inputOf(found), {
      storageClass: "longhorn",
      nodes: ["debian-1", "debian-2"],
      reservedPercent: 30,
    });
  });
});

describe("DefaultStorage, each input changed (real operations on the pretend home)", () => {
  /** What the updates do to a home in which the first update has run. */
  const changes: Record<string, Partial<typeof declared>> = {
    "another storage node": { storageNodes: ["debian-1"] },
    "another old class": { oldStorageClass: "local-path" },
    "another reserve": { reservedPercent: 20 },
    "another revision": { revision: 4 },
    "another kubeconfig": { access: accessWith("rotated-kubeconfig") },
  };
  for (const [title, change] of Object.entries(changes)) {
    it(`${title}: the classes stay as they are, the record is not written again`, async () => {
      const clients = storageHome();
      for (const object of Object.values(readyObjects(["debian-1", "debian-2"])))
        await clients.kubernetes.create(object);
      const perform = async (which: "create" | "update", given: Partial<typeof declared>): Promise<void> => {
        for (const found of resources(await run(program(given))))
          await (await operationOf(found.inputs, which)).run(inputOf(found), clients);
      };
      await perform("create", {});
      const before = JSON.stringify(await clients.kubernetes.list(storageClasses));
      await perform("update", change);
      assert.equal(JSON.stringify(await clients.kubernetes.list(storageClasses)), before);
    });

    it(`${title}: changes the request of an update, so that it is run`, async () => {
      const requests = async (given: Partial<typeof declared>, more: RunOptions = {}): Promise<string> =>
        JSON.stringify(resources(await run(program(given), more)).map(({ inputs }) => inputs));
      assert.notEqual(await requests(change), await requests({}));
    });
  }
});

function inputOf(found: { readonly inputs: unknown } | undefined): unknown {
  return (found?.inputs as typeof flag.inputs | undefined)?.stdin.secret.input;
}

async function operationOf(inputs: unknown, which: "create" | "update"): Promise<Operation> {
  const verb = (inputs as typeof flag.inputs)[which].replace("operations/run ", "");
  const operation = await operations[verb]?.();
  assert.ok(operation);
  return operation;
}
