import assert from "node:assert/strict";
import { parse } from "yaml";
import { IngressService } from "../../../../components/services/ingress-service";
import { ingressAnnouncers, ingressTarget } from "../../../../components/services/ingress-target";
import type { Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import {
  changePods,
  lbHome,
  notReady,
  recordOn,
  updateOf,
  wayNames,
  ways,
  type LbHome,
  type ProgramOptions,
  type Way,
} from "../../../support/load-balancer";
import { inClear, kubeconfig, kubernetesAccess, names, resources, type Summary } from "../../../support/services";

function up(clients: LbHome, options: ProgramOptions = {}): Promise<Recording> {
  const { ingress, cluster } = clients.file;
  const args = {
    ingress,
    target: ingressTarget(ingress, cluster.distribution),
    announcers: ingressAnnouncers(clients.file),
    access: kubernetesAccess,
  };
  return recordOn(clients, (opts) => ({ address: new IngressService("ingress", args, opts).address }), options);
}

/** The update of each way, recorded once. */
const updates = new Map<Way, Promise<Recording>>();
function update(way: Way): Promise<Recording> {
  const recording = updates.get(way) ?? lbHome(ways[way]()).then((clients) => up(clients));
  updates.set(way, recording);
  return recording;
}

const request = (input: object) => ({ secret: { version: 1, access: { kubernetes: { kubeconfig } }, input } });
const name = { namespace: "ingress-nginx", service: "ingress-nginx" };

function answers(clients: LbHome, after: readonly string[]): Summary {
  return {
    name: "ingress-answers",
    type: "command:local:Command",
    parent: "ingress",
    provider: "operations",
    inputs: {
      create: "operations/run ingress-answers",
      update: "operations/run ingress-answers",
      stdin: request(clients.input),
      logging: "stderr",
      addPreviousOutputInEnv: false,
    },
    after,
    options: { deleteBeforeReplace: true },
  };
}

const recorded: Summary = {
  name: "ingress-own-record",
  type: "command:local:Command",
  parent: "ingress-own",
  provider: "operations",
  inputs: {
    create: "operations/run record-ingress-service",
    update: "operations/run keep",
    delete: "operations/run restore-ingress-service",
    stdin: request(name),
    logging: "stderr",
    addPreviousOutputInEnv: true,
  },
  options: { deleteBeforeReplace: true },
};

/** The Service of an rke1 cluster, with what each way adds. */
function service(
  selector: object,
  more: { labels?: object; annotations?: object; after?: readonly string[]; options?: object },
): Summary {
  return {
    name: "ingress-own-service",
    type: "kubernetes:core/v1:Service",
    parent: "ingress-own",
    provider: "cluster",
    inputs: {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "ingress-nginx",
        namespace: "ingress-nginx",
        labels: { "home-cluster/address": "ingress", ...more.labels },
        annotations: {
          "metallb.io/loadBalancerIPs": "192.168.40.5",
          "metallb.io/address-pool": "default",
          "pulumi.com/skipAwait": "true",
          ...more.annotations,
        },
      },
      spec: {
        type: "LoadBalancer",
        selector,
        externalTrafficPolicy: "Local",
        sessionAffinity: "None",
        healthCheckNodePort: 31431,
        ports: [
          { name: "http", port: 80, targetPort: 80, protocol: "TCP", nodePort: 30176 },
          { name: "https", port: 443, targetPort: 443, protocol: "TCP", nodePort: 32182 },
        ],
      },
    },
    ...(more.after && { after: more.after }),
    ...(more.options && { options: more.options }),
  };
}

