import assert from "node:assert/strict";
import * as command from "@pulumi/command";
import { NodeRestart, type NodeRestartArgs } from "../../../../components/nodes/node-restart";
import { warnOfPending } from "../../../../components/nodes/pending";
import type { EnvironmentFile } from "../../../../environment/schema";
import { accessSchema } from "../../../../operations/access";
import { dispatch } from "../../../../operations/dispatch";
import { record, reveal, secret, type Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { migratedHome, standing, vmOf } from "../../../support/migrated-home";
import { secrets, ways } from "../../../support/nodes";
import { inClear, names, summaries } from "../../../support/services";
import { keepingWarnings } from "../../../support/warnings";

function args(change: (file: EnvironmentFile) => void = () => undefined): NodeRestartArgs {
  const { nodes, networks, domain, sshPublicKey } = environment("home", change);
  const [node] = nodes;
  assert.ok(node);
  return { node, networks, domain, sshPublicKey, access: ways() };
}

/** Records the step behind a resource that stands for machine and membership. */
function run(given: NodeRestartArgs, { preview = false, fail = false } = {}): Promise<Recording> {
  return record(
    () => {
      const providers = [new command.Provider("operations")];
      const before = new command.local.Command("before", { create: "true" }, { provider: providers[0] });
      new NodeRestart("debian-1-restart", given, { providers, dependsOn: before });
    },
    {
      stack: "test-nodes",
      preview,
      answer: ({ name }) => {
        if (fail && name === "before") throw new Error("it failed");
        return name === "debian-1-restart-step" ? { outputs: { stdout: secret("{}") } } : {};
      },
    },
  );
}

const request = {
  version: 1,
  access: {
    proxmox: { endpoint: "https://pve.home.example.org:8006/", token: secrets.proxmoxToken },
    rancher: {
      url: "https://rancher.home.example.org",
      token: secrets.rancherToken,
      clusterId: "c-abc12",
      clusterName: "home",
      distribution: "rke1",
    },
    kubernetes: { kubeconfig: secrets.kubeconfig },
  },
  input: {
    node: "debian-1",
    vm: { host: "pve", vmId: 201, mac: "BC:24:11:00:10:21" },
    allowed: false,
    wanted: {
      cores: 4,
      memory: 12,
      cards: [
        {
          network: "servers",
          address: "192.168.10.21",
          mac: "BC:24:11:00:10:21",
          bridge: "vmbr0",
          cidr: "192.168.10.0/24",
          gateway: "192.168.10.1",
        },
        {
          network: "dmz",
          address: "192.168.40.21",
          mac: "BC:24:11:00:40:21",
          bridge: "vmbr0",
          vlan: 40,
          cidr: "192.168.40.0/24",
          gateway: "192.168.40.1",
        },
      ],
      dns: ["192.168.10.1"],
      domain: "home.example.org",
      user: "debian",
      sshPublicKey: args().sshPublicKey,
    },
  },
};

describe("components/nodes/node-restart (that only a changed input runs the step is @pulumi/command's doing)", () => {
  it("registers one step, with three ways in and without SSH, behind what it is told to depend on", async () => {
    const recording = await run(args());
    assert.deepEqual(
      summaries(recording).filter(({ name }) => name.startsWith("debian-1-restart-")),
      [
        {
          name: "debian-1-restart-step",
          type: "command:local:Command",
          parent: "debian-1-restart",
          provider: "operations",
          inputs: {
            create: "operations/run restart-node",
            update: "operations/run restart-node",
            stdin: { secret: request },
            logging: "stderr",
            addPreviousOutputInEnv: false,
          },
          after: ["before"],
          options: { deleteBeforeReplace: true },
        },
      ],
    );
    for (const text of Object.values(secrets)) assert.ok(!inClear(recording).includes(text), text);
  });

  it("registers the same in preview and update, and nothing when what it depends on failed", async () => {
    assert.deepEqual(names(await run(args(), { preview: true })), names(await run(args())));
    assert.ok(!names(await run(args(), { fail: true })).includes("debian-1-restart-step"));
  });

  const changes: [string, (file: EnvironmentFile) => void][] = [
    ["restart", (file) => Object.assign(file.nodes[0] ?? {}, { restart: true })],
    ["cores", (file) => Object.assign(file.nodes[0] ?? {}, { cores: 6 })],
    ["memory", (file) => Object.assign(file.nodes[0] ?? {}, { memory: 16 })],
    ["a card's address", (file) => Object.assign(file.nodes[0]?.cards[1] ?? {}, { address: "192.168.40.29" })],
    ["a network's gateway", (file) => Object.assign(file.networks[0] ?? {}, { gateway: "192.168.10.9" })],
    ["DNS", (file) => Object.assign(file.networks[0] ?? {}, { dns: ["192.168.10.3"] })],
    ["the domain", (file) => (file.domain = "other.example.org")],
    ["the key", (file) => (file.sshPublicKey = "ssh-ed25519 AAAAother operator@example.org")],
  ];
  it("what Proxmox may keep until a restart changes the step's request; what it takes at once does not", async () => {
    const other = (file: EnvironmentFile): void =>
      void Object.assign(file.nodes[0] ?? {}, { systemDisk: 50, labels: { zone: "a" }, protect: false });
    const variants = [["as it is", () => undefined], ...changes, ["anything else", other]] as const;
    const { registrations } = await record(
      () => variants.forEach(([, change], index) => new NodeRestart(`variant-${index}`, args(change))),
      { answer: () => ({ outputs: { stdout: secret("{}") } }) },
    );
    const requests = variants.map((_, index) =>
      String(reveal(registrations.find(({ name }) => name === `variant-${index}-step`)?.inputs.stdin)),
    );
    assert.deepEqual(
      variants.filter((_, index) => requests[index] !== requests[0]).map(([what]) => what),
      changes.map(([what]) => what),
    );
    assert.deepEqual(JSON.parse(requests[0] ?? ""), request);
  });

  it("an update with any changed value touches nothing while nothing waits, and while it is not allowed", async () => {
    const rotated = accessSchema.parse({ ...request.access, kubernetes: { kubeconfig: "rotated" } });
    for (const pending of [undefined, { memory: 16_384 }]) {
      const { home, clients } = await migratedHome("home");
      Object.assign(vmOf(home, "debian-1"), { pending });
      const before = structuredClone(home);
      for (const next of [
        { ...request, access: rotated },
        { ...request, input: { ...request.input, wanted: { memory: 16 } } },
        ...(pending ? [] : [{ ...request, input: { ...request.input, allowed: true } }]),
      ]) {
        await dispatch("restart-node", JSON.stringify(next), () => clients);
        assert.deepEqual(home, before);
      }
    }
  });

  it("a restart that failed is tried again by the same request, and one that went well is not repeated", async () => {
    const { home, clients } = await migratedHome("home");
    Object.assign(vmOf(home, "debian-1"), { config: {}, pending: { memory: 16_384 } });
    const stdin = JSON.stringify({ ...request, input: { ...request.input, allowed: true } });
    const start = clients.proxmox.startVm.bind(clients.proxmox);
    let starts = 0;
    clients.proxmox.startVm = async (...given) => {
      if ((starts += 1) === 1) throw new Error("start failed: QEMU exited with code 1");
      return start(...given);
    };
    // The engine records no failed update, so the next `up` runs the step with the same request.
    await assert.rejects(
      dispatch("restart-node", stdin, () => clients),
      /not back: it failed\n.*QEMU exited/,
    );
    assert.equal(vmOf(home, "debian-1").status, "stopped");
    assert.deepEqual(JSON.parse(await dispatch("restart-node", stdin, () => clients)), {
      node: "debian-1",
      restarted: true,
      waiting: [],
    });
    assert.deepEqual([vmOf(home, "debian-1").memory, standing(home).cordoned, starts], [16, [], 2]);
    await dispatch("restart-node", stdin, () => clients);
    assert.equal(starts, 2);
  });
});

describe("components/nodes/pending", () => {
  const file = environment("home", (home) => Object.assign(home.nodes[1] ?? {}, { restart: true }));
  const warnings = async (pending: object, preview = false): Promise<readonly string[]> => {
    const asked: unknown[] = [];
    const kept = await keepingWarnings(() =>
      record(() => warnOfPending({ nodes: file.nodes, access: ways() }, {}), {
        preview,
        call: (_, { command: line, stdin }) => {
          asked.push([line, JSON.parse(String(reveal(stdin)))]);
          return { stdout: JSON.stringify({ pending }) };
        },
      }),
    );
    assert.equal(kept.result.error, undefined);
    assert.deepEqual(asked, [
      [
        "operations/run check-pending",
        {
          version: 1,
          access: { proxmox: request.access.proxmox },
          input: {
            nodes: [201, 202, 203].map((vmId, index) => ({ name: `debian-${index + 1}`, host: "pve", vmId })),
          },
        },
      ],
    ]);
    return kept.warnings;
  };

  it("asks once for all nodes, in a preview as well, and says nothing when nothing waits", async () => {
    for (const preview of [true, false]) assert.deepEqual(await warnings({}, preview), []);
  });

  const first =
    "  to apply it: `restart: true` on debian-1, debian-3 in the environment file, then `pulumi up`: one node at a time is drained, restarted and awaited";
  const second =
    "  `restart: true` on debian-2: `pulumi up` applies what the environment file changed; anything else: `pulumi up --replace '**::debian-2-restart-step'`";
  const cases: [string, object, string][] = [
    [
      "all that may not restart",
      { "debian-1": ["cores", "memory"], "debian-3": ["cloud-init"] },
      `waits for a restart: debian-1 (cores, memory), debian-3 (cloud-init)\n${first}`,
    ],
    ["one that may", { "debian-2": ["memory"] }, `waits for a restart: debian-2 (memory)\n${second}`],
    [
      "both",
      { "debian-1": ["memory"], "debian-2": ["memory"], "debian-3": ["memory"] },
      `waits for a restart: debian-1 (memory), debian-2 (memory), debian-3 (memory)\n${first}\n${second}`,
    ],
  ];
  for (const [what, pending, warning] of cases) {
    it(`warns once of ${what}, with what waits and the next step`, async () => {
      assert.deepEqual(await warnings(pending), [warning]);
    });
  }
});
