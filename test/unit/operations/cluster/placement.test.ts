import assert from "node:assert/strict";
import type { V1PersistentVolume, V1PersistentVolumeClaim, V1Pod } from "@kubernetes/client-node";
import { evictable, placementFindings } from "../../../../operations/cluster/placement";
import { nodeObject } from "../../../../rehearsal/home/guest";
import { podOn } from "../../../support/migrated-home";

const nodes = ["old", "new-1", "new-2"].map((name) => nodeObject(name, "192.168.10.1", ["worker"], {}));

function findings(
  pod: V1Pod,
  claims: readonly V1PersistentVolumeClaim[] = [],
  volumes: readonly V1PersistentVolume[] = [],
): string[] {
  return placementFindings({ nodes, pods: [pod], claims, volumes }, "old", ["old"]).map((found) => found.what);
}

const withVolume = (volume: object) => (pod: V1Pod) => {
  pod.spec = { ...pod.spec, containers: [], volumes: [{ name: "v", ...volume }] };
};

describe("pods that cannot run elsewhere", () => {
  it("an ordinary pod of a controller may go, with its emptyDir and its claim that nobody made yet", () => {
    assert.deepEqual(findings(podOn("old", "web")), []);
    assert.deepEqual(findings(podOn("old", "web", withVolume({ emptyDir: {} }))), []);
    assert.deepEqual(findings(podOn("old", "web", withVolume({ persistentVolumeClaim: { claimName: "later" } }))), []);
    assert.deepEqual(
      findings(podOn("new-1", "web", (pod) => delete pod.metadata?.ownerReferences)),
      [],
      "not on this node",
    );
  });

  for (const path of ["/etc/localtime", "/dev/net/tun", "/lib/modules", "/var/run/docker.sock", "/sys"]) {
    it(`${path} is on every host`, () =>
      assert.deepEqual(findings(podOn("old", "web", withVolume({ hostPath: { path } }))), []));
  }
  for (const path of ["/opt/data", "/etc/localtimes", "/developers", "/"]) {
    it(`${path} is data of this host`, () =>
      assert.deepEqual(findings(podOn("old", "web", withVolume({ hostPath: { path } }))), [
        `old: pod apps/web keeps data in the folder ${path} of this host`,
      ]));
  }
  it("a device or a socket is not data", () => {
    for (const type of ["CharDevice", "BlockDevice", "Socket"])
      assert.deepEqual(findings(podOn("old", "web", withVolume({ hostPath: { path: "/opt/thing", type } }))), []);
  });

  const claim: V1PersistentVolumeClaim = { metadata: { name: "data", namespace: "apps" }, spec: { volumeName: "pv" } };
  const mounting = podOn("old", "db", withVolume({ persistentVolumeClaim: { claimName: "data" } }));
  const reach = (host: string): V1PersistentVolume["spec"] => ({
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [host] }] }],
      },
    },
  });
  const volumes: [string, V1PersistentVolume["spec"], boolean][] = [
    ["any node reaches", {}, true],
    ["a staying node reaches", reach("new-2"), true],
    ["only this node reaches", reach("old"), false],
    ["is a folder of its host", { hostPath: { path: "/data" } }, false],
    ["is a local disk", { local: { path: "/mnt" }, ...reach("new-1") }, false],
  ];
  for (const [what, spec, free] of volumes) {
    it(`a claim whose volume ${what} ${free ? "may go" : "may not"}`, () => {
      const expected = free ? [] : ["old: pod apps/db mounts claim data, whose volume pv no node that stays can reach"];
      assert.deepEqual(findings(mounting, [claim], [{ metadata: { name: "pv" }, spec }]), expected);
    });
  }

  it("a claim of the same name in another namespace is another claim", () => {
    const other = { ...claim, metadata: { name: "data", namespace: "elsewhere" } };
    assert.deepEqual(
      findings(mounting, [other], [{ metadata: { name: "pv" }, spec: { local: { path: "/mnt" } } }]),
      [],
    );
  });

  it("a pod with an unsatisfiable selector and affinity says both", () => {
    const required = { nodeSelectorTerms: [{ matchExpressions: [{ key: "gpu", operator: "Exists" }] }] };
    const pod = podOn("old", "web", (one) => {
      one.spec = {
        ...one.spec,
        containers: [],
        nodeSelector: { a: "1", b: "2" },
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } },
      };
    });
    assert.deepEqual(findings(pod), [
      "old: pod apps/web cannot run on any node that stays (nodeSelector a=1,b=2 and required node affinity)",
    ]);
  });

  it("what belongs to the node, or has ended, is left where it is", () => {
    const owned = (kind: string): V1Pod =>
      podOn("old", kind, (pod) => {
        pod.metadata = { ...pod.metadata, ownerReferences: [{ apiVersion: "v1", kind, name: "x", uid: "x" }] };
      });
    const mirror = podOn("old", "mirror", (pod) => {
      pod.metadata = { ...pod.metadata, annotations: { "kubernetes.io/config.mirror": "x" } };
    });
    const ended = (phase: string): V1Pod => podOn("old", phase, (pod) => (pod.status = { phase }));
    const stays = [
      owned("DaemonSet"),
      owned("Node"),
      owned("InstanceManager"),
      mirror,
      ended("Succeeded"),
      ended("Failed"),
    ];
    const goes = [
      owned("ReplicaSet"),
      owned("Job"),
      ended("Pending"),
      podOn("old", "bare", (pod) => delete pod.metadata?.ownerReferences),
    ];
    assert.deepEqual(evictable([...stays, ...goes, podOn("new-1", "other")], "old"), goes);
  });
});
