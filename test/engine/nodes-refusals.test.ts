import assert from "node:assert/strict";
import { uuidOf } from "../../rehearsal/home/build";
import type { HomeState, Vm } from "../../rehearsal/home/state";
import { startProxmox } from "../../rehearsal/simulators/proxmox";
import { expiredCertificates } from "../support/https";
import { Lab, worker, writes } from "./lab/lab";
import type { LabStack, Outcome } from "./lab/stack";

const title =
  "nodes on the real engine: what is refused before anything is created (does not prove a real Proxmox's wording)";

describe(title, () => {
  let lab: Lab;
  let stack: LabStack;
  let asItWas: HomeState;

  before(async () => {
    lab = await Lab.start();
    stack = await lab.stack("nodes");
    asItWas = structuredClone(lab.home);
  });
  afterEach(() => {
    Object.assign(lab.home, structuredClone(asItWas));
    lab.proxmox.fault = () => undefined;
  });
  after(() => lab.stop());

  /** Refused in the preview and in the update without one; nothing written anywhere, nothing in the state. */
  async function refused(...patterns: readonly RegExp[]): Promise<void> {
    lab.proxmox.log.length = 0;
    const before = structuredClone(lab.home.proxmox);
    const tries: [string, () => Promise<Outcome>][] = [
      ["preview", () => stack.preview()],
      ["up", () => stack.up({ parallel: 40 })],
    ];
    for (const [command, run] of tries) {
      const outcome = await run();
      assert.equal(outcome.ok, false, `${command}\n${outcome.text}`);
      for (const pattern of patterns) assert.match(outcome.text, pattern, command);
    }
    assert.deepEqual(writes(lab.proxmox.log), []);
    assert.deepEqual(lab.home.proxmox, before);
    const kept = [...(await stack.resources()).values()].map(({ type }) => type);
    assert.deepEqual(
      kept.filter((type) => !/^(pulumi:|home-cluster:)/.test(type)),
      [],
    );
  }

  const stranger: Vm = {
    ...{ vmId: 202, name: "nas-2", host: "pve", status: "running", tags: [], macs: ["02:00:00:00:00:02"] },
    ...{ protection: false, disks: [20], memory: 4, uuid: uuidOf(202) },
  };

  it("an id that belongs to a stranger, which the provider would adopt and a later up delete", async () => {
    lab.home.proxmox.vms.push(stranger);
    await refused(/debian-2: id 202 is taken, nothing was touched/, /nas-2 \(202, running on pve, no tags\)/);
  });

  it("a token that Proxmox does not accept", async () => {
    lab.proxmox.fault = () => ({ kind: "status", status: 401, reason: "invalid token value!", when: "before" });
    await refused(/Proxmox does not accept the token, nothing was done/, /pulumi config set --secret proxmoxToken/);
  });

  for (const missing of ["VM.Config.Cloudinit", "Datastore.AllocateTemplate", "Sys.AccessNetwork"]) {
    it(`a token without ${missing}`, async () => {
      const held = lab.home.proxmox.privileges["/"] ?? [];
      lab.home.proxmox.privileges = { "/": held.filter((privilege) => privilege !== missing) };
      await refused(new RegExp(missing.replace(".", "\\.")), /pveum/);
    });
  }

  it("a datastore that does not allow the image's content type", async () => {
    for (const datastore of lab.home.proxmox.datastores.filter(({ name }) => name === "local"))
      Object.assign(datastore, { content: ["iso", "images"] });
    await refused(/local.*import/, /pvesm set local --content/);
  });

  it("a datastore without room for the machines' disks", async () => {
    for (const datastore of lab.home.proxmox.datastores.filter(({ name }) => name === "local-lvm"))
      Object.assign(datastore, { available: 2 ** 30 });
    await refused(/local-lvm/, /GiB/);
  });

  it("an expired certificate", async () => {
    const expired = await startProxmox(lab.home, { certificate: expiredCertificates() });
    try {
      lab.edit((file) => (file.proxmox.endpoint = `${expired.url}/`));
      await refused(/certificate.*expired/, /pvecm updatecerts/);
    } finally {
      await expired.stop();
      lab.edit((file) => (file.proxmox.endpoint = `${lab.proxmox.url}/`));
    }
  });
});

