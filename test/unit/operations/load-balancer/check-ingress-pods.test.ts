import assert from "node:assert/strict";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { Environment } from "../../../../environment/schema";
import { ApiRefusal } from "../../../../operations/clients";
import { pods, services } from "../../../../operations/kinds";
import { checkIngressPods } from "../../../../operations/load-balancer/check-ingress-pods";
import type { IngressInput } from "../../../../operations/load-balancer/ingress-input";
import { recordIngressService } from "../../../../operations/load-balancer/record-ingress-service";
import { Refusal } from "../../../../operations/refusal";
import {
  changePods,
  lbHome,
  notReady,
  otherService,
  wayNames,
  ways,
  type LbHome,
} from "../../../support/load-balancer";

const home = ways["rke1, existing, selector app"];
const created = ways["rke1, created, selector app"];
const ours = { "home-cluster/address": "ingress" };

function check(
  clients: LbHome,
  change: Partial<IngressInput> = {},
): Promise<{ namespace: string; service: string; uid: string }> {
  return checkIngressPods.run({ ...clients.input, ...change }, clients);
}

async function refused(clients: LbHome, what: RegExp, change: Partial<IngressInput> = {}): Promise<Refusal> {
  const error = await check(clients, change).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  assert.match(error.parts.what, what);
  return error;
}

async function patchService({ kubernetes, input }: LbHome, patch: object): Promise<void> {
  await kubernetes.patch(services, input.service, patch, input.namespace);
}

