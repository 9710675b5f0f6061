import assert from "node:assert/strict";
import { OldNode } from "../../../../components/rancheros/old-node";
import { retirements } from "../../../../components/rancheros/retirement";
import { RetirementGate } from "../../../../components/rancheros/retirement-gate";
import { dispatch } from "../../../../operations/dispatch";
import { reveal, type Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { credentials, run, ways, type RunOptions } from "../../../support/rancheros";
import { inClear, names, summaries } from "../../../support/services";

const recorded = retirements(environment("home"), "home-rancheros");

function gate(
  options: RunOptions = {},
  { stack = "home-rancheros", nodes = recorded, access = {} } = {},
): Promise<Recording> {
  return run((opts) => {
    const oldNodes = recorded.map((retirement) => new OldNode(retirement.node, { retirement, access: ways() }, opts));
    new RetirementGate(
      "retirement",
      { stack, retirements: nodes, access: ways(access) },
      { ...opts, dependsOn: oldNodes },
    );
  }, options);
}

const machines = ["rancheros-1-machine", "rancheros-2-machine", "rancheros-3-machine"];

describe("RetirementGate (mock runtime: does not prove that the engine deletes what depends on others first)", () => {
  for (const preview of [false, true]) {
    it(`registers one Command behind every old node (${preview ? "preview" : "update"})`, async () => {
      const recording = await gate({ preview });
      assert.equal(recording.error, undefined);
      const found = summaries(recording).find(({ name }) => name === "retirement-check");
      const { inputs, after, ...rest } = found ?? assert.fail();
      assert.deepEqual(rest, {
        name: "retirement-check",
        type: "command:local:Command",
        parent: "retirement",
        provider: "operations",
        options: { deleteBeforeReplace: true },
      });
      assert.ok(
        machines.every((machine) => after?.includes(machine)),
        String(after),
      );
      const { stdin, ...commands } = inputs as Record<string, unknown> & {
        stdin: { secret: { access: object; input: object } };
      };
      assert.deepEqual(commands, {
        create: "operations/run guard-retirement",
        update: "operations/run guard-retirement",
        delete: "operations/run check-retirement",
        logging: "stderr",
        addPreviousOutputInEnv: false,
      });
      assert.deepEqual(Object.keys(stdin.secret.access).sort(), ["kubernetes", "proxmox", "rancher"]);
      assert.deepEqual(stdin.secret.input, { stack: "home-rancheros", nodes: recorded });
      assert.equal(
        summaries(recording).find(({ name }) => name === "retirement")?.type,
        "home-cluster:rancheros:RetirementGate",
      );
    });
  }

  for (const machine of machines) {
    it(`is not there unless ${machine} is`, async () => {
      const all = names(await gate());
      assert.deepEqual(
        names(await gate({ fail: machine })),
        all.filter((name) => !name.startsWith("retirement")),
      );
    });
  }

  const changes: [string, Parameters<typeof gate>[1]][] = [
    ["stack", { stack: "cabin-rancheros" }],
    ["node", { nodes: recorded.slice(1) }],
    ["Proxmox token", { access: { proxmox: { endpoint: "https://pve.invalid:8006/", token: "rotated" } } }],
    [
      "Rancher token",
      {
        access: {
          rancher: {
            url: "https://rancher.invalid",
            token: "rotated",
            clusterId: "c-abc12",
            clusterName: "home",
            distribution: "rke1",
          },
        },
      },
    ],
    ["kubeconfig", { access: { kubernetes: { kubeconfig: "rotated" } } }],
  ];
  for (const [name, change] of changes) {
    it(`a changed ${name} is recorded for the delete; the update asks nobody`, async () => {
      const inputs = async (recording: Promise<Recording>): Promise<Record<string, unknown>> =>
        (await recording).registrations.find((other) => other.name === "retirement-check")?.inputs ?? {};
      const after = await inputs(gate({}, change));
      assert.notDeepEqual(reveal(after.stdin), reveal((await inputs(gate())).stdin));
      await dispatch("guard-retirement", String(reveal(after.stdin)), (_, needs) => {
        assert.deepEqual(needs, []);
        return {} as never;
      });
    });
  }

  it("shows no credential in clear", async () => {
    const text = inClear(await gate());
    for (const credential of credentials) assert.ok(!text.includes(credential), credential);
  });
});
