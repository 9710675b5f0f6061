import assert from "node:assert/strict";
import type { V1EndpointSlice, V1Service } from "@kubernetes/client-node";
import { services } from "../../../../operations/kinds";
import { ingressAnswers } from "../../../../operations/load-balancer/ingress-answers";
import type { IngressInput } from "../../../../operations/load-balancer/ingress-input";
import { endpointSlices } from "../../../../operations/load-balancer/names";
import { Refusal } from "../../../../operations/refusal";
import { changePods, lbHome, notReady, wayNames, ways, type LbHome } from "../../../support/load-balancer";

const home = ways["rke1, existing, selector app"];

/** The Service as it is once everybody has done his part. */
async function inPlace(clients: LbHome): Promise<void> {
  const { input } = clients;
  await clients.kubernetes.remove(services, input.service, input.namespace);
  await clients.kubernetes.create<V1Service>({
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: input.service,
      namespace: input.namespace,
      labels: { "home-cluster/address": "ingress" },
      annotations: { "metallb.io/loadBalancerIPs": input.address },
    },
    spec: {
      type: "LoadBalancer",
      selector: input.selector,
      externalTrafficPolicy: input.externalTrafficPolicy,
      healthCheckNodePort: input.healthCheckNodePort,
      ports: [
        { port: 80, targetPort: 80, nodePort: input.nodePorts.http },
        { port: 443, targetPort: 443, nodePort: input.nodePorts.https },
      ],
    },
    status: { loadBalancer: { ingress: [{ ip: input.address }] } },
  });
}

async function timesOut(clients: LbHome, why: string, change: Partial<IngressInput> = {}): Promise<Refusal> {
  const start = clients.clock.now();
  const error = await ingressAnswers.run({ ...clients.input, ...change }, clients).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  assert.equal(error.parts.why, `last seen: ${why}`);
  assert.equal(clients.clock.now() - start, 600_000);
  return error;
}

