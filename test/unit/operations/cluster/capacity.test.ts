import assert from "node:assert/strict";
import type { V1Node, V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { capacityFindings, requestsOf } from "../../../../operations/cluster/capacity";
import { nodeObject } from "../../../../rehearsal/home/guest";
import { podOn } from "../../../support/migrated-home";

function node(
  name: string,
  allocatable: Record<string, string>,
  change: (node: V1Node) => void = () => undefined,
): V1Node {
  const made = nodeObject(name, "192.168.10.1", ["worker"], {});
  made.status = { ...made.status, allocatable: { pods: "110", cpu: "4", memory: "8Gi", ...allocatable } };
  change(made);
  return made;
}

function pod(on: string, name: string, requests: Record<string, string>, more: Partial<V1PodSpec> = {}): V1Pod {
  return podOn(on, name, (made) => {
    const containers = [{ name: "main", resources: { requests } }];
    made.spec = { ...made.spec, containers, ...more };
  });
}

function findings(nodes: readonly V1Node[], pods: readonly V1Pod[], from = ["old"], leaving = ["old"]): string[] {
  return capacityFindings({ nodes, pods }, from, leaving).map(({ what }) => what);
}

describe("room for a node's pods on the nodes that stay (counts requests as the scheduler does; proves nothing of spread, affinity between pods, or what pods really use)", () => {
  const old = node("old", {});

  it("is there when each finds a node, what runs there already counted", () => {
    const nodes = [old, node("new-1", { memory: "3Gi" }), node("new-2", { memory: "3Gi" })];
    const pods = [
      pod("new-1", "there", { memory: "1Gi" }),
      pod("old", "a", { memory: "2Gi" }),
      pod("old", "b", { memory: "3Gi" }),
    ];
    assert.deepEqual(findings(nodes, pods), []);
  });

  it("is missing when requests do not fit, told with what is left where", () => {
    const nodes = [old, node("new-1", { memory: "3Gi" }), node("new-2", { memory: "2Gi" })];
    const pods = [pod("new-1", "there", { memory: "1Gi" }), pod("old", "a", { memory: "2560Mi", cpu: "100m" })];
    assert.deepEqual(findings(nodes, pods), [
      "old: pod apps/a requests 2560Mi memory, and no node that stays has that left beside the others (new-1 2048Mi memory, new-2 2048Mi memory)",
    ]);
  });

  it("is taken by one pod once, the largest first", () => {
    const nodes = [old, node("new-1", { memory: "4Gi" })];
    const pods = [pod("old", "small", { memory: "1Gi" }), pod("old", "large", { memory: "3584Mi" })];
    assert.deepEqual(findings(nodes, pods), [
      "old: pod apps/small requests 1024Mi memory, and no node that stays has that left beside the others (new-1 512Mi memory)",
    ]);
  });

  it("counts pods, processors and whatever else a node offers", () => {
    assert.deepEqual(findings([old, node("new-1", { pods: "1" })], [pod("new-1", "there", {}), pod("old", "a", {})]), [
      "old: pod apps/a requests 1 pods, and no node that stays has that left beside the others (new-1 0 pods)",
    ]);
    assert.deepEqual(findings([old, node("new-1", { cpu: "1500m" })], [pod("old", "a", { cpu: "1.6" })]), [
      "old: pod apps/a requests 1600m cpu, and no node that stays has that left beside the others (new-1 1500m cpu)",
    ]);
    assert.deepEqual(findings([old, node("new-1", {})], [pod("old", "a", { "example.org/gpu": "1" })]), [
      "old: pod apps/a requests 1 example.org/gpu, and no node that stays has that left beside the others (new-1 0 example.org/gpu)",
    ]);
  });

  it("is missing, too, when each amount is there and never all on one node", () => {
    const nodes = [old, node("new-1", { cpu: "1", memory: "8Gi" }), node("new-2", { cpu: "8", memory: "1Gi" })];
    assert.deepEqual(findings(nodes, [pod("old", "a", { cpu: "2", memory: "2Gi" })]), [
      "old: pod apps/a requests 2000m cpu and 2048Mi memory, and no node that stays has that left beside the others " +
        "(new-1 1000m cpu and 8192Mi memory, new-2 8000m cpu and 1024Mi memory)",
    ]);
  });

  it("does not count nodes that leave, are cordoned, or may not run the pod", () => {
    const cordoned = (made: V1Node): void => void (made.spec = { ...made.spec, unschedulable: true });
    const other = node("new-1", { memory: "1Gi" });
    const nodes = [old, other, node("next", { memory: "8Gi" }), node("new-2", { memory: "8Gi" }, cordoned)];
    const pods = [pod("old", "a", { memory: "2Gi" })];
    const what =
      "old: pod apps/a requests 2048Mi memory, and no node that stays has that left beside the others (new-1 1024Mi memory)";
    assert.deepEqual(findings(nodes, pods, ["old"], ["old", "next"]), [what]);
    const tainted = (made: V1Node): void =>
      void (made.spec = { ...made.spec, taints: [{ key: "only", effect: "NoSchedule", value: "gpu" }] });
    assert.deepEqual(findings([old, other, node("new-2", { memory: "8Gi" }, tainted)], pods), [what]);
  });

  it("leaves a pod that no node may run at all to the look at selectors", () => {
    const nodes = [old, node("new-1", { memory: "1Gi" })];
    assert.deepEqual(findings(nodes, [pod("old", "a", { memory: "2Gi" }, { nodeSelector: { disk: "ssd" } })]), []);
  });

  it("of several nodes that go at once is counted together", () => {
    const nodes = [node("old-1", {}), node("old-2", {}), node("new-1", { memory: "3Gi" })];
    const pods = [pod("old-1", "a", { memory: "2Gi" }), pod("old-2", "b", { memory: "2Gi" })];
    const leaving = ["old-1", "old-2"];
    for (const name of leaving) assert.deepEqual(findings(nodes, pods, [name], leaving), []);
    assert.deepEqual(findings(nodes, pods, leaving, leaving), [
      "old-2: pod apps/b requests 2048Mi memory, and no node that stays has that left beside the others (new-1 1024Mi memory)",
    ]);
  });

  it("does not count pods that have ended, nor those that the node keeps to itself", () => {
    const nodes = [old, node("new-1", { memory: "2Gi" })];
    const ended = pod("new-1", "ended", { memory: "2Gi" });
    ended.status = { ...ended.status, phase: "Succeeded" };
    const daemon = pod("old", "daemon", { memory: "2Gi" });
    daemon.metadata = {
      ...daemon.metadata,
      ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "daemon", uid: "1", controller: true }],
    };
    assert.deepEqual(findings(nodes, [ended, daemon, pod("old", "a", { memory: "2Gi" })]), []);
  });
});