describe("check-ingress-pods (pretend API server: does not prove that a request reaches a pod)", () => {
  for (const way of wayNames) {
    it(`${way}: passes with ready pods on nodes that have a card, and changes nothing`, async () => {
      const clients = await lbHome(ways[way]());
      const before = structuredClone(clients.home.kubernetes.objects);
      const { namespace, service, origin } = clients.input;
      const live = await clients.kubernetes.read(services, service, namespace);
      const uid = origin === "existing" ? live?.metadata?.uid : "";
      assert.deepEqual(await check(clients), { namespace, service, uid });
      assert.deepEqual(clients.home.kubernetes.objects, before);
    });

    it(`${way}: refuses while no pod is ready`, async () => {
      const clients = await lbHome(ways[way]());
      await changePods(clients, /./, notReady);
      const { parts } = await refused(clients, /no ready pod has the labels/);
      assert.match(parts.why, new RegExp(`nobody would answer on ${clients.input.address.replaceAll(".", "\\.")}`));
    });
  }

  it("names the labels that the selector asks for", async () => {
    const clients = await lbHome(home());
    await changePods(clients, /./, { metadata: { labels: { app: "another" } } });
    await refused(clients, /^Service ingress-nginx\/ingress-nginx: no ready pod has the labels app=ingress-nginx$/);
  });

  it("does not count a pod that is on its way out", async () => {
    const clients = await lbHome(home());
    await changePods(clients, /./, { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } });
    await refused(clients, /no ready pod/);
  });

  it("does not count pods of another namespace", async () => {
    const clients = await lbHome(home());
    for (const pod of await clients.kubernetes.list(pods, { namespace: "ingress-nginx" })) {
      await clients.kubernetes.remove(pods, pod.metadata?.name ?? "", "ingress-nginx");
      await clients.kubernetes.create<V1Pod>({ ...pod, metadata: { ...pod.metadata, namespace: "default" } });
    }
    await refused(clients, /no ready pod/);
  });

  describe("where the pods run", () => {
    it("refuses before the Debian nodes have one: the old nodes have no card in the network", async () => {
      const clients = await lbHome(home());
      await changePods(clients, /debian/, notReady);
      const { parts } = await refused(
        clients,
        /ready pods run on rancheros-1, rancheros-2, rancheros-3, and none on debian-1, debian-2 or debian-3/,
      );
      assert.match(parts.why, /externalTrafficPolicy Local/);
      assert.match(parts.next, /kubectl -n ingress-nginx get pods -o wide/);
    });

    it("one node with a card is enough", async () => {
      const clients = await lbHome(home());
      await changePods(clients, /debian-[12]|rancheros/, notReady);
      await check(clients);
    });

    it("does not matter with externalTrafficPolicy Cluster", async () => {
      const clients = await lbHome(home());
      await changePods(clients, /debian/, notReady);
      await check(clients, { externalTrafficPolicy: "Cluster" });
    });

    it("k3s: does not matter until the values have brought a pod to every node, and does afterwards", async () => {
      const clients = await lbHome(ways["k3s, traefik"]());
      await changePods(clients, /debian/, notReady);
      await check(clients);
      await clients.kubernetes.create<V1Service>({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "traefik", namespace: "kube-system" },
        spec: { type: "LoadBalancer" },
      });
      await check(clients);
      await patchService(clients, { metadata: { labels: ours } });
      await refused(clients, /its ready pods run on lab-k3os-1, lab-k3os-2, and none on lab-debian-1 or lab-debian-2/);
    });

    it("names a pod that has no node yet as such", async () => {
      const clients = await lbHome(home());
      await changePods(clients, /debian|rancheros-[23]/, notReady);
      await changePods(clients, /rancheros-1/, { spec: { nodeName: null } });
      await refused(clients, /run on no node, and none/);
    });
  });

  describe("Rancher's selector", () => {
    const unlabelled = { metadata: { labels: { "workloadID_ingress-nginx": null } } };

    it("on a Service that does not exist yet asks for the workload's pods, which Rancher will label", async () => {
      const clients = await lbHome(ways["rke1, created, selector workload"]());
      await changePods(clients, /./, unlabelled);
      await check(clients);
    });

    it("on a Service for which Rancher labels asks for its label", async () => {
      const clients = await lbHome(ways["rke1, existing, selector workload"]());
      await changePods(clients, /./, unlabelled);
      await refused(clients, /labels workloadID_ingress-nginx=true/);
    });

    const without: readonly [string, object][] = [
      ["without the creator label", { metadata: { labels: { "cattle.io/creator": null } } }],
      ["without the annotation", { metadata: { annotations: { "field.cattle.io/targetWorkloadIds": null } } }],
      ["told not to", { metadata: { annotations: { "workload.cattle.io/targetWorkloadIdNoop": "true" } } }],
      ["with another selector", { spec: { selector: { "workloadID_ingress-nginx": null, app: "ingress-nginx" } } }],
    ];
    for (const [title, patch] of without) {
      it(`on a Service ${title}, for which Rancher does not label, asks for the workload's pods`, async () => {
        const clients = await lbHome(ways["rke1, existing, selector workload"]());
        await changePods(clients, /./, unlabelled);
        await patchService(clients, patch);
        await check(clients);
        await changePods(clients, /./, notReady);
        await refused(clients, /labels app=ingress-nginx/);
      });
    }
  });

  describe("the Service that is there", () => {
    it("existing: refuses when it is not", async () => {
      const clients = await lbHome(home());
      await clients.kubernetes.remove(services, "ingress-nginx", "ingress-nginx");
      const { parts } = await refused(clients, /^Service ingress-nginx\/ingress-nginx: does not exist$/);
      assert.match(parts.next, /existing to false/);
    });

    it("existing: passes after it was recorded and taken over, and refuses when the record is gone", async () => {
      const clients = await lbHome(home());
      await recordIngressService.run({ namespace: "ingress-nginx", service: "ingress-nginx" }, clients);
      await patchService(clients, { metadata: { labels: ours } });
      await check(clients);
      await clients.kubernetes.remove(
        { apiVersion: "v1", kind: "ConfigMap" },
        "home-cluster-ingress-service",
        "ingress-nginx",
      );
      await refused(clients, /there is no record of what it was before/);
    });

    it("created: refuses somebody else's of that name, and passes with its own", async () => {
      const clients = await lbHome(created());
      await clients.kubernetes.create<V1Service>({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "ingress-nginx", namespace: "ingress-nginx" },
        spec: {},
      });
      const { parts } = await refused(clients, /exists, and this program did not make it/);
      assert.match(parts.next, /existing to true/);
      await patchService(clients, { metadata: { labels: ours } });
      await check(clients);
    });

    it("created: refuses one that was taken over: leaving would delete it", async () => {
      const clients = await lbHome(home());
      await recordIngressService.run({ namespace: "ingress-nginx", service: "ingress-nginx" }, clients);
      await patchService(clients, { metadata: { labels: ours } });
      const { parts } = await refused(clients, /was taken over, and the file now says that it was created/, {
        origin: "created",
      });
      assert.match(parts.next, /existing to true again/);
    });

    it("refuses another health check port than the one it has, which cannot be changed", async () => {
      const clients = await lbHome(home());
      await patchService(clients, { spec: { healthCheckNodePort: 31431 } });
      await check(clients);
      await patchService(clients, { spec: { healthCheckNodePort: 31999 } });
      const { parts } = await refused(clients, /its health check port is 31999, declared is 31431/);
      assert.match(parts.next, /healthCheckNodePort to 31999/);
      await check(clients, { healthCheckNodePort: undefined });
    });

    it("refuses a load balancer class, which MetalLB does not serve here", async () => {
      const clients = await lbHome(home());
      await patchService(clients, { spec: { loadBalancerClass: "example.org/other" } });
      await refused(clients, /has the load balancer class example\.org\/other/);
    });

    it("refuses spec.loadBalancerIP, beside which MetalLB refuses the annotation", async () => {
      const clients = await lbHome(home());
      await patchService(clients, { spec: { loadBalancerIP: "192.168.40.5" } });
      await refused(clients, /has spec\.loadBalancerIP 192\.168\.40\.5/);
    });

    it("chart: neither has to be there nor to be ours", async () => {
      const clients = await lbHome(ways["rke2, traefik"]());
      await check(clients);
      await clients.kubernetes.create<V1Service>({
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "rke2-traefik", namespace: "kube-system" },
        spec: { type: "ClusterIP" },
      });
      await check(clients);
    });
  });

  describe("other Services", () => {
    it("refuses while one has the address", async () => {
      const clients = await lbHome(home());
      await clients.kubernetes.create(
        otherService("web", { status: { loadBalancer: { ingress: [{ ip: "192.168.40.5" }] } } }),
      );
      await refused(clients, /^Service default\/web: has the address 192\.168\.40\.5$/);
    });

    const taken: readonly [string, V1Service["spec"]][] = [
      ["30176", { ports: [{ port: 1 }, { port: 2, nodePort: 30176 }] }],
      ["32182", { ports: [{ port: 1, nodePort: 32182 }] }],
      ["31431", { healthCheckNodePort: 31431 }],
    ];
    for (const [title, spec] of taken) {
      it(`refuses while one has the node port ${title}`, async () => {
        const clients = await lbHome(home());
        await clients.kubernetes.create(otherService("web", { spec }));
        await refused(clients, new RegExp(`^Service default/web: has the node port ${title}$`));
      });
    }

    it("does not mind those that have others, or none", async () => {
      const clients = await lbHome(home());
      await clients.kubernetes.create(
        otherService("web", {
          spec: { ports: [{ port: 1, nodePort: 30001 }] },
          status: { loadBalancer: { ingress: [{ ip: "192.168.40.4" }] } },
        }),
      );
      await clients.kubernetes.create({ ...otherService("bare", {}), spec: undefined, status: undefined });
      await check(clients, { healthCheckNodePort: undefined });
    });

    it("counts one of the same name in another namespace", async () => {
      const clients = await lbHome(home());
      await clients.kubernetes.create({
        ...otherService("ingress-nginx", { spec: { ports: [{ port: 1, nodePort: 30176 }] } }),
      });
      await refused(clients, /^Service default\/ingress-nginx: has the node port 30176$/);
    });

    describe("ports that the API server holds for nobody", () => {
      const held = (port: string): string =>
        `Internal error occurred: failed to allocate requested HealthCheck NodePort ${port}: provided port is already allocated`;

      /** The home, with what its API server says of a Service that is only tried. */
      async function saying(file: Environment, error: Error): Promise<[LbHome, object[]]> {
        const clients = await lbHome(file);
        const tried: object[] = [];
        const kubernetes = Object.create(clients.kubernetes) as typeof clients.kubernetes;
        kubernetes.create = (object, options) => {
          assert.deepEqual(options, { dryRun: true });
          tried.push((object as V1Service).spec ?? {});
          return Promise.reject(error);
        };
        return [{ ...clients, kubernetes }, tried];
      }

      it("are refused, with the server's words and when they are free again", async () => {
        const [clients, tried] = await saying(home(), new ApiRefusal(500, "InternalError", held("31431")));
        const { parts } = await refused(clients, /no Service has all of the ports 31431, and the API server/);
        assert.match(parts.why, /HealthCheck NodePort 31431: provided port is already allocated/);
        assert.match(parts.next, /in ten minutes/);
        // Those that the Service has already are not asked for.
        assert.deepEqual(tried, [
          {
            type: "LoadBalancer",
            externalTrafficPolicy: "Local",
            healthCheckNodePort: 31431,
            ports: [{ name: "port-0", port: 80 }],
          },
        ]);
      });

      it("are all asked for where there is no Service yet", async () => {
        const [clients, tried] = await saying(created(), new ApiRefusal(422, "Invalid", held("30176")));
        await refused(clients, /no Service has all of the ports 30176, 32182, 31431/);
        const ports = [
          { name: "port-0", port: 80, nodePort: 30176 },
          { name: "port-1", port: 81, nodePort: 32182 },
        ];
        assert.deepEqual(tried, [
          { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31431, ports },
        ]);
      });

      it("are not asked for where the Service has them all, or none is declared beside its own", async () => {
        const [clients, tried] = await saying(home(), new ApiRefusal(500, "InternalError", held("31431")));
        await check(clients, { healthCheckNodePort: undefined });
        await patchService(clients, { spec: { healthCheckNodePort: 31431 } });
        await check(clients);
        assert.deepEqual(tried, []);
      });

      it("are the only thing that counts of what the server says of such a Service", async () => {
        const [quota] = await saying(home(), new ApiRefusal(403, "Forbidden", "exceeded quota"));
        await check(quota);
        const [broken] = await saying(home(), new TypeError("a bug"));
        await assert.rejects(check(broken), /a bug/);
      });
    });

    it("refuses while K3s's own load balancer answers for the Service", async () => {
      const clients = await lbHome(ways["k3s, traefik"]());
      await clients.kubernetes.create<V1Pod>({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: "svclb-traefik-1",
          namespace: "kube-system",
          labels: { "svccontroller.k3s.cattle.io/svcname": "traefik" },
        },
      });
      const { parts } = await refused(clients, /ServiceLB answers for it \(pod kube-system\/svclb-traefik-1\)/);
      assert.match(parts.next, /disable: servicelb/);
    });
  });
});
