import assert from "node:assert/strict";
import type * as pulumi from "@pulumi/pulumi";
import { DebianNode, type DebianNodeArgs } from "../../../../components/nodes/debian-node";
import { DebianVm } from "../../../../components/nodes/debian-vm";
import { diskDatastore, networkOf } from "../../../../components/nodes/lookup";
import { firstCard } from "../../../../components/nodes/node-provisioning";
import type { EnvironmentFile } from "../../../../environment/schema";
import { accessSchema } from "../../../../operations/access";
import { dispatch } from "../../../../operations/dispatch";
import { nodes as kubernetesNodes } from "../../../../operations/kinds";
import { isUnknown, reveal, type Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { homeWithMachine, hostKey, run, secrets, uuid, ways } from "../../../support/nodes";
import { inClear, names, resources, summaries, type Summary } from "../../../support/services";

type NodeFile = EnvironmentFile["nodes"][number];

function args(change: (node: NodeFile, file: EnvironmentFile) => void = () => undefined): DebianNodeArgs {
  const file = environment("home", (home) => {
    const [node] = home.nodes;
    assert.ok(node);
    change(node, home);
  });
  const [node] = file.nodes;
  assert.ok(node);
  return {
    node,
    vmId: 201,
    image: "local:import/debian.qcow2",
    hosts: file.proxmox.hosts,
    networks: file.networks,
    domain: file.domain,
    cluster: "home",
    snapshotHours: 24,
    distribution: "rke1",
    sshPublicKey: file.sshPublicKey,
    access: ways(),
  };
}

const node = (given: DebianNodeArgs = args()) =>
  function debian(opts: pulumi.ComponentResourceOptions): object {
    return { reach: new DebianNode("debian-1", given, opts).reach };
  };

function inputsOf(recording: Recording, name: string): Record<string, unknown> {
  const found = recording.registrations.find((registration) => registration.name === name);
  assert.ok(found, `${name} is not registered`);
  return found.inputs;
}

/** The resource of that name, as it was registered. */
function only(recording: Recording, name: string): Summary {
  const found = summaries(recording).find((summary) => summary.name === name);
  assert.ok(found, `${name} is not registered`);
  return found;
}

const request = (recording: Recording, name: string): { access: object; input: Record<string, unknown> } =>
  JSON.parse(String(reveal(inputsOf(recording, name).stdin))) as { access: object; input: Record<string, unknown> };

const all = [
  "debian-1",
  "debian-1-identity",
  "debian-1-identity-guard",
  "debian-1-membership",
  "debian-1-membership-member",
  "debian-1-provisioning",
  "debian-1-provisioning-guest",
  "debian-1-restart",
  "debian-1-restart-step",
  "debian-1-vm",
  "debian-1-vm-machine",
];

describe("components/nodes/debian-node (does not prove that Proxmox or Rancher accept any of it)", () => {
  it("registers the machine with every argument that keeps the provider quiet and the disks safe", async () => {
    const recording = await run(node());
    const disk = {
      datastoreId: "local-lvm",
      discard: "on",
      ssd: true,
      iothread: true,
      aio: "io_uring",
      cache: "none",
      backup: true,
      replicate: true,
    };
    assert.deepEqual(only(recording, "debian-1-vm-machine"), {
      name: "debian-1-vm-machine",
      type: "proxmoxve:index/vmLegacy:VmLegacy",
      parent: "debian-1-vm",
      provider: "proxmox",
      inputs: {
        nodeName: "pve",
        vmId: 201,
        name: "debian-1",
        description: "Node of the cluster home, declared by home-cluster",
        tags: ["debian", "home-cluster-home"],
        onBoot: true,
        started: true,
        operatingSystem: { type: "l26" },
        scsiHardware: "virtio-scsi-single",
        cpu: { cores: 4, sockets: 1, type: "x86-64-v2-AES" },
        memory: { dedicated: 12_288 },
        disks: [
          { interface: "scsi0", size: 40, importFrom: "local:import/debian.qcow2", ...disk },
          { interface: "scsi1", size: 200, ...disk },
        ],
        bootOrders: ["scsi0"],
        cdrom: { fileId: "none", interface: "ide3" },
        networkDevices: [
          { bridge: "vmbr0", model: "virtio", macAddress: "BC:24:11:00:10:21", firewall: false },
          { bridge: "vmbr0", model: "virtio", macAddress: "BC:24:11:00:40:21", vlanId: 40, firewall: false },
        ],
        serialDevices: [{ device: "socket" }],
        vga: { type: "serial0" },
        agent: { enabled: true, type: "virtio", trim: true, timeout: "1m", waitForIp: { disabled: true } },
        initialization: {
          type: "nocloud",
          interface: "ide2",
          datastoreId: "local-lvm",
          dns: { domain: "home.example.org", servers: ["192.168.10.1"] },
          ipConfigs: [
            { ipv4: { address: "192.168.10.21/24", gateway: "192.168.10.1" } },
            { ipv4: { address: "192.168.40.21/24" } },
          ],
          userAccount: { username: "debian", keys: [args().sshPublicKey] },
        },
        stopOnDestroy: true,
        deleteUnreferencedDisksOnDestroy: false,
        rebootAfterUpdate: false,
        timeoutCreate: 900,
        timeoutStartVm: 300,
        timeoutShutdownVm: 180,
        timeoutStopVm: 120,
      },
      options: {
        protect: true,
        deleteBeforeReplace: true,
        ignoreChanges: ["disks[0].speed", "disks[1].speed", "disks[0].importFrom", "started"],
      },
    });
  });

  it("leaves out what the file leaves out: data disk, gateway, DNS servers; and protects only on request", async () => {
    const given = args((spec, file) => {
      delete spec.dataDisk;
      spec.protect = false;
      file.longhorn.replicas = 2;
    });
    const networks = given.networks.map((network) => ({ ...network, dns: [], gateway: undefined }));
    const recording = await run(node({ ...given, networks }));
    const { inputs, options } = only(recording, "debian-1-vm-machine");
    const machine = inputs as { disks: object[]; initialization: { dns: object; ipConfigs: object[] } };
    assert.equal(machine.disks.length, 1);
    assert.deepEqual(machine.initialization.dns, { domain: "home.example.org" });
    assert.deepEqual(machine.initialization.ipConfigs, [
      { ipv4: { address: "192.168.10.21/24" } },
      { ipv4: { address: "192.168.40.21/24" } },
    ]);
    // No entry for a disk that is not there: the engine warns about those.
    assert.deepEqual(options, {
      deleteBeforeReplace: true,
      ignoreChanges: ["disks[0].speed", "disks[0].importFrom", "started"],
    });
    const { cards, dataDisk } = request(recording, "debian-1-provisioning-guest").input;
    assert.deepEqual([cards, dataDisk], [[{ mac: "BC:24:11:00:40:21", network: "192.168.40.0/24" }], undefined]);
    assert.deepEqual(request(recording, "debian-1-membership-member").input.labels, {
      "home-cluster/node": "debian",
    });
  });

  const command = (
    name: string,
    parent: string,
    verbs: object,
    stdin: object,
    after: string[],
    trigger = uuid,
  ): object => ({
    name,
    type: "command:local:Command",
    parent,
    provider: "operations",
    inputs: {
      ...verbs,
      stdin: { secret: stdin },
      logging: "stderr",
      addPreviousOutputInEnv: false,
      triggers: [trigger],
    },
    after,
    options: { deleteBeforeReplace: true },
  });
  const proxmox = { endpoint: "https://pve.home.example.org:8006/", token: secrets.proxmoxToken };

  it("registers the machine's guard before provisioning, verification and membership, each with the secrets that it needs and a trigger on which machine it is", async () => {
    const recording = await run(node());
    const vm = { host: "pve", vmId: 201 };
    assert.deepEqual(
      // The restart's step: node-restart.test.ts.
      resources(recording).filter(({ name, type }) => type === "command:local:Command" && !name.endsWith("-step")),
      [
        command(
          "debian-1-identity-guard",
          "debian-1-identity",
          {
            create: "operations/run start-machine",
            update: "operations/run identify-machine",
            delete: "operations/run check-machine",
          },
          {
            version: 1,
            access: { proxmox },
            input: { node: "debian-1", tag: "home-cluster-home", vm: { ...vm, mac: "BC:24:11:00:10:21" } },
          },
          ["debian-1-vm-machine"],
          uuid,
        ),
        command(
          "debian-1-membership-member",
          "debian-1-membership",
          {
            create: "operations/run join",
            update: "operations/run refresh-membership",
            delete: "operations/run leave",
          },
          {
            version: 1,
            access: {
              proxmox,
              rancher: {
                url: "https://rancher.home.example.org",
                token: secrets.rancherToken,
                clusterId: "c-abc12",
                clusterName: "home",
                distribution: "rke1",
              },
              kubernetes: { kubeconfig: secrets.kubeconfig },
              ssh: { privateKey: secrets.sshPrivateKey },
            },
            input: {
              node: "debian-1",
              roles: ["controlplane", "etcd", "worker"],
              labels: { "home-cluster/node": "debian", "node.longhorn.io/create-default-disk": "true" },
              address: "192.168.10.21",
              distribution: "rke1",
              hostKey,
              vm: { ...vm, mac: "BC:24:11:00:10:21", uuid },
              protect: true,
            },
          },
          ["debian-1-identity-guard", "debian-1-provisioning-guest", "debian-1-vm-machine"],
        ),
        command(
          "debian-1-provisioning-guest",
          "debian-1-provisioning",
          { create: "operations/run provision", update: "operations/run provision" },
          {
            version: 1,
            access: { proxmox, ssh: { privateKey: secrets.sshPrivateKey } },
            input: {
              revision: 1,
              node: "debian-1",
              address: "192.168.10.21",
              distribution: "rke1",
              vm,
              dataDisk: 200,
              cards: [{ mac: "BC:24:11:00:40:21", network: "192.168.40.0/24", gateway: "192.168.40.1" }],
            },
          },
          ["debian-1-identity-guard", "debian-1-vm-machine"],
        ),
      ],
    );
  });

  it("returns how the node is reached once it is a member, and never shows a secret", async () => {
    const recording = await run(node());
    assert.deepEqual(recording.outputs, { reach: { vmId: 201, address: "192.168.10.21", hostKey } });
    for (const text of Object.values(secrets)) assert.ok(!inClear(recording).includes(text), text);
  });

  it("registers the same in preview and update, with ids and results unknown in the preview", async () => {
    const preview = await run(node(), { preview: true });
    assert.deepEqual(names(preview), all);
    assert.deepEqual(names(await run(node())), all);
    assert.deepEqual(
      inputsOf(preview, "debian-1-membership-member").triggers,
      [inputsOf(preview, "debian-1-provisioning-guest").triggers].flat(),
    );
    assert.ok(isUnknown((inputsOf(preview, "debian-1-membership-member").triggers as unknown[])[0]));
  });

  it("asks who the machine is once its id is known, so never in a preview that makes it", async () => {
    for (const preview of [true, false]) {
      const recording = await run(node(), { preview, refuse: "asked", refuses: "identify-machine" });
      assert.equal(/asked/.test(String(recording.error)), !preview);
    }
  });

  it("registers nothing on a machine that is refused", async () => {
    const recording = await run(node(), { refuse: "another one", refuses: "identify-machine" });
    assert.match(String(recording.error), /another one/);
    assert.deepEqual(
      resources(recording).map(({ name }) => name),
      ["debian-1-vm-machine"],
    );
  });

  const onMachine = ["debian-1-membership-member", "debian-1-provisioning-guest", "debian-1-restart-step"];
  const gates: [string, string[]][] = [
    ["debian-1-vm-machine", ["debian-1-identity-guard", ...onMachine]],
    ["debian-1-identity-guard", onMachine],
    ["debian-1-provisioning-guest", ["debian-1-membership-member", "debian-1-restart-step"]],
    ["debian-1-membership-member", ["debian-1-restart-step"]],
    ["debian-1-restart-step", []],
  ];
  const custom = all.filter((name) => /machine|guard|guest|member$|step$/.test(name));
  for (const [fail, lost] of gates) {
    it(`without ${fail}, exactly ${lost.length} more resources are not registered`, async () => {
      const recording = await run(node(), { fail });
      const registered = resources(recording).map(({ name }) => name);
      assert.deepEqual(
        custom.filter((name) => !registered.includes(name)),
        lost,
      );
      assert.deepEqual(
        [...recording.failed.keys()].map((urn) => urn.split("::").at(-1)),
        [fail],
      );
    });
  }

  it("passes labels of the file on, ours last, and every other fact that changes", async () => {
    const given = args();
    const spec = { ...given.node, labels: { zone: "a", "home-cluster/node": "something else" } };
    const recording = await run(node({ ...given, node: spec, distribution: "rke2" }));
    const { labels, distribution } = request(recording, "debian-1-membership-member").input;
    assert.deepEqual(labels, {
      zone: "a",
      "home-cluster/node": "debian",
      "node.longhorn.io/create-default-disk": "true",
    });
    assert.equal(distribution, "rke2");
    assert.equal(request(recording, "debian-1-provisioning-guest").input.distribution, "rke2");
  });

  it("hands Longhorn's node tags on as Longhorn reads them, and nothing where there are none", async () => {
    const given = args();
    const spec = { ...given.node, storageTags: ["ssd", "fast"] };
    const annotations = async (change: object): Promise<unknown> =>
      request(await run(node({ ...given, ...change })), "debian-1-membership-member").input.annotations;
    // longhorn-manager v1.12.1, types.UnmarshalToNodeTags: `["worker1","enabled"]`.
    assert.deepEqual(await annotations({ node: spec }), { "node.longhorn.io/default-node-tags": '["ssd","fast"]' });
    assert.equal(await annotations({}), undefined);
  });

  it("records how old a snapshot of etcd may be where that is not the default, which would show as a change of every node", async () => {
    const hours = async (snapshotHours: number): Promise<unknown> =>
      request(await run(node({ ...args(), snapshotHours })), "debian-1-membership-member").input.snapshotHours;
    assert.equal(await hours(48), 48);
    assert.equal(await hours(24), undefined);
  });

  it("names what is missing when it is used without the environment's rules", async () => {
    const given = args();
    assert.throws(() => networkOf(given.networks, "wan"), /network wan: not one of servers, dmz/);
    assert.throws(
      () => diskDatastore(given.hosts, { ...given.node, host: "pve-x" }),
      /debian-1: host pve-x is not one of pve/,
    );
    assert.throws(() => firstCard({ ...given.node, cards: [] }), /debian-1: no card/);
    const bare = await run((opts) => new DebianVm("vm", { ...given, node: { ...given.node, cards: [] } }, opts));
    assert.deepEqual((only(bare, "vm-machine").inputs as { networkDevices: object[] }).networkDevices, []);
  });
});

/** Each value of an input, changed by itself. */
const changes: Record<string, Record<string, unknown>> = {
  // Another machine is refused, which is tested with the operation.
  "debian-1-identity-guard": {},
  "debian-1-provisioning-guest": {
    revision: 2,
    distribution: "rke2",
    dataDisk: 300,
    cards: [],
  },
  "debian-1-membership-member": {
    labels: { "home-cluster/node": "debian", zone: "b" },
    distribution: "rke2",
    hostKey: "ssh-ed25519 AAAAother",
    vm: { host: "pve", vmId: 201, mac: "BC:24:11:00:10:99", uuid: "another" },
    protect: false,
  },
};

describe("what an update of a node's operations does, each input and access value changed by itself, on the pretend home", () => {
  let recording: Recording;
  before(async () => (recording = await run(node())));

  for (const [name, inputs] of Object.entries(changes)) {
    const accesses = ["proxmox", "rancher", "kubernetes", "ssh"];
    for (const [what, change] of [
      ...Object.entries(inputs).map(([key, value]) => [key, { input: { [key]: value } }] as const),
      ...accesses.map((key) => [key, { access: key }] as const),
    ]) {
      it(`${name}: ${what}`, async () => {
        const registered = inputsOf(recording, name);
        const { access, input } = request(recording, name);
        const { clients, runs, home } = homeWithMachine();
        await dispatch(
          "provision",
          String(reveal(inputsOf(recording, "debian-1-provisioning-guest").stdin)),
          () => clients,
        );
        await dispatch("join", String(reveal(inputsOf(recording, "debian-1-membership-member").stdin)), () => clients);
        const joins = runs.filter((ssh) => ssh.script.startsWith("join")).length;
        const before = structuredClone({ vms: home.proxmox.vms, rancher: home.rancher });
        const next = {
          version: 1,
          access: "access" in change && change.access in access ? rotated(access, change.access) : access,
          input: { ...input, ...("input" in change ? change.input : {}) },
        };
        const verb = String(registered.update).replace("operations/run ", "");
        await dispatch(verb, JSON.stringify(next), () => clients);
        // Joining is a once-only effect; machines and Rancher's own records are nobody's to touch in an update.
        assert.equal(runs.filter((ssh) => ssh.script.startsWith("join")).length, joins);
        assert.deepEqual({ vms: home.proxmox.vms, rancher: home.rancher }, before);
        const labels = (await clients.kubernetes.read(kubernetesNodes, "debian-1"))?.metadata?.labels ?? {};
        assert.equal(labels.zone, what === "labels" ? "b" : undefined);
        assert.equal(labels["node.longhorn.io/create-default-disk"], what === "labels" ? undefined : "true");
      });
    }
  }

  for (const [what, change] of Object.entries({
    roles: { roles: ["worker"] },
    address: { address: "192.168.10.29" },
    node: { node: "debian-9" },
  })) {
    it(`debian-1-membership-member: ${what} is refused, since a member cannot change it`, async () => {
      const { clients, runs } = homeWithMachine();
      const stdin = request(recording, "debian-1-membership-member");
      await dispatch("join", JSON.stringify(stdin), () => clients);
      const next = { ...stdin, input: { ...stdin.input, ...change } };
      await assert.rejects(
        dispatch("refresh-membership", JSON.stringify(next), () => clients),
        { name: "Refusal" },
      );
      assert.equal(runs.length, 1);
    });
  }
});

/** The access with another secret for one system, still of the form that requests have. */
function rotated(access: object, system: string): object {
  const { rancher, proxmox } = accessSchema.parse(access);
  const fresh: Record<string, object> = {
    proxmox: { ...proxmox, token: "rotated" },
    rancher: { ...rancher, token: "rotated" },
    kubernetes: { kubeconfig: "rotated" },
    ssh: { privateKey: "rotated" },
  };
  return { ...access, [system]: fresh[system] };
}
