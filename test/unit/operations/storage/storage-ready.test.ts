import assert from "node:assert/strict";
import type { StoredObject } from "../../../../operations/clients";
import { longhornNodes, storageClasses, type LonghornNode } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { missingDisk, storageReady } from "../../../../operations/storage/storage-ready";
import { csiNode, defaultFlag, longhornNode, readyObjects, storageClass, storageHome } from "../../../support/longhorn";

const nodes = ["debian-1", "debian-2"];
const input = { storageClass: "longhorn", nodes, revision: 1 };

/** A home without the old class's flag, and with these objects. */
async function homeWith(objects: Record<string, StoredObject | undefined>): Promise<ReturnType<typeof storageHome>> {
  const clients = storageHome();
  await clients.kubernetes.remove(storageClasses, "nfs-client");
  for (const object of Object.values(objects)) if (object) await clients.kubernetes.create(object);
  return clients;
}

/** Why it gave up. */
async function missing(objects: Record<string, StoredObject | undefined>): Promise<string> {
  try {
    await storageReady.run(input, await homeWith({ ...readyObjects(nodes), ...objects }));
  } catch (error) {
    assert.ok(error instanceof Refusal);
    assert.equal(error.parts.what, "Longhorn's storage: not within 1200 s");
    return error.parts.why.replace("last seen: ", "");
  }
  assert.fail("it was ready");
}

describe("storage-ready (pretend API server: does not prove that a volume can be mounted)", () => {
  it("returns the class once everything is there, at once", async () => {
    const clients = await homeWith(readyObjects(nodes));
    const before = clients.clock.now();
    assert.deepEqual(await storageReady.run(input, clients), { storageClass: "longhorn" });
    assert.equal(clients.clock.now(), before);
  });

  it("waits for what comes late", async () => {
    const { [`disk debian-2`]: late, ...others } = readyObjects(nodes);
    const clients = await homeWith(others);
    void clients.clock.sleep(400_000).then(() => late && clients.kubernetes.create(late));
    const before = clients.clock.now();
    assert.deepEqual(await storageReady.run(input, clients), { storageClass: "longhorn" });
    assert.equal(clients.clock.now() - before >= 400_000, true);
  });

  it("goes on waiting for a changed release in the same way", async () => {
    const clients = await homeWith(readyObjects(nodes));
    assert.deepEqual(await storageReady.run({ ...input, revision: 2 }, clients), { storageClass: "longhorn" });
  });

  it("says which disks keep another share free than the file, and is ready all the same", async () => {
    const disk = (name: string, storageReserved: number): LonghornNode => {
      const node = longhornNode(name);
      return {
        ...node,
        spec: { ...node.spec, disks: { "default-disk": { ...node.spec?.disks?.["default-disk"], storageReserved } } },
        status: {
          ...node.status,
          diskStatus: {
            "default-disk": { ...node.status?.diskStatus?.["default-disk"], storageMaximum: 210_304_475_136 },
          },
        },
      };
    };
    // As Longhorn divides: 30 % of the maximum without its fraction, on the one; a fifth on the other.
    const clients = await homeWith({
      ...readyObjects(nodes),
      "disk debian-1": disk("debian-1", 63_091_342_540),
      "disk debian-2": disk("debian-2", 42_060_895_027),
    });
    assert.deepEqual(await storageReady.run({ ...input, reservedPercent: 30 }, clients), { storageClass: "longhorn" });
    assert.deepEqual(clients.lines, [
      "node debian-2: disk default-disk keeps 20 % free, longhorn.reservedPercent says 30: Longhorn took it when the disk was made; change it in its UI (Node, Edit node and disks)",
    ]);
  });

  describe("names what is missing when the time is up:", () => {
    const noDriver = "node debian-2: driver.longhorn.io is not registered with its kubelet";
    const unknown =
      "node debian-2: Longhorn does not know it (is it labelled home-cluster/node=debian, and does its manager run?)";
    const cases: Record<string, readonly [Record<string, StoredObject | undefined>, string]> = {
      "the class": [{ class: undefined }, "StorageClass longhorn is missing"],
      "the class that is not the default": [
        { class: storageClass("longhorn") },
        "StorageClass longhorn is not the only default: marked as default is none",
      ],
      "a second default": [
        { other: storageClass("local-path", { [defaultFlag]: "true" }) },
        "StorageClass longhorn is not the only default: marked as default is local-path and longhorn",
      ],
      "another default instead": [
        { class: storageClass("longhorn"), other: storageClass("local-path", { [defaultFlag]: "true" }) },
        "StorageClass longhorn is not the only default: marked as default is local-path",
      ],
      "the driver": [{ driver: undefined }, "CSIDriver driver.longhorn.io is missing"],
      "the driver on one node": [{ "csi debian-2": undefined }, noDriver],
      "the driver on a node that has another": [
        { "csi debian-2": csiNode("debian-2", ["other.example.org"]) },
        noDriver,
      ],
      "a node that Longhorn does not know": [{ "disk debian-2": undefined }, unknown],
      "several at once": [
        { driver: undefined, "disk debian-2": undefined },
        `CSIDriver driver.longhorn.io is missing; ${unknown}`,
      ],
    };
    for (const [title, [objects, why]] of Object.entries(cases)) {
      it(title, async () => assert.equal(await missing(objects), why));
    }
  });

  it("takes no notice of nodes that bring no disk", async () => {
    const clients = await homeWith(readyObjects(nodes));
    assert.equal((await clients.kubernetes.list(longhornNodes)).length, 2);
    assert.deepEqual(await storageReady.run({ ...input, nodes: ["debian-1"] }, clients), { storageClass: "longhorn" });
  });

  it("is not asked without nodes: there would be nothing to wait for", () => {
    assert.equal(storageReady.schema.safeParse({ ...input, nodes: [] }).success, false);
  });
});

