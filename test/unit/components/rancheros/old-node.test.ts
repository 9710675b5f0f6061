import assert from "node:assert/strict";
import type { Access } from "../../../../operations/access";
import { dispatch } from "../../../../operations/dispatch";
import { OldNode } from "../../../../components/rancheros/old-node";
import { retirements } from "../../../../components/rancheros/retirement";
import type { RetirementInput } from "../../../../operations/rancheros/retirement-input";
import { buildHome } from "../../../../rehearsal/home/build";
import { pretendClients } from "../../../../rehearsal/home/clients";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { reveal, type Recording } from "../../../../rehearsal/record";
import { verbOf } from "../../../../rehearsal/verb";
import { environment } from "../../../support/environment";
import { counted } from "../../../support/migrated-home";
import { credentials, run, ways, type RunOptions } from "../../../support/rancheros";
import { inClear, names, resources, summaries } from "../../../support/services";

const file = environment("home");
const [retirement = assert.fail()] = retirements(file, "home-rancheros");

function recorded(
  options: RunOptions = {},
  change: Partial<RetirementInput> = {},
  access: Partial<Access> = {},
): Promise<Recording> {
  return run((opts) => {
    const node = new OldNode("rancheros-1", { retirement: { ...retirement, ...change }, access: ways(access) }, opts);
    return { identity: node.identity };
  }, options);
}

const [proxmoxToken, rancherToken, kubeconfig] = credentials;

