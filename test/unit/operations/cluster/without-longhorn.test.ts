import assert from "node:assert/strict";
import type { V1Node } from "@kubernetes/client-node";
import { ApiRefusal, type Clients, type StoredObject } from "../../../../operations/clients";
import { cordon, cordonedFor, uncordon } from "../../../../operations/cluster/cordon";
import {
  cordonWithoutLonghorn,
  openWithoutLonghorn,
  uncordonWithoutLonghorn,
} from "../../../../operations/cluster/without-longhorn";
import { debianLabels, longhornDriver, nodes } from "../../../../operations/kinds";
import { buildHome } from "../../../../rehearsal/home/build";
import { pretendClients } from "../../../../rehearsal/home/clients";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { nodeObject } from "../../../../rehearsal/home/guest";
import type { HomeState } from "../../../../rehearsal/home/state";
import { environment } from "../../../support/environment";
import { add, find, nodeIn, refusalOf } from "../../../support/migrated-home";

const input = { volumes: ["games/valheim-server-data"] };
const old = environment("home")
  .oldNodes.filter(({ retired }) => !retired)
  .map(({ name }) => name)
  .sort();

interface At {
  readonly home: HomeState;
  readonly clients: Clients;
  readonly lines: string[];
}

describe("nodes without Longhorn (pretend cluster: what a scheduler makes of it is shown by test/cluster)", () => {
  let at: At;

  beforeEach(() => {
    const home = buildHome(environment("home"));
    const lines: string[] = [];
    at = { home, clients: pretendClients(home, new VirtualClock(home.now), (line) => lines.push(line)), lines };
    debian("debian-1");
  });

  /** A Debian node, with the driver unless said otherwise. */
  function debian(name: string, drivers: readonly string[] = [longhornDriver], change?: (node: V1Node) => void): void {
    const node = nodeObject(name, "192.168.10.21", ["worker"], debianLabels);
    change?.(node);
    add(at.home, node);
    add(at.home, csiNode(name, drivers));
  }

  const state = (): Record<string, string> =>
    Object.fromEntries(
      at.home.kubernetes.objects
        .filter((object): object is V1Node => object.kind === "Node" && object.apiVersion === "v1")
        .filter(({ spec, metadata }) => spec?.unschedulable === true || metadata?.annotations !== undefined)
        .filter((node) => node.spec?.unschedulable === true || cordonedFor(node) !== undefined)
        .map((node) => [node.metadata?.name ?? "", `${node.spec?.unschedulable} ${cordonedFor(node)}`]),
    );
  const cordonedAll = Object.fromEntries(old.map((name) => [name, "true longhorn"]));

  it("cordons every node without the driver, records that it did, and lets go of exactly those", async () => {
    assert.ok(old.length >= 2);
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), old);
    assert.deepEqual(await cordonWithoutLonghorn.run(input, at.clients), { cordoned: old });
    assert.deepEqual(state(), cordonedAll);
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), []);
    assert.deepEqual(await uncordonWithoutLonghorn.run(input, at.clients), { restored: old, kept: [] });
    assert.deepEqual(state(), {});
  });

  it("keeps its hands off a node that somebody else had cordoned, before and after", async () => {
    const [theirs = "", ...others] = old;
    await at.clients.kubernetes.patch(nodes, theirs, { spec: { unschedulable: true } });
    assert.deepEqual(await cordonWithoutLonghorn.run(input, at.clients), { cordoned: others });
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), []);
    await uncordonWithoutLonghorn.run(input, at.clients);
    assert.deepEqual(state(), { [theirs]: "true undefined" });
  });

  it("run again it changes nothing, takes in a node that came since or was opened by hand, and lets go of one that has the driver now", async () => {
    await cordonWithoutLonghorn.run(input, at.clients);
    const before = JSON.stringify(at.home.kubernetes.objects);
    await cordonWithoutLonghorn.run(input, at.clients);
    assert.equal(JSON.stringify(at.home.kubernetes.objects), before);

    add(at.home, nodeObject("rancheros-9", "192.168.10.19", ["worker"], {}));
    const [opened = "", converted = ""] = old;
    await at.clients.kubernetes.patch(nodes, opened, { spec: { unschedulable: null } });
    add(at.home, csiNode(converted, [longhornDriver]));
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), [opened, "rancheros-9"].sort());
    const expected = [...old.filter((name) => name !== converted), "rancheros-9"].sort();
    assert.deepEqual(await cordonWithoutLonghorn.run(input, at.clients), { cordoned: expected });
    assert.equal(nodeIn(at.home, converted).spec?.unschedulable, undefined);
  });

  it("counts a node by Longhorn's driver alone, another's does not help", async () => {
    const [name = ""] = old;
    add(at.home, csiNode(name, ["nfs.csi.k8s.io"]));
    assert.ok((await openWithoutLonghorn(at.clients.kubernetes)).includes(name));
  });

  it("waits for a Debian node whose driver is starting, and does not cordon it", async () => {
    debian("debian-2", []);
    const { clock } = at.clients;
    const run = cordonWithoutLonghorn.run(input, at.clients);
    await clock.sleep(60_000);
    assert.deepEqual(state(), {});
    const live = find<StoredObject & { spec?: object }>(at.home, "CSINode", "debian-2");
    live.spec = { drivers: [{ name: longhornDriver, nodeID: "debian-2" }] };
    assert.deepEqual(await run, { cordoned: old });
    assert.equal(nodeIn(at.home, "debian-2").spec?.unschedulable, undefined);
  });

  it("refuses, with nothing touched, when that driver does not come", async () => {
    debian("debian-2", []);
    const { what, why } = await refusalOf(cordonWithoutLonghorn.run(input, at.clients));
    assert.equal(what, "driver.longhorn.io on the Debian nodes: not within 300 s");
    assert.equal(why, "last seen: it is not registered on debian-2");
    assert.deepEqual(state(), {});
    assert.ok((await openWithoutLonghorn(at.clients.kubernetes)).includes("debian-2"));
  });

  it("leaves a dedicated control plane of ours alone, whose taints keep pods away, and not one that is only unwell", async () => {
    const tainted = (key: string, effect: string) => (node: V1Node) => {
      node.spec = { ...node.spec, taints: [{ key, value: "true", effect }] };
    };
    debian("debian-2", [], tainted("node-role.kubernetes.io/controlplane", "NoSchedule"));
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), old);
    assert.deepEqual(await cordonWithoutLonghorn.run(input, at.clients), { cordoned: old });
    assert.equal(nodeIn(at.home, "debian-2").spec?.unschedulable, undefined);
    debian("debian-3", [], tainted("node.kubernetes.io/not-ready", "NoExecute"));
    debian("debian-4", [], tainted("example.org/disk", "PreferNoSchedule"));
    assert.deepEqual(await openWithoutLonghorn(at.clients.kubernetes), ["debian-3", "debian-4"]);
  });

  it("refuses to cordon what would leave no node for pods", async () => {
    await at.clients.kubernetes.patch(nodes, "debian-1", { spec: { unschedulable: true } });
    const { what, why } = await refusalOf(cordonWithoutLonghorn.run(input, at.clients));
    assert.equal(what, "no node was cordoned: none would be left");
    assert.equal(why, "no node that is Ready and takes pods has the driver driver.longhorn.io");
    assert.deepEqual(state(), { "debian-1": "true undefined" });
  });

  it("takes back what it did when it fails half-way", async () => {
    const { kubernetes } = at.clients;
    const last = old.at(-1);
    const failing = {
      ...at.clients,
      kubernetes: new Proxy(kubernetes, {
        get: (target, key) => {
          if (key !== "patch") return bound(target, key);
          return async (...args: Parameters<typeof kubernetes.patch>) => {
            if (args[1] === last) throw new ApiRefusal(0, "Unreachable", "the line is cut");
            return target.patch(...args);
          };
        },
      }),
    };
    await assert.rejects(cordonWithoutLonghorn.run(input, failing), /the line is cut/);
    assert.deepEqual(state(), {});
    assert.ok(at.lines.includes(`${old[0]}: cordoned`), "it failed before it did anything");
  });

  describe("a leave or a restart that is given up", () => {
    for (const purpose of ["leave", "restart"] as const) {
      it(`does not take back what the node was cordoned for before its ${purpose}`, async () => {
        const [name = ""] = old;
        await cordonWithoutLonghorn.run(input, at.clients);
        await cordon(at.clients, name, purpose);
        await uncordon(at.clients, name);
        assert.deepEqual(state(), cordonedAll);
      });
    }

    it("takes its own back, which restoring for Longhorn does not", async () => {
      const [name = ""] = old;
      await cordon(at.clients, name, "leave");
      await cordonWithoutLonghorn.run(input, at.clients);
      assert.equal(state()[name], "true leave");
      await uncordonWithoutLonghorn.run(input, at.clients);
      assert.deepEqual(state(), { [name]: "true leave" });
      await uncordon(at.clients, name);
      assert.deepEqual(state(), {});
    });
  });

  describe("restoring while a pod uses a volume of Longhorn", () => {
    const pod = (volumes: object[], phase = "Running"): StoredObject =>
      ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "valheim-0", namespace: "games" },
        spec: { nodeName: "debian-1", containers: [], volumes },
        status: { phase },
      }) as StoredObject;
    const mounting = (claimName: string) => [{ name: "data", persistentVolumeClaim: { claimName } }];

    beforeEach(async () => {
      add(at.home, volume("pvc-new", { csi: { driver: longhornDriver, volumeHandle: "pvc-new" } }));
      add(at.home, claim("new", "pvc-new"));
      add(at.home, claim("valheim-0-scratch", "pvc-new"));
      await cordonWithoutLonghorn.run(input, at.clients);
    });

    for (const [title, volumes] of [
      ["a claim", mounting("new")],
      ["an ephemeral volume", [{ name: "scratch", ephemeral: { volumeClaimTemplate: {} } }]],
    ] as const) {
      it(`keeps the nodes as they are, and names them and the pod (${title})`, async () => {
        add(at.home, pod(volumes as object[]));
        assert.deepEqual(await uncordonWithoutLonghorn.run(input, at.clients), { restored: [], kept: old });
        assert.deepEqual(state(), cordonedAll);
        const names = old.join(", ");
        assert.equal(
          at.lines.at(-1),
          `${names}: stay cordoned, volumes of Longhorn cannot be attached there and pods use some: games/valheim-0; ` +
            `retire them, or \`kubectl uncordon ${old.join(" ")}\` if these pods cannot land there`,
        );
      });
    }

    for (const [title, other] of [
      ["has ended", () => pod(mounting("new"), "Succeeded")],
      ["mounts the old volume", () => pod(mounting("valheim-server-data"))],
      [
        "mounts a claim of that name elsewhere",
        () => ({ ...pod(mounting("new")), metadata: { name: "x", namespace: "y" } }),
      ],
      ["mounts no claim", () => pod([{ name: "config", configMap: { name: "x" } }])],
    ] as const) {
      it(`restores them when the pod ${title}`, async () => {
        add(at.home, other());
        assert.deepEqual(await uncordonWithoutLonghorn.run(input, at.clients), { restored: old, kept: [] });
      });
    }
  });
});

const csi = { apiVersion: "storage.k8s.io/v1" };

function csiNode(name: string, drivers: readonly string[]): StoredObject {
  const spec = { drivers: drivers.map((driver) => ({ name: driver, nodeID: name })) };
  return { ...csi, kind: "CSINode", metadata: { name }, spec } as StoredObject;
}

function volume(name: string, spec: object): StoredObject {
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec } as StoredObject;
}

function claim(name: string, volumeName: string): StoredObject {
  const metadata = { name, namespace: "games" };
  return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata, spec: { volumeName } } as StoredObject;
}

function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key);
  return typeof value === "function" ? (value.bind(target) as unknown) : value;
}