describe("nodes on the real engine: an impostor at a node's address (who sits there, and how, is not shown)", () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.start({ change: (file) => (file.nodes.length = 3) });
  });
  after(() => lab.stop());

  it("is refused before any secret is sent, and the real machine joins once it answers again", async () => {
    const stack = await lab.stack("nodes");
    lab.guests.impostors.add(202);
    const outcome = await stack.up();
    assert.equal(outcome.ok, false);
    assert.match(
      outcome.text,
      /debian-2: whoever answers SSH at 192\.168\.10\.22 is not machine 202; no secret was sent/,
    );
    const toImpostor = lab.guests.received.filter(({ vmId }) => vmId === 202);
    assert.equal(toImpostor.length > 0, true);
    for (const secret of [lab.home.rancher.token, ...Object.values(lab.secrets())])
      for (const { command, input } of toImpostor) assert.equal(`${command}\n${input}`.includes(secret), false);
    assert.equal(
      lab.guests.ran.some(({ vmId, script }) => vmId === 202 && script !== "provision"),
      false,
    );
    lab.guests.impostors.delete(202);
    await lab.guests.boot(lab.machine(202));
    const again = await stack.up({ refresh: true });
    assert.ok(again.ok, again.text);
    assert.equal(lab.home.rancher.nodes.filter(({ nodeName }) => nodeName === "debian-2").length, 1);
  });
});

describe("nodes on the real engine: machines are not deleted by their number alone", () => {
  let lab: Lab;
  let stack: LabStack;
  before(async () => {
    lab = await Lab.start();
    stack = await lab.stack("nodes");
    lab.edit((file) => file.nodes.push({ ...worker(file), protect: true }));
    const outcome = await stack.up();
    assert.ok(outcome.ok, outcome.text);
  });
  beforeEach(() => (lab.proxmox.log.length = 0));
  after(() => lab.stop());

  it("a protected node that is taken out of the file stays, machine and membership", async () => {
    lab.edit((file) => file.nodes.pop());
    const outcome = await stack.up();
    assert.equal(outcome.ok, false);
    assert.match(outcome.text, /protect/);
    assert.deepEqual(writes(lab.proxmox.log), []);
    assert.equal(lab.home.rancher.nodes.find(({ nodeName }) => nodeName === "debian-4")?.state, "active");
    lab.edit((file) => file.nodes.push(worker(file)));
    const off = await stack.up();
    assert.ok(off.ok, off.text);
    lab.edit((file) => file.nodes.pop());
  });

  for (const [what, swapped] of [
    ["another name", { name: "nas-4" }],
    ["another MAC", { macs: ["02:00:00:00:00:04"] }],
  ] as const) {
    it(`a machine under the node's id with ${what} is left alone, and the node stays in the cluster`, async () => {
      const ours = structuredClone(lab.machine(204));
      lab.change(204, { ...swapped, config: undefined } as Partial<Vm>);
      const outcome = await stack.up();
      assert.equal(outcome.ok, false);
      assert.match(outcome.text, /machine 204 on pve is another one/);
      assert.deepEqual(writes(lab.proxmox.log), []);
      assert.equal(lab.home.rancher.nodes.find(({ nodeName }) => nodeName === "debian-4")?.state, "active");
      Object.assign(lab.machine(204), ours);
    });
  }

  it("a machine with Proxmox's protection is not powered off to be refused afterwards", async () => {
    lab.change(204, { protection: true });
    Object.assign(lab.machine(204).config ?? {}, { protection: 1 });
    const outcome = await stack.up();
    assert.equal(outcome.ok, false);
    assert.match(outcome.text, /qm set 204 --protection 0/);
    assert.deepEqual(writes(lab.proxmox.log), []);
    lab.change(204, { protection: false });
    Object.assign(lab.machine(204).config ?? {}, { protection: 0 });
  });

  it("once nothing stands against it, the node leaves and its machine goes", async () => {
    const outcome = await stack.up();
    assert.ok(outcome.ok, outcome.text);
    assert.deepEqual(lab.home.proxmox.vms.map(({ vmId }) => vmId).sort(), [101, 102, 103, 150, 201, 202, 203]);
  });
});
