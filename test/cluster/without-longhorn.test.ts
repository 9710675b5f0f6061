import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { V1Deployment, V1Node, V1Pod } from "@kubernetes/client-node";
import type { Clients, Kind, StoredObject } from "../../operations/clients";
import {
  cordonWithoutLonghorn,
  openWithoutLonghorn,
  uncordonWithoutLonghorn,
} from "../../operations/cluster/without-longhorn";
import * as kinds from "../../operations/kinds";
import { ControlPlane, minors } from "./lab/control-plane";
import { addNodes, readyPods } from "./lab/nodes";
import { until } from "./lab/processes";
import { Provisioner } from "./lab/provisioner";

const deployments: Kind<V1Deployment> = { apiVersion: "apps/v1", kind: "Deployment" };
const debian = ["debian-1", "debian-2"];
/** The last was cordoned by the operator before. */
const old = ["rancheros-1", "rancheros-2", "rancheros-3"];
const theirs = "rancheros-3";
const ours = old.filter((name) => name !== theirs);
const namespace = "games";
const input = { volumes: ["games/valheim-server-data"] };

for (const minor of minors) {
  describe(`nodes without Longhorn, by the ${minor} scheduler and API server (kwok's nodes attach nothing: that such a volume is not attached there is not shown)`, () => {
    let plane: ControlPlane;
    let provisioner: Provisioner;
    let clients: Pick<Clients, "kubernetes" | "clock" | "log">;
    let original: readonly unknown[];
    const lines: string[] = [];

    before(async () => {
      plane = await ControlPlane.start({ minor });
      const clock = { now: () => Date.now(), sleep: async () => void (await pause(50)) };
      clients = { kubernetes: plane.api, clock, log: (line) => lines.push(line) };
      await addNodes(plane.api, [
        ...debian.map((name) => ({ name, labels: kinds.debianLabels })),
        ...old.map((name) => ({ name, unschedulable: name === theirs })),
      ]);
      for (const name of debian) await plane.api.create(csiNode(name, kinds.longhornDriver));
      // As an old node has it with the driver of its old volumes. The others' kubelets have none.
      await plane.api.create(csiNode("rancheros-1", "nfs.csi.k8s.io"));
      await plane.api.create({
        ...kinds.csiDrivers,
        metadata: { name: kinds.longhornDriver },
        spec: { attachRequired: true, podInfoOnMount: true },
      } as StoredObject);
      await plane.api.create({
        ...kinds.storageClasses,
        metadata: { name: kinds.longhornClass },
        provisioner: kinds.longhornDriver,
      } as StoredObject);
      await plane.namespace(namespace);
      provisioner = Provisioner.start(plane, { name: kinds.longhornDriver, source: "csi" });
      await plane.api.create({
        ...kinds.claims,
        metadata: { name: "data", namespace },
        spec: {
          storageClassName: kinds.longhornClass,
          accessModes: ["ReadWriteMany"],
          resources: { requests: { storage: "1Gi" } },
        },
      } as StoredObject);
      original = await cordons();
    });

    after(async () => {
      await provisioner?.stop();
      await plane?.stop();
    });

    afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

    it("without the step the scheduler puts pods with a Longhorn volume onto nodes that cannot attach it", async () => {
      assert.deepEqual(await openWithoutLonghorn(plane.api), ours);
      await deploy("careless", 8);
      const on = nodesOf(await readyPods(plane.api, 8, { namespace, labels: { app: "careless" } }));
      assert.deepEqual(on, [...debian, ...ours]);
    });

    it("the step cordons them, says on each that it did, and leaves alone what the operator had cordoned", async () => {
      assert.deepEqual(await cordonWithoutLonghorn.run(input, clients as Clients), { cordoned: ours });
      assert.deepEqual(await cordons(), [
        ["debian-1", false, undefined],
        ["debian-2", false, undefined],
        ["rancheros-1", true, "longhorn"],
        ["rancheros-2", true, "longhorn"],
        ["rancheros-3", true, undefined],
      ]);
      assert.deepEqual(await openWithoutLonghorn(plane.api), []);
    });

    it("what runs there goes on, and the scheduler puts nothing more there: new pods, and those that are evicted", async () => {
      const running = await readyPods(plane.api, 8, { namespace, labels: { app: "careless" } });
      assert.deepEqual(nodesOf(running), [...debian, ...ours]);
      await deploy("careful", 8);
      assert.deepEqual(nodesOf(await readyPods(plane.api, 8, { namespace, labels: { app: "careful" } })), debian);
      for (const { metadata, spec } of running)
        if (ours.includes(spec?.nodeName ?? "")) await plane.api.evict(metadata?.name ?? "", namespace);
      await until("they are on nodes with the driver", async () => {
        assert.deepEqual(nodesOf(await readyPods(plane.api, 8, { namespace, labels: { app: "careless" } })), debian);
      });
    });

    it("run again it writes nothing", async () => {
      const wrote = (): number =>
        plane
          .audit()
          .filter(
            ({ verb, user, objectRef }) =>
              user.username === "operator" && objectRef?.resource === "nodes" && verb === "patch",
          ).length;
      const patches = wrote();
      assert.ok(patches >= ours.length);
      await cordonWithoutLonghorn.run({ volumes: [...input.volumes, "cloud/nextcloud-data"] }, clients as Clients);
      assert.equal(wrote(), patches);
    });

    it("a node that is uncordoned by hand is reported to whoever cuts over, and cordoned again by the next run", async () => {
      await plane.api.patch(kinds.nodes, "rancheros-2", { spec: { unschedulable: null } });
      assert.deepEqual(await openWithoutLonghorn(plane.api), ["rancheros-2"]);
      await cordonWithoutLonghorn.run(input, clients as Clients);
      assert.deepEqual(await openWithoutLonghorn(plane.api), []);
    });

    it("on leaving nothing is opened while pods use a Longhorn volume, and they are named", async () => {
      assert.deepEqual(await uncordonWithoutLonghorn.run(input, clients as Clients), { restored: [], kept: ours });
      assert.deepEqual(await openWithoutLonghorn(plane.api), []);
      assert.match(lines.at(-1) ?? "", /^rancheros-1, rancheros-2: stay cordoned.* games\/careful-/);
    });

    it("then exactly those that were cordoned by us take pods again, as they were before", async () => {
      for (const name of ["careless", "careful"]) await plane.api.remove(deployments, name, namespace);
      await until("their pods are gone", async () =>
        assert.deepEqual(await plane.api.list(kinds.pods, { namespace }), []),
      );
      assert.deepEqual(await uncordonWithoutLonghorn.run(input, clients as Clients), { restored: ours, kept: [] });
      assert.deepEqual(await cordons(), original);
      await deploy("after", 8, []);
      const on = nodesOf(await readyPods(plane.api, 8, { namespace, labels: { app: "after" } }));
      assert.deepEqual(on, [...debian, ...ours]);
    });

    /** What of a node is about cordons. The node controller's taints follow by themselves. */
    async function cordons(): Promise<readonly unknown[]> {
      return [...(await plane.api.list(kinds.nodes))].map(({ metadata, spec }: V1Node) => [
        metadata?.name,
        spec?.unschedulable === true,
        metadata?.annotations?.["home-cluster/cordoned-for"],
      ]);
    }

    async function deploy(
      name: string,
      replicas: number,
      volumes: object[] = [{ name: "data", persistentVolumeClaim: { claimName: "data" } }],
    ): Promise<void> {
      const labels = { app: name };
      const containers = [{ name: "main", image: "example.test/main:1" }];
      await plane.api.create({
        ...deployments,
        metadata: { name, namespace },
        spec: {
          replicas,
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers, volumes } },
        },
      } as StoredObject);
    }
  });
}

function csiNode(name: string, driver: string): StoredObject {
  return {
    ...kinds.csiNodes,
    metadata: { name },
    spec: { drivers: [{ name: driver, nodeID: name, topologyKeys: [] }] },
  } as StoredObject;
}

function nodesOf(pods: readonly V1Pod[]): string[] {
  return [...new Set(pods.map(({ spec }) => spec?.nodeName ?? ""))].sort();
}
