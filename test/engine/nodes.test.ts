import assert from "node:assert/strict";
import type { Logged } from "../../rehearsal/simulators/server";
import { leastPrivileges } from "../../operations/nodes/privileges";
import { skip } from "../support/needs";
import { judge } from "../support/pve-judge";
import { privilegesOf, roleOf } from "../support/pve-privileges";
import { pveSchema } from "../support/pve-schema";
import { Lab, worker, writes } from "./lab/lab";
import type { LabStack, Outcome } from "./lab/stack";

const does = "nodes on the real engine, provider plugins and sshd";

/** Warnings but the one that this environment file earns. */
function besides({ warnings }: Outcome): string[] {
  return warnings.filter((warning) => !warning.startsWith("oldNodes[1]: rancheros-2: once it has left, 4 etcd"));
}

function must(outcome: Outcome): Outcome {
  assert.ok(outcome.ok, outcome.text);
  return outcome;
}

describe(`${does}: the life of three (does not prove what a real Proxmox, Rancher or Debian does)`, () => {
  let lab: Lab;
  let stack: LabStack;
  /** Every request to Proxmox, of all tests. */
  const everything: Logged[] = [];
  const old = () => structuredClone(lab.home.proxmox.vms.filter(({ vmId }) => vmId < 200));
  let asTheyWere: ReturnType<typeof old>;

  before(async () => {
    lab = await Lab.start();
    stack = await lab.stack("nodes");
    asTheyWere = old();
  });
  beforeEach(() => {
    everything.push(...lab.proxmox.log);
    lab.proxmox.log.length = 0;
    lab.guests.ran.length = 0;
    lab.guests.received.length = 0;
  });
  after(() => lab.stop());
  afterEach(function () {
    if (this.currentTest?.state === "failed") return;
    assert.deepEqual(old(), asTheyWere, "the old machines, and the stranger among them, are as they were");
  });

  const machines = () => lab.home.proxmox.vms.filter(({ vmId }) => vmId >= 200).sort((a, b) => a.vmId - b.vmId);
  const members = () =>
    lab.home.rancher.nodes.filter(({ vmId }) => vmId >= 200).map(({ nodeName, state }) => [nodeName, state]);
  const three = ["debian-1", "debian-2", "debian-3"];

  it("the first up: every machine as declared, provisioned and joined once, secrets only over pinned connections", async () => {
    const outcome = must(await stack.up());
    assert.deepEqual(
      machines().map(({ vmId, name, status }) => [vmId, name, status]),
      three.map((name, index) => [201 + index, name, "running"]),
    );
    assert.deepEqual(
      members().sort(),
      three.map((name) => [name, "active"]),
    );
    assert.deepEqual(
      lab.guests.ran.map(({ vmId, script }) => `${vmId} ${script}`).sort(),
      [201, 202, 203].flatMap((vmId) => [`${vmId} join-rke1`, `${vmId} provision`]),
    );
    for (const { input } of lab.guests.received.filter((one) => one.input.includes("# Brings a Debian node")))
      assert.equal(input.includes(lab.home.rancher.token), false);
    for (const secret of Object.values(lab.secrets())) assert.equal(outcome.text.includes(secret), false);
    assert.deepEqual(await stack.outputs(), {
      nodes: Object.fromEntries(
        three.map((name, index) => [
          name,
          {
            vmId: 201 + index,
            address: `192.168.10.${21 + index}`,
            hostKey: lab.home.guests[201 + index]?.hostKey,
          },
        ]),
      ),
    });
  });

  it("a second up and a refresh show no change and send no write", async () => {
    const again = must(await stack.up());
    assert.deepEqual([again.done, besides(again)], [[], []]);
    const refreshed = must(await stack.refresh());
    assert.deepEqual(
      refreshed.done.filter(({ op }) => op !== "refresh"),
      [],
    );
    assert.match(refreshed.text, /\n +\d+ unchanged\n/);
    assert.deepEqual(writes(lab.proxmox.log), []);
    assert.deepEqual(lab.guests.ran, []);
  });

  it("a tag that somebody added is taken off again in place, without a restart", async () => {
    const [first] = machines();
    assert.ok(first);
    lab.change(201, { tags: ["debian", "home-cluster-home", "somebody"] });
    const outcome = must(await stack.up({ refresh: true }));
    assert.deepEqual(
      outcome.done.filter(({ op }) => op !== "refresh"),
      [{ op: "update", name: "debian-1-vm-machine" }],
    );
    assert.deepEqual(writes(lab.proxmox.log), ["PUT /nodes/pve/qemu/201/config"]);
    assert.deepEqual(first.tags, ["debian", "home-cluster-home"]);
  });

  it("more memory, cores and another name server: no restart, and every up names the nodes with what waits", async () => {
    lab.edit((file) => {
      for (const node of file.nodes.slice(0, 2)) Object.assign(node, { memory: 14, cores: 6 });
      for (const network of file.networks.slice(0, 1)) network.dns = ["192.168.10.53"];
    });
    const changed = must(await stack.up());
    assert.deepEqual(
      writes(lab.proxmox.log).filter((write) => write.includes("/status/")),
      [],
    );
    assert.deepEqual(
      changed.done.filter(({ op }) => op.includes("replace") || op === "create" || op === "delete"),
      [],
    );
    for (const said of [
      "debian-1: cores, memory, cloud-init",
      "debian-2: cores, memory, cloud-init",
      "debian-3: cloud-init",
    ])
      assert.equal(changed.text.includes(`${said} waits for a restart`), true, changed.text);
    const again = must(await stack.up());
    assert.deepEqual(again.done, []);
    assert.deepEqual(
      besides(again).map((warning) => warning.split("\n")[0]),
      [
        "waits for a restart: debian-1 (cores, memory, cloud-init), debian-2 (cores, memory, cloud-init), debian-3 (cloud-init)",
      ],
    );
    assert.deepEqual(
      machines().map(({ memory }) => memory),
      [12, 12, 12],
    );
  });

  it("the declared restart drains, restarts and awaits one node after the other, and nothing waits any more", async () => {
    lab.edit((file) => file.nodes.forEach((node) => Object.assign(node, { restart: true })));
    const outcome = must(await stack.up());
    const power = writes(lab.proxmox.log).filter((write) => write.includes("/status/"));
    const one = (vmId: string): string[] => [
      `POST /nodes/pve/qemu/${vmId}/status/shutdown`,
      `POST /nodes/pve/qemu/${vmId}/status/start`,
    ];
    const order = [...new Set(power.map((write) => write.split("/")[4] ?? ""))];
    assert.deepEqual([...order].sort(), ["201", "202", "203"]);
    assert.deepEqual(power, order.flatMap(one), "each is up again before the next goes off");
    assert.deepEqual(
      machines().map(({ memory, pending }) => [memory, pending]),
      [
        [14, undefined],
        [14, undefined],
        [12, undefined],
      ],
    );
    assert.deepEqual(
      lab.home.kubernetes.objects
        .filter(({ kind }) => kind === "Node")
        .map((node) => (node as { spec?: { unschedulable?: boolean } }).spec?.unschedulable ?? false),
      Array<boolean>(6).fill(false),
    );
    assert.deepEqual(
      outcome.done.filter(({ op }) => op !== "update"),
      [],
    );
    const again = must(await stack.up());
    assert.deepEqual([again.done, besides(again)], [[], []]);
  });

  it("a changed package list replaces nothing and runs once per node", async () => {
    const [script, operation] = ["operations/guest/provision.sh", "operations/nodes/provision.ts"];
    lab.checkout.write(
      script,
      lab.checkout.file(script).replace("packages=(open-iscsi ", "packages=(open-iscsi htop "),
    );
    const revision = /(provisionRevision = )(\d+)/;
    lab.checkout.write(
      operation,
      lab.checkout.file(operation).replace(revision, (_, name: string, value: string) => `${name}${Number(value) + 1}`),
    );
    lab.guests.scripts = lab.checkout.path("operations/guest");
    const outcome = must(await stack.up());
    assert.deepEqual(
      outcome.done.map(({ op, name }) => `${op} ${name}`).sort(),
      three.map((name) => `update ${name}-provisioning-guest`),
    );
    assert.deepEqual(lab.guests.ran.map(({ vmId, script: ran }) => `${vmId} ${ran}`).sort(), [
      "201 provision",
      "202 provision",
      "203 provision",
    ]);
    assert.deepEqual(writes(lab.proxmox.log), []);
  });

  it("an added worker leaves the others untouched", async () => {
    lab.edit((file) => file.nodes.push(worker(file)));
    const outcome = must(await stack.up());
    assert.deepEqual(
      outcome.done.filter(({ op, name }) => op !== "create" || !name.startsWith("debian-4")),
      [],
    );
    assert.deepEqual(
      writes(lab.proxmox.log).filter((write) => /\/20[123]\b/.test(write)),
      [],
    );
    assert.deepEqual(
      lab.guests.ran.map(({ vmId, script }) => `${vmId} ${script}`),
      ["204 provision", "204 join-rke1"],
    );
    assert.deepEqual(members().length, 4);
  });

  it("a machine that was removed by hand: up says so, up --refresh makes, provisions and joins it again, its old membership gone first", async () => {
    const { id = "" } = lab.home.rancher.nodes.find(({ nodeName }) => nodeName === "debian-4") ?? {};
    await lab.lose(204);
    const plain = await stack.up();
    assert.equal(plain.ok, false);
    assert.match(plain.text, /debian-4.*\n.*\n.*up --refresh/);
    assert.deepEqual(writes(lab.proxmox.log), []);
    const outcome = must(await stack.up({ refresh: true }));
    assert.deepEqual(
      outcome.done.filter(({ name }) => name === "debian-4-membership-member").map(({ op }) => op),
      ["refresh", "delete-replaced", "replace", "create-replacement"],
    );
    assert.deepEqual(
      lab.guests.ran.map(({ vmId, script }) => `${vmId} ${script}`),
      ["204 provision", "204 join-rke1"],
    );
    const rancher = lab.cluster.rancher.log.filter(({ method, path }) => method === "DELETE" && path.endsWith(id));
    assert.equal(rancher.length, 1);
    assert.deepEqual(
      members().filter(([name]) => name === "debian-4"),
      [["debian-4", "active"]],
    );
    const again = must(await stack.up({ refresh: true }));
    assert.deepEqual(
      again.done.filter(({ op }) => op !== "refresh"),
      [],
    );
  });

  it("a node taken out of the file leaves the cluster before its machine goes", async () => {
    lab.cluster.rancher.log.length = 0;
    lab.edit((file) => file.nodes.pop());
    const outcome = must(await stack.up());
    assert.deepEqual([...new Set(outcome.done.map(({ op }) => op))], ["delete"]);
    const left = lab.cluster.rancher.log.find(({ method }) => method === "DELETE");
    const gone = lab.proxmox.log.find(({ method }) => method !== "GET");
    assert.ok(left && gone);
    assert.equal(
      outcome.done.findIndex(({ name }) => name === "debian-4-membership-member") <
        outcome.done.findIndex(({ name }) => name === "debian-4-vm-machine"),
      true,
    );
    assert.deepEqual(
      machines().map(({ vmId }) => vmId),
      [201, 202, 203],
    );
    assert.deepEqual(members().length, 3);
  });

  it("all of it fits Proxmox's published schema, and needs the privileges of the README's role and no others", function () {
    const schema = pveSchema();
    if (typeof schema === "string") skip(this, schema);
    assert.deepEqual(judge(schema, everything), []);
    const role = roleOf(privilegesOf(schema, everything));
    process.stdout.write(`      the least role of ${everything.length} requests: ${role.join(" ")}\n`);
    assert.deepEqual(role, [...leastPrivileges]);
  });
});
