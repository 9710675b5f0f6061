import assert from "node:assert/strict";
import {
  announcers,
  ingressAnnouncers,
  ingressSettings,
  ingressTarget,
  type IngressTarget,
} from "../../../../components/services/ingress-target";
import { wayNames, ways, type Way } from "../../../support/load-balancer";

const rke1 = {
  namespace: "ingress-nginx",
  service: "ingress-nginx",
  podLabels: { app: "ingress-nginx" },
};
const byRancher = { "workloadID_ingress-nginx": "true" };
const traefik = { "app.kubernetes.io/name": "rke2-traefik" };
const nginx = { "app.kubernetes.io/name": "rke2-ingress-nginx", "app.kubernetes.io/component": "controller" };
const k3s = { "app.kubernetes.io/name": "traefik" };

const targets: Readonly<Record<Way, IngressTarget>> = {
  "rke1, existing, selector app": { ...rke1, origin: "existing", selector: { app: "ingress-nginx" } },
  "rke1, existing, selector workload": { ...rke1, origin: "existing", selector: byRancher },
  "rke1, created, selector app": { ...rke1, origin: "created", selector: { app: "ingress-nginx" } },
  "rke1, created, selector workload": { ...rke1, origin: "created", selector: byRancher },
  "rke2, traefik": {
    namespace: "kube-system",
    service: "rke2-traefik",
    origin: "chart",
    selector: traefik,
    podLabels: traefik,
    chart: { name: "rke2-traefik", controller: "traefik", becomesDaemonSet: false },
  },
  "rke2, nginx": {
    namespace: "kube-system",
    service: "rke2-ingress-nginx-controller",
    origin: "chart",
    selector: nginx,
    podLabels: nginx,
    chart: { name: "rke2-ingress-nginx", controller: "nginx", becomesDaemonSet: false },
  },
  "k3s, traefik": {
    namespace: "kube-system",
    service: "traefik",
    origin: "chart",
    selector: k3s,
    podLabels: k3s,
    chart: { name: "traefik", controller: "traefik", becomesDaemonSet: true },
  },
};

describe("ingressTarget (names and labels as rke2-charts, k3s and RKE1's templates have them)", () => {
  for (const way of wayNames) {
    it(way, () => {
      const { ingress, cluster } = ways[way]();
      assert.deepEqual(ingressTarget(ingress, cluster.distribution), targets[way]);
    });
  }

  it("throws for what the environment's rules refuse before", () => {
    const { ingress } = ways["rke2, traefik"]();
    assert.throws(() => ingressTarget(ingress, "rke1"), /ingress\.service: missing/);
    assert.throws(() => ingressTarget({ ...ingress, controller: "nginx" }, "k3s"), /k3s brings no nginx/);
  });

  it("names the nodes that can announce: those with a card in the network, sorted", () => {
    const home = ways["rke1, existing, selector app"]();
    const lab = ways["rke2, traefik"]();
    assert.deepEqual(ingressAnnouncers(home), ["debian-1", "debian-2", "debian-3"]);
    assert.deepEqual(ingressAnnouncers(lab), ["lab-debian-1", "lab-debian-2"]);
    assert.deepEqual(announcers([...lab.nodes].reverse(), "lab"), ["lab-debian-1", "lab-debian-2", "lab-debian-3"]);
    assert.deepEqual(announcers(lab.nodes, "nowhere"), []);
    assert.deepEqual(announcers(lab.nodes, "edge", "lab"), ["lab-debian-1", "lab-debian-2", "lab-debian-3"]);
  });

  it("only the pool of the ingress counts for its address", () => {
    const lab = ways["rke2, traefik"]();
    lab.loadBalancer.pools.push({
      name: "other",
      network: "lab",
      addresses: "172.20.10.60-172.20.10.69",
      allocation: "automatic",
    });
    assert.deepEqual(ingressAnnouncers(lab), ["lab-debian-1", "lab-debian-2"]);
  });

  it("settings: the file's, with a health check port only where there is one", () => {
    const { ingress, cluster } = ways["rke1, existing, selector workload"]();
    const target = ingressTarget(ingress, cluster.distribution);
    const settings = {
      namespace: "ingress-nginx",
      service: "ingress-nginx",
      origin: "existing",
      selector: byRancher,
      podLabels: { app: "ingress-nginx" },
      podsFollow: false,
      address: "192.168.40.5",
      externalTrafficPolicy: "Local",
      nodePorts: { http: 30176, https: 32182 },
      healthCheckNodePort: 31431,
      announcers: ["a"],
    };
    assert.deepEqual(ingressSettings(ingress, target, ["a"]), settings);
    const { healthCheckNodePort, ...rest } = settings;
    assert.equal(healthCheckNodePort, 31431);
    assert.deepEqual(ingressSettings({ ...ingress, healthCheckNodePort: undefined }, target, ["a"]), rest);
    const { ingress: own, cluster: k3sCluster } = ways["k3s, traefik"]();
    assert.equal(ingressSettings(own, ingressTarget(own, k3sCluster.distribution), ["a"]).podsFollow, true);
  });
});
