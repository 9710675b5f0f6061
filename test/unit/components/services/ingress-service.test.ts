import assert from "node:assert/strict";
import { parse } from "yaml";
import { IngressService } from "../../../../components/services/ingress-service";
import { ingressAnnouncers, ingressTarget } from "../../../../components/services/ingress-target";
import { configMaps, services } from "../../../../operations/kinds";
import { recordIngressService } from "../../../../operations/load-balancer/record-ingress-service";
import type { Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import {
  changePods,
  lbHome,
  liveService,
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
/** Of the pretend home's Service. */
const uid = "00000000-0000-4000-8000-000000000008";

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
    update: "operations/run record-ingress-service",
    delete: "operations/run restore-ingress-service",
    stdin: request({ ...name, uid }),
    logging: "stderr",
    addPreviousOutputInEnv: false,
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
const force = { "pulumi.com/patchForce": "true", "home-cluster/taken-over": uid };
const takenOver = {
  after: ["ingress-own-record"],
  options: { retainOnDelete: true, importId: "ingress-nginx/ingress-nginx", ignoreChanges: ["spec.clusterIP"] },
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
      const text = JSON.stringify(resources(await update(way)).map(({ inputs }) => inputs));
      assert.doesNotMatch(text, /clusterIP|publicEndpoints/);
    }
  });

  describe("updates of its Commands", () => {
    const existing = "rke1, existing, selector app";

    /** The home after its Service was recorded, and what the record's Command answered. */
    async function recordedHome(): Promise<{ clients: LbHome; record: Summary | undefined; first: object }> {
      const clients = await lbHome(ways[existing]());
      const [, record] = resources(await update(existing));
      return { clients, record, first: await recordIngressService.run({ ...name, uid }, clients) };
    }

    for (const key of ["namespace", "service"]) {
      it(`the record: a changed ${key} is refused and touches nothing`, async () => {
        const { clients, record } = await recordedHome();
        const before = structuredClone(clients.home.kubernetes.objects);
        await assert.rejects(
          updateOf(clients, record, ({ input }) => void (input[key] = "another"), {}),
          /does not exist/,
        );
        assert.deepEqual(clients.home.kubernetes.objects, before);
      });
    }

    it("the record: another uid, or a new kubeconfig, of the same Service records nothing; the result stays", async () => {
      const { clients, record, first } = await recordedHome();
      const before = structuredClone(clients.home.kubernetes.objects);
      type Change = Parameters<typeof updateOf>[2];
      const other: Change = ({ input }) => void (input.uid = "another");
      const renewed: Change = ({ access }) => void (access.kubernetes = { kubeconfig: "another" });
      for (const change of [other, renewed]) assert.deepEqual(await updateOf(clients, record, change, {}), first);
      assert.deepEqual(clients.home.kubernetes.objects, before);
    });

    it("a Service that was made anew is another annotation and another record, both in one update", async () => {
      const { clients } = await recordedHome();
      const old = await liveService(clients);
      await clients.kubernetes.remove(services, name.service, name.namespace);
      const made = await clients.kubernetes.create({ ...old, metadata: { ...old?.metadata, uid: "anew" } });
      const [, record, taken] = resources(await up(clients));
      assert.deepEqual((record?.inputs as { stdin: object }).stdin, request({ ...name, uid: made.metadata?.uid }));
      const { metadata } = taken?.inputs as { metadata: { annotations: Record<string, string> } };
      assert.equal(metadata.annotations["home-cluster/taken-over"], made.metadata?.uid);
      await updateOf(clients, record, () => undefined, {});
      const map = await clients.kubernetes.read(configMaps, "home-cluster-ingress-service", name.namespace);
      assert.match(map?.data?.original ?? "", new RegExp(`"uid": "${made.metadata?.uid}"`));
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
