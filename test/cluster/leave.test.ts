import assert from "node:assert/strict";
import type { StoredObject } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { leave } from "../../operations/rancheros/leave";
import { retireOldNode } from "../../operations/rancheros/retire-old-node";
import type { Refusal } from "../../operations/refusal";
import { refusalOf } from "../support/migrated-home";
import { ControlPlane, minors } from "./lab/control-plane";
import { dying } from "./lab/dying";
import { PretendLonghorn } from "./lab/pretend-longhorn";
import { apps, createLonghornNode, RetirementLab, without, type Hooks } from "./lab/retirement";

type LeaveInput = Parameters<typeof leave.run>[0];

const node = "debian-3";

for (const minor of minors) {
  describe(`nodes that leave the ${minor} API server (kwok's nodes run nothing; Longhorn, Rancher and Proxmox are simulated: that data arrives is not shown)`, () => {
    let plane: ControlPlane;
    let lab: RetirementLab;
    let longhorn: PretendLonghorn;
    before(async () => (plane = await ControlPlane.start({ minor })));
    after(async () => plane?.stop());
    beforeEach(async () => {
      lab = await RetirementLab.start(plane, minor === "oldest" ? "rke1" : "rke2");
      longhorn = PretendLonghorn.start(lab);
    });
    afterEach(async () => {
      await longhorn?.stop();
      await lab?.restore();
      await lab?.stop();
    });
    afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

    const input = (change: Partial<LeaveInput> = {}): LeaveInput => {
      const vm = lab.home.proxmox.vms.find(({ name }) => name === node) ?? assert.fail();
      const { vmId, host, macs, uuid } = vm;
      const address = lab.home.guests[vmId]?.address;
      return {
        ...{ node, roles: ["controlplane", "etcd", "worker"], protect: false },
        ...(address !== undefined && { address }),
        vm: { host, vmId, mac: macs[0] ?? "", uuid },
        ...change,
      };
    };
    const leaves = (hooks: Hooks = {}, change: Partial<LeaveInput> = {}): Promise<unknown> =>
      leave.run(input(change), lab.clients(hooks));
    const refused = (hooks: Hooks = {}, change: Partial<LeaveInput> = {}): Promise<Refusal["parts"]> =>
      refusalOf(leaves(hooks, change));
    /** Two volumes of Longhorn's with a replica on the node, and a backing image. */
    const holdsData = async (): Promise<void> => {
      await volume("pvc-1", [node, "debian-1"]);
      await volume("pvc-2", [node]);
      await createLonghornNode(lab, node, [`pvc-1-${node}`, `pvc-2-${node}`]);
      await lab.status(longhornNodeOf(node), { diskStatus: { disk: { scheduledBackingImage: { "image-1": 1 } } } });
    };
    const volume = async (name: string, on: readonly string[]): Promise<void> => {
      const metadata = { name, namespace: kinds.longhornNamespace };
      await lab.add({
        ...{ ...kinds.longhornVolumes, metadata, spec: { numberOfReplicas: on.length } },
        status: { robustness: "healthy" },
      });
      for (const nodeID of on)
        await lab.add({
          ...{ ...kinds.longhornReplicas, metadata: { ...metadata, name: `${name}-${nodeID}` } },
          spec: { volumeName: name, nodeID, failedAt: "", healthyAt: "2026-01-01T00:00:00Z" },
        });
    };
    const longhornNodeOf = (name: string): StoredObject => ({
      ...kinds.longhornNodes,
      metadata: { name, namespace: kinds.longhornNamespace },
    });
    const replicasOn = async (name: string): Promise<string[]> =>
      (await lab.api.list(kinds.longhornReplicas, { namespace: kinds.longhornNamespace }))
        .filter(({ spec }) => spec?.nodeID === name)
        .map(({ metadata }) => metadata?.name ?? "")
        .sort();

    it("an old node is retired: pods by their budget's leave, then Rancher, then its machine", async () => {
      const before = await lab.standing();
      await lab.deploy("rancheros-1", "web", 2, [1]);
      await retireOldNode.run(lab.input("rancheros-1"), lab.clients());
      assert.deepEqual(lab.did.slice(0, 4), [
        "kubernetes.patch Node rancheros-1",
        ...["kubernetes.evict pod web", "kubernetes.evict pod web"],
        "kubernetes.patch Node rancheros-1",
      ]);
      assert.deepEqual(await lab.standing(), without(before, "rancheros-1"));
    });

    it("a Debian node's pods and what Longhorn holds on it move, awaited, before Rancher is told; its machine is not touched", async () => {
      const before = await lab.standing();
      await holdsData();
      await lab.deploy(node, "web", 2, [1]);
      await leaves();
      assert.deepEqual(lab.did, [
        `kubernetes.patch Node ${node}`,
        ...["kubernetes.evict pod web", "kubernetes.evict pod web"],
        `kubernetes.patch Longhorn ${node}`,
        ...[`Longhorn moved pvc-1-${node}`, `Longhorn moved pvc-2-${node}`, "Longhorn moved image-1"],
        `kubernetes.patch Node ${node}`,
        `rancher.removeNode ${minor === "oldest" ? "c-abc12:m-203" : "fleet-default/custom-203"}`,
        ...[`Rancher took ${node} out of etcd`, `Rancher deleted Node ${node}`],
        `kubernetes.remove Longhorn ${node}`,
      ]);
      assert.deepEqual(await lab.standing(), { ...without(before, node), machines: before.machines });
      assert.equal(await lab.api.read(kinds.longhornNodes, node, kinds.longhornNamespace), undefined);
      assert.deepEqual(await replicasOn(node), []);
    });

    it("a protected node refuses before it is cordoned, whatever else would stand against it", async () => {
      const before = await lab.standing();
      await holdsData();
      const parts = await refused({}, { protect: true });
      assert.equal(parts.what, `${node}: is protected, nothing was touched`);
      assert.match(parts.next, /set `protect: false` on debian-3 in the environment file, `pulumi up`, then take/);
      await nothingDone(before);
    });

    it("a machine under Proxmox's own protection, which the engine could not delete afterwards, refuses before it is cordoned", async () => {
      const before = await lab.standing();
      const vm = lab.home.proxmox.vms.find(({ name }) => name === node) ?? assert.fail();
      vm.protection = true;
      if (vm.config) vm.config.protection = 1;
      const parts = await refused();
      assert.equal(parts.what, `${node}: stays in the cluster, nothing was touched`);
      assert.match(parts.why, /machine 203 on \S+ is protected in Proxmox/);
      await nothingDone(before);
    });

    it("too few nodes for a volume's replicas, and its last good one here: both are named and nothing is asked of Longhorn", async () => {
      const before = await lab.standing();
      await volume("pvc-3", [node]);
      await lab.api.patch(kinds.longhornVolumes, "pvc-3", { spec: { numberOfReplicas: 3 } }, kinds.longhornNamespace);
      const parts = await refused();
      assert.match(
        parts.why,
        /Longhorn volume pvc-3 wants 3 replicas, and 2 other nodes can take one; its last one is here/,
      );
      await nothingDone(before);
    });

    it("a Longhorn that never moves a replica: its settings are given back, the node takes pods again, and both ways are said", async () => {
      const before = await lab.standing();
      await holdsData();
      longhorn.moves = false;
      const settings = (await lab.api.read(kinds.longhornNodes, node, kinds.longhornNamespace))?.spec;
      lab.clock.pause = 0;
      const parts = await refused();
      assert.equal(
        parts.what,
        `${node}: did not leave, nothing is lost, it takes pods as before: ${node}: Longhorn's replicas and backing images moving elsewhere: not within 14400 s`,
      );
      assert.match(parts.why, /pvc-1-debian-3, pvc-2-debian-3, backing image image-1/);
      assert.match(
        parts.next,
        /to go on: the same `pulumi` command again; to go back: put the entry of debian-3 back into the environment file, then `pulumi up`$/,
      );
      assert.deepEqual(await lab.standing(), before);
      const after = await lab.api.read(kinds.longhornNodes, node, kinds.longhornNamespace);
      assert.deepEqual(after?.spec, settings);
      assert.deepEqual(await replicasOn(node), [`pvc-1-${node}`, `pvc-2-${node}`]);

      longhorn.moves = true;
      lab.clock.pause = 40;
      await leaves();
      assert.deepEqual(await lab.standing(), { ...without(before, node), machines: before.machines });
      assert.equal(await lab.failure(), undefined);
    });

    it("a kill after each change of a leave with Longhorn: the same command converges, and Rancher is told once", async () => {
      const killed: string[] = [];
      for (let n = 0; ; n += 1) {
        const before = await lab.standing();
        await holdsData();
        await lab.deploy(node, `web-${n}`, 1);
        lab.did.length = 0;
        lab.clock.pause = 10;
        const process = dying(n);
        await leaves(process).catch((error: unknown) => {
          if (process.last() === undefined) throw error;
        });
        const last = process.last();
        if (last !== undefined) {
          killed.push(last.replace(/web-\d+$/, "web").replace(/\S*203$/, "it"));
          await leaves();
        }
        assert.deepEqual(await lab.standing(), { ...without(before, node), machines: before.machines });
        assert.equal(lab.did.filter((call) => call.startsWith("rancher.removeNode")).length, 1, lab.did.join("\n"));
        if (last === undefined) break;
        await longhorn.stop();
        await lab.restore();
        await lab.stop();
        lab = await RetirementLab.start(plane, minor === "oldest" ? "rke1" : "rke2");
        longhorn = PretendLonghorn.start(lab);
      }
      assert.deepEqual(killed, [
        ...["the lock", `kubernetes.patch Node ${node}`, "kubernetes.evict pod web"],
        ...[`kubernetes.patch Longhorn ${node}`, `kubernetes.patch Node ${node}`, "rancher.removeNode it"],
        `kubernetes.remove Longhorn ${node}`,
      ]);
    });

    /** Nobody was asked for anything but to show itself. */
    async function nothingDone(before: Awaited<ReturnType<RetirementLab["standing"]>>): Promise<void> {
      assert.deepEqual(lab.did, []);
      assert.equal(await lab.lease(), undefined, "not even the Lease was written");
      assert.deepEqual(await lab.standing(), before);
      assert.deepEqual(await lab.api.list(kinds.pods, { namespace: apps }), []);
    }
  });
}