describe("a pod's requests", () => {
  const requests = (spec: object): object => requestsOf({ spec: { containers: [], ...spec } });
  const container = (memory: string, more: object = {}): object => ({
    name: "c",
    resources: { requests: { memory } },
    ...more,
  });
  const mebibyte = 2 ** 20;

  const cases: [string, object, number][] = [
    ["are its containers' together", { containers: [container("1Mi"), container("2Mi")] }, 3],
    [
      "are its largest init container's when that is more",
      { containers: [container("1Mi")], initContainers: [container("4Mi"), container("3Mi")] },
      4,
    ],
    [
      "hold a sidecar all the time",
      { containers: [container("1Mi")], initContainers: [container("2Mi", { restartPolicy: "Always" })] },
      3,
    ],
    [
      "hold a sidecar beside the init containers after it, and not before it",
      {
        containers: [container("1Mi")],
        initContainers: [container("5Mi"), container("2Mi", { restartPolicy: "Always" }), container("4Mi")],
      },
      6,
    ],
    ["have its overhead on top", { containers: [container("1Mi")], overhead: { memory: "2Mi" } }, 3],
    [
      "are those of the pod where it has its own",
      { containers: [container("1Mi")], resources: { requests: { memory: "7Mi" } } },
      7,
    ],
    [
      "are the limit where nothing else is said",
      { containers: [{ name: "c", resources: { limits: { memory: "2Mi" } } }] },
      2,
    ],
  ];
  for (const [title, spec, expected] of cases)
    it(title, () => assert.deepEqual(requests(spec), { memory: expected * mebibyte, pods: 1 }));
});
