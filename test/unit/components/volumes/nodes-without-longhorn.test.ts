import assert from "node:assert/strict";
import { NodesWithoutLonghorn, pastCopy } from "../../../../components/volumes/nodes-without-longhorn";
import { accessWith, inClear, kubeconfig, kubernetesAccess, resources, run } from "../../../support/services";
import { secret } from "../../../../rehearsal/record";

const declared = {
  volumes: [
    { namespace: "monitoring", claim: "grafana-data" },
    { namespace: "games", claim: "valheim-server-data" },
  ],
  access: kubernetesAccess,
};

const answers = { "command:local:Command": { stdout: secret('{"cordoned":["rancheros-1"]}') } };

const program =
  (change: Partial<typeof declared> = {}) =>
  (opts: object) => ({ cordoned: new NodesWithoutLonghorn("closed", { ...declared, ...change }, opts).cordoned });

const requests = async (change: Partial<typeof declared>): Promise<string> =>
  JSON.stringify(resources(await run(program(change), { answers })).map(({ inputs }) => inputs));

describe("NodesWithoutLonghorn (mock runtime: what the operations do is in operations/cluster/without-longhorn)", () => {
  for (const preview of [false, true]) {
    it(`registers one Command that cordons, looks again at every change, and restores (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program(), { preview, answers });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [
        {
          name: "closed-cordon",
          type: "command:local:Command",
          parent: "closed",
          provider: "operations",
          inputs: {
            create: "operations/run cordon-without-longhorn",
            update: "operations/run cordon-without-longhorn",
            delete: "operations/run uncordon-without-longhorn",
            stdin: {
              secret: {
                version: 1,
                access: { kubernetes: { kubeconfig } },
                input: { volumes: ["games/valheim-server-data", "monitoring/grafana-data"] },
              },
            },
            logging: "stderr",
            addPreviousOutputInEnv: false,
          },
          options: { deleteBeforeReplace: true },
        },
      ]);
    });
  }

  it("hands on whom it cordoned, and no kubeconfig in clear", async () => {
    const recording = await run(program(), { answers });
    assert.deepEqual(recording.outputs, { cordoned: ["rancheros-1"] });
    assert.equal(inClear(recording).includes(kubeconfig), false);
  });

  it("looks again for another volume and another kubeconfig, not for another order", async () => {
    const before = await requests({});
    assert.notEqual(await requests({ volumes: declared.volumes.slice(1) }), before);
    assert.notEqual(await requests({ access: accessWith("rotated-kubeconfig") }), before);
    assert.equal(await requests({ volumes: [...declared.volumes].reverse() }), before);
  });

  it("is for every stage but copy", () => {
    assert.deepEqual(
      ["copy", "cutover", "finalize"].map((stage) => pastCopy({ stage })),
      [false, true, true],
    );
  });
});
