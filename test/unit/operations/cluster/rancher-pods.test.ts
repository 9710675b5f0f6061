import assert from "node:assert/strict";
import type { V1Node, V1Pod } from "@kubernetes/client-node";
import { rancherFindings } from "../../../../operations/cluster/rancher-pods";

const conditions = [{ type: "Ready", status: "True" }];
const node = (name: string, unschedulable = false): V1Node => ({
  metadata: { name },
  spec: { ...(unschedulable && { unschedulable }) },
  status: { conditions },
});
const nodes = ["debian-1", "debian-2", "rancheros-1", "rancheros-2"].map((name) => node(name));

interface Server {
  readonly image?: string;
  readonly namespace?: string;
  readonly ready?: boolean;
  readonly phase?: string;
}
const server = (
  nodeName: string,
  { image = "rancher/rancher:v2.11.3", namespace = "cattle-system", ready = true, phase = "Running" }: Server = {},
): V1Pod => ({
  metadata: { name: `rancher-on-${nodeName}`, namespace },
  spec: { nodeName, containers: [{ name: "rancher", image }] },
  status: { phase, ...(ready && { conditions }) },
});
const old = ["rancheros-1", "rancheros-2"];
const found = (pods: readonly V1Pod[], among = nodes): string[] =>
  rancherFindings({ nodes: among, pods }, "rancheros-1", old).map(({ what, remedy }) => `${what}: ${remedy}`);

describe("Rancher itself on a node that leaves", () => {
  it("is named with its pod and with what moves it, where it runs on no node that stays", () => {
    assert.deepEqual(found([server("rancheros-1"), server("rancheros-2")]), [
      "rancheros-1: Rancher itself runs on it (pod cattle-system/rancher-on-rancheros-1) and on no node that stays, and only Rancher can take the node out: " +
        "`kubectl cordon rancheros-1 rancheros-2`, `kubectl -n cattle-system delete pod rancher-on-rancheros-1`, and wait until Rancher answers from a node that stays",
    ]);
  });

  for (const image of [
    "registry.example.test:5000/rancher/rancher:v2.11.3",
    "rancher/rancher@sha256:0000",
    "docker.io/rancher/rancher",
  ]) {
    it(`is known by the image ${image}`, () => assert.equal(found([server("rancheros-1", { image })]).length, 1));
  }

  const others: readonly [string, readonly V1Pod[]][] = [
    ["a ready one on a node that stays", [server("rancheros-1"), server("debian-1")]],
    ["one on the other nodes only", [server("rancheros-2")]],
    ["its agent", [server("rancheros-1", { image: "rancher/rancher-agent:v2.11.3" })]],
    ["somebody's own use of its image", [server("rancheros-1", { namespace: "apps" })]],
    ["one that has ended", [server("rancheros-1", { phase: "Succeeded" })]],
    ["none at all, as where it runs elsewhere", []],
  ];
  for (const [what, pods] of others) it(`says nothing of ${what}`, () => assert.deepEqual(found(pods), []));

  it("does not count one that is not ready, nor one on a node that takes no pods", () => {
    assert.equal(found([server("rancheros-1"), server("debian-1", { ready: false })]).length, 1);
    const cordoned = nodes.map((one) => (one.metadata?.name === "debian-1" ? node("debian-1", true) : one));
    assert.equal(found([server("rancheros-1"), server("debian-1")], cordoned).length, 1);
  });
});
