import assert from "node:assert/strict";
import * as random from "@pulumi/random";
import { LonghornGuard } from "../../../../components/services/longhorn-guard";
import type { AccessInput } from "../../../../operations/declare";
import { accessWith, inClear, kubeconfig, kubernetesAccess, names, resources, run } from "../../../support/services";

const program =
  (leaving = false, access: AccessInput = kubernetesAccess) =>
  (opts: object) => {
    const layer = new random.RandomString("layer", { length: 1 });
    new LonghornGuard("guard", { leaving, access }, { ...opts, dependsOn: [layer] });
  };

const guard = (leaving: boolean): object => ({
  name: "guard-guard",
  type: "command:local:Command",
  parent: "guard",
  provider: "operations",
  inputs: {
    create: "operations/run guard-longhorn",
    update: "operations/run guard-longhorn",
    delete: "operations/run leave-longhorn",
    stdin: { secret: { version: 1, access: { kubernetes: { kubeconfig } }, input: { leaving } } },
    logging: "stderr",
    addPreviousOutputInEnv: false,
  },
  // What it waits for is deleted after it.
  after: ["layer"],
  options: { deleteBeforeReplace: true },
});

describe("LonghornGuard (mock runtime: does not prove in which order the engine deletes)", () => {
  for (const preview of [false, true]) {
    it(`registers one Command behind all of the layer (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording)[0], guard(false));
      assert.deepEqual(names(recording), ["guard", "guard-guard", "layer"]);
    });
  }

  it("records the switch for the deletion: an update with it changes the request and runs what records it", async () => {
    assert.deepEqual(resources(await run(program(true)))[0], guard(true));
  });

  it("records a rotated kubeconfig for the deletion", async () => {
    const [found] = resources(await run(program(false, accessWith("rotated"))));
    assert.notDeepEqual(found, guard(false));
  });

  it("is not there before the layer is", async () => {
    assert.deepEqual(names(await run(program(), { fail: "layer" })), ["layer"]);
  });

  it("shows no kubeconfig in clear", async () =>
    assert.equal(inClear(await run(program())).includes(kubeconfig), false));
});