const app = { app: "ingress-nginx" };
const byRancher = { "workloadID_ingress-nginx": "true" };
const norman = { "cattle.io/creator": "norman" };
const workload = { "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]' };
const noop = "workload.cattle.io/targetWorkloadIdNoop";
const force = { "pulumi.com/patchForce": "true" };
const takenOver = {
  after: ["ingress-own-record"],
  options: { retainOnDelete: true, importId: "ingress-nginx/ingress-nginx" },
};

function chartConfig(chart: string): Summary {
  return {
    name: "ingress-chart-values",
    type: "kubernetes:helm.cattle.io/v1:HelmChartConfig",
    parent: "ingress-chart",
    provider: "cluster",
    inputs: {
      apiVersion: "helm.cattle.io/v1",
      kind: "HelmChartConfig",
      metadata: { name: chart, namespace: "kube-system", labels: { "home-cluster/address": "ingress" } },
      // The text itself is ingress-values.test.ts's business.
      spec: { valuesContent: "…", failurePolicy: "abort" },
    },
  };
}

/** All custom resources of each way but `ingress-answers`. */
const registered: Readonly<Record<Way, readonly Summary[]>> = {
  "rke1, existing, selector app": [recorded, service(app, { annotations: { ...force, [noop]: "true" }, ...takenOver })],
  "rke1, existing, selector workload": [
    recorded,
    service(byRancher, { labels: norman, annotations: { ...force, ...workload, [noop]: "false" }, ...takenOver }),
  ],
  "rke1, created, selector app": [service(app, {})],
  "rke1, created, selector workload": [service(byRancher, { labels: norman, annotations: workload })],
  "rke2, traefik": [chartConfig("rke2-traefik")],
  "rke2, nginx": [chartConfig("rke2-ingress-nginx")],
  "k3s, traefik": [chartConfig("traefik")],
};

/** With the values' text taken out, after a look whether it is one. */
function withoutText(summary: Summary): Summary {
  const inputs = structuredClone(summary.inputs) as { spec?: { valuesContent?: string } };
  if (inputs.spec?.valuesContent === undefined) return summary;
  assert.equal(typeof parse(inputs.spec.valuesContent), "object");
  inputs.spec.valuesContent = "…";
  return { ...summary, inputs };
}

describe("IngressService (mock runtime: does not prove that a Service is reached)", () => {
  for (const way of wayNames) {
    const component = way.startsWith("rke1") ? "ingress-own" : "ingress-chart";

    for (const preview of [false, true]) {
      const when = preview ? "preview" : "update";
      it(`${way}: registers exactly this (${when})`, async () => {
        const clients = await lbHome(ways[way]());
        const recording = preview ? await up(clients, { preview }) : await update(way);
        assert.equal(recording.error, undefined);
        const own = registered[way];
        const behind = own.map((summary) => summary.name);
        assert.deepEqual(resources(recording).map(withoutText), [answers(clients, behind), ...own]);
        assert.deepEqual(names(recording), ["ingress", "ingress-answers", component, ...behind].sort());
        if (!preview) assert.deepEqual(recording.outputs, { address: clients.input.address });
      });

      it(`${way}: registers nothing while no pod is ready (${when})`, async () => {
        const clients = await lbHome(ways[way]());
        await changePods(clients, /./, notReady);
        const recording = await up(clients, { preview });
        assert.deepEqual(resources(recording), []);
        assert.match(recording.error?.message ?? "", /no ready pod has the labels/);
      });
    }

    it(`${way}: when the last of them fails, the answer is not waited for`, async () => {
      const clients = await lbHome(ways[way]());
      const own = registered[way].map((summary) => summary.name);
      const recording = await up(clients, { fail: own.at(-1) ?? "" });
      assert.deepEqual(names(recording), ["ingress", component, ...own].sort());
    });

    it(`${way}: shows no secret`, async () => {
      assert.ok(!inClear(await update(way)).includes(kubeconfig));
    });
  }

  it("without a record the Service is not taken over", async () => {
    const recording = await up(await lbHome(ways["rke1, existing, selector app"]()), { fail: "ingress-own-record" });
    assert.deepEqual(names(recording), ["ingress", "ingress-own", "ingress-own-record"]);
  });

  it("without a chart that could take them no values are set", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    await clients.kubernetes.remove(
      { apiVersion: "helm.cattle.io/v1", kind: "HelmChart" },
      "rke2-traefik",
      "kube-system",
    );
    for (const preview of [false, true]) {
      const recording = await up(clients, { preview });
      assert.deepEqual(names(recording), ["ingress", "ingress-chart"]);
      assert.match(recording.error?.message ?? "", /HelmChart kube-system\/rke2-traefik: does not exist/);
    }
  });

  it("puts Traefik's type where the chart that lives in the cluster takes it", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    const annotations = { "helm.cattle.io/chart-url": "https://x/rke2-traefik-41.2.001.tgz" };
    await clients.kubernetes.patch(
      { apiVersion: "helm.cattle.io/v1", kind: "HelmChart" },
      "rke2-traefik",
      { metadata: { annotations } },
      "kube-system",
    );
    const config = resources(await up(clients)).find(({ name: found }) => found === "ingress-chart-values");
    const { spec } = config?.inputs as { spec: { valuesContent: string } };
    const values = parse(spec.valuesContent) as { service: { type?: string; spec: { type?: string } } };
    assert.deepEqual([values.service.type, values.service.spec.type], [undefined, "LoadBalancer"]);
  });

  it("asks with the settings and the way into the cluster, once for the pods and once for the chart", async () => {
    const asked: [string, unknown][] = [];
    const clients = await lbHome(ways["rke2, traefik"]());
    await up(clients, { asked: (verb, text) => asked.push([verb, JSON.parse(text)]) });
    assert.deepEqual(asked, [
      ["check-ingress-pods", request(clients.input).secret],
      [
        "check-ingress-chart",
        request({ namespace: "kube-system", chart: "rke2-traefik", controller: "traefik" }).secret,
      ],
    ]);
  });

  it("declares no health check port where the file has none", async () => {
    const file = environment("home", ({ ingress }) =>
      Object.assign(ingress, { externalTrafficPolicy: "Cluster", healthCheckNodePort: undefined }),
    );
    const found = resources(await up(await lbHome(file))).find(({ name: one }) => one === "ingress-own-service");
    const { spec } = found?.inputs as { spec: Record<string, unknown> };
    assert.equal(spec.externalTrafficPolicy, "Cluster");
    assert.ok(!("healthCheckNodePort" in spec));
  });

  it("never writes a cluster IP or Rancher's public endpoints", async () => {
    for (const way of wayNames) {
      const text = JSON.stringify(resources(await update(way)));
      assert.doesNotMatch(text, /clusterIP|publicEndpoints/);
    }
  });

  describe("updates of its Commands", () => {
    const changes: readonly [string, unknown][] = [
      ["namespace", "another"],
      ["service", "another"],
    ];
    for (const [key, value] of changes) {
      it(`the record: a changed ${key} records nothing and touches nothing; the result stays`, async () => {
        const clients = await lbHome(ways["rke1, existing, selector app"]());
        const [, record] = resources(await update("rke1, existing, selector app"));
        const before = structuredClone(clients.home.kubernetes.objects);
        const previous = { service: "ingress-nginx", original: { type: "NodePort" } };
        const result = await updateOf(clients, record, ({ input }) => void (input[key] = value), previous);
        assert.deepEqual(result, previous);
        assert.deepEqual(clients.home.kubernetes.objects, before);
      });
    }

    it("the record: a new kubeconfig records nothing and touches nothing", async () => {
      const clients = await lbHome(ways["rke1, existing, selector app"]());
      const [, record] = resources(await update("rke1, existing, selector app"));
      const before = structuredClone(clients.home.kubernetes.objects);
      const change = ({ access }: { access: { kubernetes?: { kubeconfig: string } } }) =>
        void (access.kubernetes = { kubeconfig: "another" });
      assert.deepEqual(await updateOf(clients, record, change, { original: {} }), { original: {} });
      assert.deepEqual(clients.home.kubernetes.objects, before);
    });

    const settings: readonly [string, unknown, RegExp][] = [
      ["namespace", "another", /another\/ingress-nginx on .*[^]*it does not exist/],
      ["service", "another", /ingress-nginx\/another on .*[^]*it does not exist/],
      ["address", "192.168.40.4", /address is missing, not 192\.168\.40\.4/],
      ["externalTrafficPolicy", "Cluster", /externalTrafficPolicy is missing, not Cluster/],
      ["nodePorts", { http: 30001, https: 32182 }, /node port of 80 is 30176, not 30001/],
      ["healthCheckNodePort", 31999, /healthCheckNodePort is missing, not 31999/],
      ["announcers", ["debian-9"], /type is NodePort/],
      ["origin", "chart", /get helmchart,jobs,pods/],
      ["selector", { app: "x" }, /type is NodePort/],
      ["podLabels", { app: "x" }, /type is NodePort/],
      ["podsFollow", true, /type is NodePort/],
    ];
    for (const [key, value, waiting] of settings) {
      it(`the answer: a changed ${key} is waited for, and changes nothing itself`, async () => {
        const clients = await lbHome(ways["rke1, existing, selector app"]());
        const [waits] = resources(await update("rke1, existing, selector app"));
        const before = structuredClone(clients.home.kubernetes.objects);
        await assert.rejects(
          updateOf(clients, waits, ({ input }) => void (input[key] = value), {}),
          waiting,
        );
        assert.deepEqual(clients.home.kubernetes.objects, before);
      });
    }
  });
});