describe("missingDisk", () => {
  const changed = (change: (node: LonghornNode) => void): string | undefined => {
    const node = longhornNode("debian-1");
    change(node);
    return missingDisk(node);
  };
  const cases: Record<string, readonly [(node: LonghornNode) => void, string | undefined]> = {
    "nothing on a good node": [() => undefined, undefined],
    "a node that is not ready": [
      (node) => (node.status = { conditions: [{ type: "Ready", status: "False", reason: "ManagerPodDown" }] }),
      "Longhorn says Ready is False (ManagerPodDown)",
    ],
    "a cordoned node": [
      (node) =>
        (node.status = {
          conditions: [
            { type: "Ready", status: "True" },
            { type: "Schedulable", status: "False", reason: "KubernetesNodeCordoned" },
          ],
        }),
      "Longhorn says Schedulable is False (KubernetesNodeCordoned)",
    ],
    "a node without conditions yet": [(node) => delete node.status, "Longhorn says Ready is unknown"],
    "a node switched off": [
      (node) => node.spec && (node.spec.allowScheduling = false),
      "scheduling is switched off in Longhorn",
    ],
    "a node without disks": [
      (node) => node.spec && delete node.spec.disks,
      "no disk (is it labelled node.longhorn.io/create-default-disk=true?)",
    ],
    "a disk switched off": [
      (node) => node.spec && (node.spec.disks = { one: { allowScheduling: false } }),
      "disk one is switched off",
    ],
    "a disk that is full, by message where there is no reason": [
      (node) => {
        const conditions = [{ type: "Schedulable", status: "False", reason: "", message: "25% is not available" }];
        node.status = { ...node.status, diskStatus: { "default-disk": { conditions } } };
      },
      "disk default-disk Schedulable is False (25% is not available)",
    ],
    "a disk that says nothing": [
      (node) => {
        const conditions = [{ type: "Schedulable", status: "Unknown" }];
        node.status = { ...node.status, diskStatus: { "default-disk": { conditions } } };
      },
      "disk default-disk Schedulable is Unknown (no reason given)",
    ],
    "nothing when one of two disks is good": [
      (node) => node.spec && (node.spec.disks = { ...node.spec.disks, other: { allowScheduling: false } }),
      undefined,
    ],
  };
  for (const [title, [change, why]] of Object.entries(cases)) {
    it(`says ${title}`, () => assert.equal(changed(change), why));
  }
});
