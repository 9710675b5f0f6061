import assert from "node:assert/strict";
import { leaseName, leaseNamespace } from "../../operations/cluster/lease";
import * as kinds from "../../operations/kinds";
import { retireOldNode } from "../../operations/rancheros/retire-old-node";
import type { Refusal } from "../../operations/refusal";
import { refusalOf } from "../support/migrated-home";
import { ControlPlane } from "./lab/control-plane";
import { dying } from "./lab/dying";
import { setNodeReady } from "./lab/nodes";
import { apps, RetirementLab, without, type Hooks, type Standing } from "./lab/retirement";

const goOn = "to go on: `pulumi destroy -s home-rancheros`";
const goBack = "to go back: `pulumi up -s home-rancheros`";

describe("a retirement that fails on the real API server (kwok's nodes run nothing; Rancher and Proxmox are simulated)", () => {
  let plane: ControlPlane;
  let lab: RetirementLab;
  before(async () => (plane = await ControlPlane.start()));
  after(async () => plane?.stop());
  afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

  const retire = (node: string, hooks: Hooks = {}): Promise<unknown> =>
    retireOldNode.run(lab.input(node), lab.clients(hooks));
  const refused = (node: string, hooks: Hooks = {}): Promise<Refusal["parts"]> => refusalOf(retire(node, hooks));
  const vm = (node: string): RetirementLab["home"]["proxmox"]["vms"][number] => {
    const found = lab.home.proxmox.vms.find(({ name }) => name === node);
    assert.ok(found);
    return found;
  };

  describe("what fails on the way stops there and says what to type; from wherever it stopped, the same command gets to the end", () => {
    before(async () => (lab = await RetirementLab.start(plane, "rke1", 32)));
    after(async () => lab?.stop());
    afterEach(() => lab.restoreRest());

    let next = 0;
    /** A node that no test before has used. */
    const fresh = (): string => `rancheros-${(next += 1)}`;

    /** The same command again, and the node is gone everywhere, and nothing else. */
    async function converges(node: string, before: Standing): Promise<void> {
      lab.proxmox.fault = lab.rancher.fault = () => undefined;
      lab.forbids = undefined;
      lab.imported = false;
      lab.clock.pause = 10;
      await retire(node);
      assert.deepEqual(await lab.standing(), without(before, node));
      assert.equal(await lab.failure(), undefined);
    }

    it("a kill after each change: the same command converges, and nothing happens twice that must not", async () => {
      const killed: string[] = [];
      for (let n = 0; ; n += 1) {
        const node = fresh();
        const before = await lab.standing();
        await lab.deploy(node, `web-${n}`, 1);
        lab.did.length = 0;
        lab.clock.pause = 10;
        const process = dying(n);
        await retire(node, process).catch((error: unknown) => {
          if (process.last() === undefined) throw error;
        });
        const last = process.last();
        if (last === undefined) break;
        killed.push(last.replace(node, "it").replace(/\bc-abc12:m-\d+|\b1\d\d\b/, "it"));
        await converges(node, before);
        const once = lab.did.filter((call) => /removeNode|deleteVm|Rancher /.test(call));
        assert.equal(new Set(once).size, once.length, once.join("\n"));
      }
      assert.deepEqual(killed, [
        ...["the lock", "kubernetes.patch Node it", "kubernetes.evict pod web-2", "kubernetes.patch Node it"],
        ...["rancher.removeNode it", "proxmox.shutdownVm pve it 300", "proxmox.deleteVm pve it"],
      ]);
    });

    it("a budget that never gives way: its pod and it are named, the node takes pods again", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      await lab.deploy(node, "held", 1, [1]);
      lab.clock.pause = 0;
      const parts = await refused(node);
      assert.equal(
        parts.what,
        `${node}: did not leave, nothing is lost, it takes pods as before: ${node}: drain: not within 900 s`,
      );
      assert.match(parts.why, /^last seen: apps\/held-\S+ is held by the disruption budget held-budget$/);
      assert.ok(parts.next.endsWith(`${goOn}; ${goBack}`), parts.next);
      assert.deepEqual(await lab.standing(), before);
      assert.match((await lab.failure()) ?? "", new RegExp(`^failed: ${node}: .*held-budget`));
      await lab.api.remove(kinds.disruptionBudgets, "held-budget", apps);
      await converges(node, before);
    });

    it("a pod under two budgets, which the eviction API never evicts: both are named", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      await lab.deploy(node, "twice", 1, [0, 0]);
      lab.clock.pause = 0;
      const parts = await refused(node);
      assert.match(parts.what, /it takes pods as before: apps\/twice-\S+ cannot be evicted$/);
      assert.match(parts.why, /^the disruption budgets twice-budget and twice-budget-2 both select it/);
      assert.ok(parts.next.endsWith(`${goOn}; ${goBack}`), parts.next);
      assert.deepEqual(await lab.standing(), before);
      await lab.api.remove(kinds.disruptionBudgets, "twice-budget-2", apps);
      await converges(node, before);
    });

    it("Rancher that refuses the removal: nothing is lost, and the node takes pods again", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      lab.forbids = ({ method }) => method === "DELETE";
      const parts = await refused(node);
      assert.match(
        parts.what,
        /^\S+: did not leave, nothing is lost, it takes pods as before: Rancher: the token may not do this/,
      );
      assert.ok(parts.next.endsWith(`${goOn}; ${goBack}`), parts.next);
      assert.deepEqual(await lab.standing(), before);
      await converges(node, before);
    });

    it("a cluster that was imported into Rancher, which would say yes and keep the node", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      lab.imported = true;
      const parts = await refused(node);
      assert.match(
        parts.what,
        /nothing is lost, it takes pods as before: Rancher: node \S+ cannot be removed through it/,
      );
      assert.match(parts.why, /the cluster was imported/);
      assert.deepEqual(await lab.standing(), before);
      await converges(node, before);
    });

    it("Rancher whose answer to the removal was lost: there is no way back, and the machine stands until it has ended", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      lab.rancher.fault = ({ method }) => (method === "DELETE" ? { kind: "reset", when: "after" } : undefined);
      const parts = await refused(node);
      assert.match(parts.what, new RegExp(`^${node}: is being removed and did not leave: `));
      assert.match(parts.next, /there is no going back: Rancher was told to remove it$/);
      assert.ok((await lab.standing()).machines.includes(node));
      await converges(node, before);
    });

    it("a Node that somebody's finalizer keeps: its machine stays on", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      await lab.api.patch(kinds.nodes, node, { metadata: { finalizers: ["example.test/keeps"] } });
      lab.clock.pause = 0;
      const parts = await refused(node);
      assert.match(parts.what, /is being removed and did not leave: \S+: Kubernetes node gone: not within 900 s$/);
      assert.match(parts.next, /to go on: `pulumi destroy -s home-rancheros`; there is no going back/);
      assert.deepEqual(await lab.standing(), {
        ...without(before, node),
        ...{ nodes: before.nodes, machines: before.machines, cordoned: [node] },
      });
      await lab.api.patch(kinds.nodes, node, { metadata: { finalizers: null } });
      await converges(node, before);
    });

    it("another etcd member that falls silent with the removal: the machine stays until it is back", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      const hooks: Hooks = {
        after: async (call) => {
          if (call.startsWith("rancher.removeNode")) await setNodeReady(lab.api, "debian-3", false);
          lab.clock.pause = 0;
        },
      };
      const parts = await refused(node, hooks);
      assert.match(parts.what, /the other etcd members Ready after its removal: not within 900 s$/);
      assert.match(parts.why, /not Ready: debian-3/);
      assert.deepEqual(await lab.standing(), { ...without(before, node), machines: before.machines });
      await setNodeReady(lab.api, "debian-3", true);
      await converges(node, before);
    });

    it("an id that is somebody else's by the time that the node has left: their machine is left as it is", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      const machine = vm(node);
      const hooks: Hooks = {
        after: (call) => void (call.startsWith("rancher.removeNode") && (machine.name = "somebody-elses")),
      };
      const parts = await refused(node, hooks);
      assert.match(
        parts.what,
        /has left the cluster, and its machine is still there: \S+: machine \d+ on pve is left as it is$/,
      );
      assert.match(parts.why, new RegExp(`its name is somebody-elses, recorded is ${node}`));
      assert.equal(machine.status, "running");
      assert.deepEqual(
        lab.did.filter((call) => call.startsWith("proxmox")),
        [],
      );
      machine.name = node;
      await converges(node, before);
    });

    it("Proxmox that does not delete: the node has left, its machine stands, and the way on is said", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      lab.proxmox.fault = ({ method }) =>
        method === "DELETE" ? { kind: "status", status: 500, reason: "can't lock file", when: "before" } : undefined;
      const parts = await refused(node);
      assert.match(parts.what, new RegExp(`^${node}: has left the cluster, and its machine is still there: `));
      assert.match(`${parts.what} ${parts.why}`, /can't lock file/);
      assert.match(parts.next, /to go on: `pulumi destroy -s home-rancheros`/);
      assert.deepEqual(await lab.standing(), { ...without(before, node), machines: before.machines });
      await converges(node, before);
    });

    it("a Lease that another one took meanwhile: Rancher is not told, and nothing is taken back that may be theirs", async () => {
      const [node, before] = [fresh(), await lab.standing()];
      const hooks: Hooks = {
        after: async (call) => {
          if (call !== `kubernetes.patch Node ${node}`) return;
          await lab.api.patch(kinds.leases, leaseName, { spec: { holderIdentity: "somebody/else" } }, leaseNamespace);
        },
      };
      const parts = await refused(node, hooks);
      assert.match(parts.what, /it may still be cordoned: the lock or the Kubernetes API is gone/);
      assert.match(parts.what, /the lock was lost, so this run stops here$/);
      assert.match(parts.next, new RegExp(`to go back: \`kubectl uncordon ${node}\`, then \`pulumi up`));
      assert.deepEqual(await lab.standing(), { ...before, cordoned: [node] });
      await lab.api.remove(kinds.leases, leaseName, leaseNamespace);
      await converges(node, before);
    });

    it("three deletions that wait when one fails end at once, name it, and touch nothing; then all four go by the same command", async () => {
      const nodes = [fresh(), fresh(), fresh(), fresh()];
      const [failing = "", ...waiting] = nodes;
      const before = await lab.standing();
      await lab.deploy(failing, "held", 1, [1]);
      let holds: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (holds = resolve));
      const first = refused(failing, { log: (line) => void (line.includes("holds the lock") && holds()) });
      await held;
      lab.did.length = 0;
      let count = 0;
      const others = waiting.map((node) =>
        refused(node, {
          log: (line) => {
            // Once all of them wait there is nothing that the cluster has to do.
            if (line.includes("waiting for the lock") && (count += 1) >= waiting.length) lab.clock.pause = 0;
          },
        }),
      );
      await first;
      for (const [index, parts] of (await Promise.all(others)).entries()) {
        assert.equal(parts.what, `${waiting[index]}: did not start to leave, nothing was touched`);
        assert.match(
          parts.why,
          new RegExp(`^the leave of ${failing} has not ended well: failed: ${failing}: .*held-budget`),
        );
        assert.match(parts.next, new RegExp(`^go on with ${failing} first`));
      }
      assert.deepEqual(await lab.standing(), before);
      assert.deepEqual(
        lab.did.filter((call) => waiting.some((node) => call.includes(node))),
        [],
      );

      await lab.api.remove(kinds.disruptionBudgets, "held-budget", apps);
      lab.clock.pause = 10;
      // Whatever order the engine picks: the failed one last.
      await Promise.all([...nodes].reverse().map((node) => retire(node)));
      assert.deepEqual(await lab.standing(), without(before, ...nodes));
      assert.equal(await lab.failure(), undefined);
    });

    it("two operators at once: one at a time by the Lease, and everything happens once", async () => {
      const nodes = [fresh(), fresh()];
      const before = await lab.standing();
      lab.did.length = 0;
      await Promise.all([...nodes, ...nodes].map((node) => retire(node)));
      assert.deepEqual(await lab.standing(), without(before, ...nodes));
      const steps = lab.did.map((call) =>
        nodes.findIndex(
          (node) => call.includes(node) || call.includes(` ${vmIdOf(node)}`) || call.endsWith(`m-${vmIdOf(node)}`),
        ),
      );
      assert.equal(steps.length, 14);
      assert.deepEqual(
        steps.filter((step, index) => step !== steps[index - 1]).length,
        nodes.length,
        `one after the other: ${lab.did.join("\n")}`,
      );
    });

    function vmIdOf(node: string): number {
      return lab.input(node).vm.vmId;
    }
  });
});