describe("ingress-answers (pretend API server: does not prove that a packet arrives)", () => {
  for (const way of wayNames) {
    it(`${way}: done at once when all is in place, and changes nothing`, async () => {
      const clients = await lbHome(ways[way]());
      await inPlace(clients);
      const before = structuredClone(clients.home.kubernetes.objects);
      const start = clients.clock.now();
      assert.deepEqual(await ingressAnswers.run(clients.input, clients), { address: clients.input.address });
      assert.equal(clients.clock.now(), start);
      assert.deepEqual(clients.home.kubernetes.objects, before);
    });
  }

  it("waits for a Service that a chart is still making", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    const start = clients.clock.now();
    void clients.clock.sleep(42_000).then(() => inPlace(clients));
    await ingressAnswers.run(clients.input, clients);
    assert.equal(clients.clock.now() - start, 45_000);
  });

  it("names everything that is missing, all at once", async () => {
    const clients = await lbHome(home());
    const { parts } = await timesOut(
      clients,
      "type is NodePort, not LoadBalancer; externalTrafficPolicy is missing, not Local; " +
        "annotation metallb.io/loadBalancerIPs is missing, not 192.168.40.5; healthCheckNodePort is missing, not 31431; " +
        "address is missing, not 192.168.40.5; it lacks the label by which the pool knows it; no endpoint is ready",
    );
    assert.equal(parts.what, "Service ingress-nginx/ingress-nginx on 192.168.40.5: not within 600 s");
    assert.equal(parts.next, "`kubectl -n ingress-nginx describe service ingress-nginx`, then `pulumi up` again");
  });

  it("points to the chart's Job where a chart makes the Service", async () => {
    const clients = await lbHome(ways["rke2, nginx"]());
    const { parts } = await timesOut(clients, "it does not exist");
    assert.match(parts.next, /kubectl -n kube-system get helmchart,jobs,pods/);
  });

  const one: readonly [string, object, string][] = [
    ["type", { spec: { type: "NodePort" } }, "type is NodePort, not LoadBalancer"],
    ["policy", { spec: { externalTrafficPolicy: "Cluster" } }, "externalTrafficPolicy is Cluster, not Local"],
    [
      "annotation",
      { metadata: { annotations: { "metallb.io/loadBalancerIPs": "192.168.40.4" } } },
      "annotation metallb.io/loadBalancerIPs is 192.168.40.4, not 192.168.40.5",
    ],
    [
      "http's node port",
      { spec: { ports: [{ port: 443, targetPort: 443, nodePort: 32182 }] } },
      "node port of 80 is missing, not 30176",
    ],
    [
      "https's node port",
      {
        spec: {
          ports: [
            { port: 80, targetPort: 80, nodePort: 30176 },
            { port: 443, targetPort: 443, nodePort: 30000 },
          ],
        },
      },
      "node port of 443 is 30000, not 32182",
    ],
    ["health check port", { spec: { healthCheckNodePort: 31999 } }, "healthCheckNodePort is 31999, not 31431"],
    [
      "address",
      { status: { loadBalancer: { ingress: [{ ip: "192.168.40.2" }] } } },
      "address is 192.168.40.2, not 192.168.40.5",
    ],
    [
      "address, beside another one",
      { status: { loadBalancer: { ingress: [{ ip: "192.168.40.5" }, { hostname: "x.example.org" }, {}] } } },
      "address is 192.168.40.5, x.example.org, , not 192.168.40.5",
    ],
    [
      "label",
      { metadata: { labels: { "home-cluster/address": null } } },
      "it lacks the label by which the pool knows it",
    ],
    ["selector", { spec: { selector: { app: "nobody" } } }, "no endpoint is ready"],
  ];
  for (const [title, patch, why] of one) {
    it(`is not done with a wrong ${title}`, async () => {
      const clients = await lbHome(home());
      await inPlace(clients);
      await clients.kubernetes.patch(services, "ingress-nginx", patch, "ingress-nginx");
      await timesOut(clients, why);
    });
  }

  it("takes any health check port when none is declared", async () => {
    const clients = await lbHome(home());
    await inPlace(clients);
    await clients.kubernetes.patch(
      services,
      "ingress-nginx",
      { spec: { healthCheckNodePort: 31999 } },
      "ingress-nginx",
    );
    await ingressAnswers.run({ ...clients.input, healthCheckNodePort: undefined }, clients);
  });

  describe("endpoints", () => {
    it("none ready: the address is there and nobody answers", async () => {
      const clients = await lbHome(home());
      await inPlace(clients);
      await changePods(clients, /./, notReady);
      await timesOut(clients, "no endpoint is ready");
    });

    it("ready only on nodes without a card: with Local nobody can announce", async () => {
      const clients = await lbHome(home());
      await inPlace(clients);
      await changePods(clients, /debian/, notReady);
      await timesOut(
        clients,
        "endpoints are ready on rancheros-1, rancheros-2, rancheros-3, and none on debian-1, debian-2 or debian-3",
      );
    });

    it("the same with Cluster: any node with a card announces", async () => {
      const clients = await lbHome(home());
      const input = { ...clients.input, externalTrafficPolicy: "Cluster" as const };
      await inPlace({ ...clients, input });
      await changePods(clients, /debian/, notReady);
      await ingressAnswers.run(input, clients);
    });

    /** The same home, in which the API server lists exactly these slices. */
    async function withSlices(...slices: readonly Partial<V1EndpointSlice>[]): Promise<LbHome> {
      const clients = await lbHome(home());
      await inPlace(clients);
      const kubernetes = Object.create(clients.kubernetes) as typeof clients.kubernetes;
      kubernetes.list = async (kind, options) =>
        kind.kind === endpointSlices.kind ? (slices as unknown as []) : clients.kubernetes.list(kind, options);
      return { ...clients, kubernetes };
    }
    const ready = { addresses: ["10.42.0.1"], nodeName: "debian-2", conditions: { ready: true } };

    it("a slice without ports is no endpoint: no pod has the port that the Service names", async () => {
      await timesOut(
        await withSlices({ ports: [], endpoints: [ready] }, { endpoints: [ready] }),
        "no endpoint is ready",
      );
    });

    it("conditions that say nothing count as ready, as in the API", async () => {
      const unsaid = { ...ready, conditions: undefined };
      const clients = await withSlices({ ports: [{ port: 80 }], endpoints: [unsaid] });
      await ingressAnswers.run(clients.input, clients);
    });

    it("an empty list that came as null, and an endpoint without a node", async () => {
      const nobody = { ...ready, nodeName: undefined };
      const clients = await withSlices(
        { ports: [{ port: 80 }], endpoints: null as unknown as [] },
        { ports: [{ port: 80 }], endpoints: [nobody] },
      );
      await timesOut(clients, "endpoints are ready on an unknown node, and none on debian-1, debian-2 or debian-3");
    });
  });
});
