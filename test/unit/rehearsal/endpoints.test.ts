import assert from "node:assert/strict";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { StoredObject } from "../../../operations/clients";
import { endpointSlicesOf } from "../../../rehearsal/home/endpoints";

const service = (spec: V1Service["spec"]): V1Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "a" },
  spec,
});
const pod = (name: string, more: Partial<V1Pod> = {}): V1Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  spec: { nodeName: `node-of-${name}`, containers: [] },
  status: { conditions: [{ type: "Ready", status: "True" }] },
  ...more,
  metadata: { name, namespace: "a", labels: { app: "web" }, ...more.metadata },
});

/** Pod by pod, whether it is a ready endpoint of the Service. */
function endpoints(spec: V1Service["spec"], ...pods: readonly StoredObject[]): unknown {
  return endpointSlicesOf([service(spec), ...pods]).map((slice) =>
    slice.endpoints.map(({ targetRef, nodeName, conditions }) => [targetRef?.name, nodeName, conditions?.ready]),
  );
}

describe("the pretend home's endpoint slices", () => {
  it("hold the pods that the selector matches, in the Service's namespace, with their nodes", () => {
    const others = [
      pod("elsewhere", { metadata: { namespace: "b" } }),
      pod("other", { metadata: { labels: { app: "x" } } }),
      { ...pod("longhorn"), apiVersion: "longhorn.io/v1beta2" },
    ];
    assert.deepEqual(endpoints({ selector: { app: "web" } }, pod("one"), ...others), [[["one", "node-of-one", true]]]);
  });

  it("say who is not ready: not Ready, without conditions, or on the way out", () => {
    const unready = pod("unready", { status: { conditions: [{ type: "Ready", status: "False" }] } });
    const starting = pod("starting", { status: undefined });
    const leaving = pod("leaving", { metadata: { deletionTimestamp: new Date(0) } });
    assert.deepEqual(endpoints({ selector: { app: "web" } }, unready, starting, leaving), [
      [
        ["unready", "node-of-unready", false],
        ["starting", "node-of-starting", false],
        ["leaving", "node-of-leaving", false],
      ],
    ]);
  });

  it("have the Service's ports and carry its name", () => {
    const [slice] = endpointSlicesOf([
      service({ selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080, protocol: "TCP" }] }),
    ]);
    assert.deepEqual(slice?.ports, [{ name: "http", protocol: "TCP", port: 8080 }]);
    assert.deepEqual(slice?.metadata?.labels, { "kubernetes.io/service-name": "web" });
  });

  it("are none for a Service without a selector", () => {
    assert.deepEqual(endpoints({}), []);
    assert.deepEqual(endpoints(undefined), []);
    assert.deepEqual(endpointSlicesOf([{ apiVersion: "v1", kind: "Service" }]), []);
  });
});
