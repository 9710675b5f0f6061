import assert from "node:assert/strict";
import { parse } from "yaml";
import { ingressTarget, type PackagedChart } from "../../../../components/services/ingress-target";
import { ingressValues } from "../../../../components/services/ingress-values";
import type { Environment } from "../../../../environment/schema";
import { ways, type Way } from "../../../support/load-balancer";

function chartOf(file: Environment): PackagedChart {
  const { chart } = ingressTarget(file.ingress, file.cluster.distribution);
  assert.ok(chart);
  return chart;
}

function values(way: Way, typeInSpec = false, change: Partial<Environment["ingress"]> = {}): unknown {
  const file = ways[way]();
  return parse(ingressValues({ ...file.ingress, ...change }, chartOf(file), typeInSpec));
}

const annotations = { "metallb.io/loadBalancerIPs": "172.20.20.2", "metallb.io/address-pool": "default" };
const labels = { "home-cluster/address": "ingress" };
const local = { externalTrafficPolicy: "Local", sessionAffinity: "None", healthCheckNodePort: 31431 };
const ports = { web: { nodePort: 30176 }, websecure: { nodePort: 32182 } };

describe("ingressValues (keys looked up in the charts; does not prove that a chart reads them)", () => {
  it("rke2, nginx", () => {
    assert.deepEqual(values("rke2, nginx"), {
      controller: {
        publishService: { enabled: true },
        service: {
          enabled: true,
          type: "LoadBalancer",
          annotations,
          labels,
          ...local,
          nodePorts: { http: 30176, https: 32182 },
        },
      },
    });
  });

  it("rke2, traefik before and since version 40: the type in one place", () => {
    assert.deepEqual(values("rke2, traefik"), {
      service: { annotations, labels, type: "LoadBalancer", spec: local },
      ports,
    });
    assert.deepEqual(values("rke2, traefik", true), {
      service: { annotations, labels, spec: { type: "LoadBalancer", ...local } },
      ports,
    });
  });

  it("k3s, traefik: a pod on every node besides", () => {
    assert.deepEqual(values("k3s, traefik"), {
      deployment: { kind: "DaemonSet" },
      service: { annotations, labels, type: "LoadBalancer", spec: local },
      ports,
    });
  });

  it("no health check port when none is declared", () => {
    const cluster = { externalTrafficPolicy: "Cluster", healthCheckNodePort: undefined } as const;
    const spec = { externalTrafficPolicy: "Cluster", sessionAffinity: "None" };
    assert.deepEqual(values("rke2, traefik", true, cluster), {
      service: { annotations, labels, spec: { type: "LoadBalancer", ...spec } },
      ports,
    });
    const { controller } = values("rke2, nginx", false, cluster) as { controller: { service: object } };
    assert.ok(!("healthCheckNodePort" in controller.service));
  });

  it("the same settings are the same text, in whatever order they stand in the file", () => {
    const file = ways["rke2, nginx"]();
    const turned = Object.fromEntries(Object.entries(file.ingress).reverse()) as unknown as Environment["ingress"];
    turned.nodePorts = { https: 32182, http: 30176 };
    assert.equal(ingressValues(turned, chartOf(file), false), ingressValues(file.ingress, chartOf(file), false));
  });
});