describe("OldNode (mock runtime: does not prove how the engine runs a Command)", () => {
  for (const preview of [false, true]) {
    it(`registers one Command and nothing of the machine itself (${preview ? "preview" : "update"})`, async () => {
      const recording = await recorded({ preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(
        summaries(recording).map(({ name, type, parent }) => [name, type, parent]),
        [
          ["rancheros-1", "home-cluster:rancheros:OldNode", "home-cluster-home-rancheros"],
          ["rancheros-1-machine", "command:local:Command", "rancheros-1"],
        ],
      );
      assert.deepEqual(summaries(recording)[1], {
        name: "rancheros-1-machine",
        type: "command:local:Command",
        parent: "rancheros-1",
        provider: "operations",
        inputs: {
          create: "operations/run record-old-node",
          update: "operations/run record-old-node",
          delete: "operations/run retire-old-node",
          stdin: {
            secret: {
              version: 1,
              access: {
                proxmox: { endpoint: "https://pve.invalid:8006/", token: proxmoxToken },
                rancher: {
                  url: "https://rancher.invalid",
                  token: rancherToken,
                  clusterId: "c-abc12",
                  clusterName: "home",
                  distribution: "rke1",
                },
                kubernetes: { kubeconfig },
              },
              input: { ...retirement },
            },
          },
          logging: "stderr",
          addPreviousOutputInEnv: false,
        },
        // Neither retainOnDelete nor protect: the delete is the retirement.
        options: { deleteBeforeReplace: true },
      });
    });
  }

  it("says who the machine is, from Proxmox", async () => {
    assert.deepEqual((await recorded()).outputs, { identity: { vmId: 101, mac: "BC:24:11:00:10:11" } });
  });

  it("fails when the live machine is another one, and only then", async () => {
    const home = buildHome(file);
    Object.assign(home.proxmox.vms.find((vm) => vm.vmId === 101) ?? {}, { name: "database" });
    const recording = await recorded({ home });
    assert.deepEqual(
      [...recording.failed.keys()].map((urn) => urn.split("::").at(-1)),
      ["rancheros-1-machine"],
    );
    assert.match([...recording.failed.values()][0] ?? "", /its name is database, recorded is rancheros-1/);
  });

  it("shows no credential in clear", async () => {
    const text = inClear(await recorded());
    for (const credential of credentials) assert.ok(!text.includes(credential), credential);
  });

  it("registers the same in preview and update", async () => {
    assert.deepEqual(names(await recorded({ preview: true })), names(await recorded()));
  });

  const inputs: [string, Partial<RetirementInput>, boolean][] = [
    ["node", { node: "rancheros-9" }, false],
    ["roles", { roles: ["worker"] }, true],
    ["address", { address: "192.168.10.19" }, true],
    ["vm.host", { vm: { ...retirement.vm, host: "pve-2" } }, false],
    ["vm.vmId", { vm: { ...retirement.vm, vmId: 150 } }, false],
    ["vm.mac", { vm: { ...retirement.vm, mac: "BC:24:11:00:10:19" } }, false],
    ["stack", { stack: "cabin-rancheros" }, true],
    ["oldNodes", { oldNodes: ["rancheros-1"] }, true],
    ["oldStorageClass", { oldStorageClass: "nfs-csi" }, true],
    ["volumes", { volumes: [] }, true],
    ["ingressAddress", { ingressAddress: "192.168.40.6" }, true],
    ["hosts", { hosts: [] }, true],
    ["snapshotHours", { snapshotHours: 48 }, true],
    ["machines", { machines: "keep" }, true],
  ];
  it("every field of its input is among those that are changed below", () =>
    assert.deepEqual(
      [...new Set(inputs.map(([field]) => field.split(".")[0]))].sort(),
      Object.keys(retirement).sort(),
    ));
  for (const [field, change, accepted] of inputs) {
    it(`a changed ${field} is recorded for the delete by reading again, ${accepted ? "with no other effect" : "and refused, since it is not that machine"}`, async () => {
      await updates(await recorded({ preview: true }, change), accepted);
    });
  }

  const accesses: [string, Partial<Access>][] = [
    ["Proxmox token", { proxmox: { endpoint: "https://pve.invalid:8006/", token: "rotated" } }],
    [
      "Rancher token",
      {
        rancher: {
          url: "https://rancher.invalid",
          token: "rotated",
          clusterId: "c-abc12",
          clusterName: "home",
          distribution: "rke1",
        },
      },
    ],
    ["kubeconfig", { kubernetes: { kubeconfig: "rotated" } }],
  ];
  for (const [name, access] of accesses) {
    it(`a rotated ${name} is recorded for the delete by reading again, with no other effect`, async () => {
      await updates(await recorded({ preview: true }, {}, access), true);
    });
  }

  it("a changed SSH key does not reach it", async () => {
    const [before, after] = [await recorded(), await recorded({}, {}, { ssh: { privateKey: "rotated" } })];
    assert.deepEqual(resources(before), resources(after));
  });
});

/** Runs the update that a changed request causes, and asserts that it differs from the recorded one and writes nothing. */
async function updates(changed: Recording, accepted: boolean): Promise<void> {
  const inputsOf = (recording: Recording): Record<string, unknown> =>
    recording.registrations.find(({ name }) => name.endsWith("-machine"))?.inputs ?? {};
  const after = inputsOf(changed);
  assert.notDeepEqual(reveal(after.stdin), reveal(inputsOf(await recorded()).stdin));
  const home = buildHome(file);
  const before = structuredClone(home);
  const clients = counted(pretendClients(home, new VirtualClock(home.now)), (_, call) =>
    assert.match(call, /^proxmox\.(readVm|listVms|vmIdFree)$/),
  );
  const run = dispatch(verbOf(after.update) ?? "", String(reveal(after.stdin)), () => clients);
  if (accepted) assert.deepEqual(JSON.parse(await run), { name: "rancheros-1", vmId: 101, mac: "BC:24:11:00:10:11" });
  else await assert.rejects(run, /not the one in the environment file|there is no machine|not recorded/);
  assert.deepEqual(home, before);
}

describe("retirements", () => {
  it("records every node that is not retired, each with all that are to go and all volumes", () => {
    const lab = retirements(environment("lab"), "lab-rancheros");
    const hosts = [
      { what: "a DNS server of network lab", host: "172.20.10.1" },
      { what: "the gateway of network lab", host: "172.20.10.1" },
      { what: "the gateway of network edge", host: "172.20.20.1" },
    ];
    assert.deepEqual(lab, [
      {
        node: "lab-k3os-1",
        roles: ["controlplane", "etcd", "worker"],
        address: "172.20.10.21",
        vm: { host: "pve-a", vmId: 301, mac: "BC:24:11:0A:10:21" },
        stack: "lab-rancheros",
        oldNodes: ["lab-k3os-1", "lab-k3os-2"],
        oldStorageClass: "nfs-csi",
        volumes: [
          { namespace: "games", claim: "valheim-server-data" },
          { namespace: "wiki", claim: "wiki-data" },
        ],
        ingressAddress: "172.20.20.2",
        hosts,
        snapshotHours: 24,
        machines: "delete" as const,
      },
      {
        node: "lab-k3os-2",
        roles: ["worker"],
        address: "172.20.10.22",
        vm: { host: "pve-b", vmId: 302, mac: "BC:24:11:0A:10:22" },
        stack: "lab-rancheros",
        oldNodes: ["lab-k3os-1", "lab-k3os-2"],
        oldStorageClass: "nfs-csi",
        volumes: [
          { namespace: "games", claim: "valheim-server-data" },
          { namespace: "wiki", claim: "wiki-data" },
        ],
        ingressAddress: "172.20.20.2",
        hosts,
        snapshotHours: 24,
        machines: "delete" as const,
      },
    ]);
  });
});
