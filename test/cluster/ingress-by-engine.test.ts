import assert from "node:assert/strict";
import type { V1Service } from "@kubernetes/client-node";
import type { StoredObject } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { helmChartConfigs, helmCharts, recordName, takenOver } from "../../operations/load-balancer/names";
import { Engine, type Checkout } from "../engine/support";
import { inputOf } from "../support/load-balancer";
import { needs } from "../support/needs";
import { fileOf } from "./lab/combinations";
import { ControlPlane } from "./lab/control-plane";
import { definitions, install } from "./lab/crds";
import { byPath, changes, documentedRecord, foreignService, service, setPods, text } from "./lab/ingress";
import { ownedBy, owners } from "./lab/managed-fields";
import { addNodes, setPodReady } from "./lab/nodes";
import { until } from "./lab/processes";
import { Others, rewritten } from "./lab/rancher";

const { name, namespace } = service.metadata;
const stack = "home-services";
const ours = /^pulumi-kubernetes-/;

/** Without a declared health check port, which could meet a fault of Kubernetes while Rancher writes (operations/load-balancer/held-ports.ts). */
const file = fileOf({
  environment: "home",
  distribution: "rke1",
  controller: "nginx",
  service: { existing: true, selector: "app" },
  anyHealthPort: true,
});
const input = inputOf(file);
const [withCard = ""] = input.announcers;
const chart = { name: "rke2-traefik", namespace: "kube-system" };

describe("the ingress controller's Service by the real engine, while Rancher writes (Rancher and MetalLB are writers of ours; nobody answers behind it)", () => {
  let plane: ControlPlane;
  let engine: Engine;
  let checkout: Checkout;
  let others: Others;
  let original: V1Service;

  before(async function () {
    needs(this, "pulumi", "pulumi-language-nodejs", "pulumi-resource-kubernetes", "pulumi-resource-command");
    plane = await ControlPlane.start();
    await plane.namespace(namespace);
    await addNodes(plane.api, [{ name: "rancheros-1" }, ...input.announcers.map((node) => ({ name: node }))]);
    await install(plane.api, await definitions("newest"));
    others = new Others(plane);
    original = await foreignService(plane, others, file);
    others.balance(service);
    await others.keepWriting(service, 50);
    engine = new Engine();
    checkout = engine.copy();
    checkout.write("index.ts", program);
    declare("service", file);
    await checkout.init(stack);
  });

  after(async () => {
    await others?.stop();
    others?.close();
    engine?.dispose();
    await plane?.stop();
  });

  afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

  for (const [what, pods, why] of [
    ["there is no pod", {}, /no ready pod has the labels app=ingress-nginx/],
    ["its pods are not ready", { [withCard]: false }, /no ready pod has the labels app=ingress-nginx/],
    ["its pods run elsewhere", { "rancheros-1": true }, /its ready pods run on rancheros-1, and none on debian-1/],
  ] as const) {
    it(`is refused by preview and update while ${what}, and nothing is touched`, async () => {
      await setPods(plane, pods);
      for (const command of [["preview"], ["up", "--yes"], ["up", "--yes", "--skip-preview"]]) {
        const { code, text: said } = await checkout.pulumi(...command, "--stack", stack);
        assert.notEqual(code, 0, said);
        assert.match(said, why);
        assert.match(said, /run it again once/);
      }
      assert.equal(text(await live()), text(original));
      assert.equal(await record(), undefined);
    });
  }

  it("is left alone by leaving where the first update failed half-way, and stays so when that is made good", async () => {
    await setPods(plane, { [withCard]: false });
    await setPodReady(plane.api, `nginx-ingress-controller-${withCard}`, namespace, true);
    const allow = await forbidTakingOver();
    try {
      const { code, text: said } = await checkout.pulumi("up", "--yes", "--skip-preview", "--stack", stack);
      assert.notEqual(code, 0, said);
      assert.match(said, /denied request: not now/);
      assert.ok(await record());
      await checkout.must("destroy", "--yes", "--stack", stack);
      assert.equal(text(await live()), text(original));
      assert.deepEqual(owners(await live()), owners(original));
      assert.equal(await record(), undefined);

      const again = await checkout.pulumi("up", "--yes", "--skip-preview", "--stack", stack);
      assert.match(again.text, /denied request: not now/);
    } finally {
      await allow();
    }
  });

  it("is taken over, cluster IP and node ports kept", async () => {
    const before = others.writes;
    await checkout.must("up", "--yes", "--stack", stack);
    assert.ok(others.writes > before + 5, "Rancher has not written meanwhile");
    const after = await live();
    assert.deepEqual(
      changes(original, after),
      [
        "+ metadata.labels.home-cluster/address",
        "+ metadata.annotations.home-cluster/taken-over",
        ...rewritten.map((key) => `~ metadata.annotations.${key}`),
        "+ metadata.annotations.metallb.io/address-pool",
        "+ metadata.annotations.metallb.io/loadBalancerIPs",
        "+ metadata.annotations.pulumi.com/patchForce",
        "+ metadata.annotations.pulumi.com/skipAwait",
        "+ metadata.annotations.workload.cattle.io/targetWorkloadIdNoop",
        "+ spec.allocateLoadBalancerNodePorts",
        "~ spec.externalTrafficPolicy",
        "+ spec.healthCheckNodePort",
        "+ spec.selector.app",
        "- spec.selector.workloadID_ingress-nginx",
        "~ spec.sessionAffinity",
        "- spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        "~ spec.type",
        "+ status.loadBalancer.ingress.0.ip",
        "+ status.loadBalancer.ingress.0.ipMode",
      ].sort(byPath),
    );
    assert.ok(ownedBy(after, ours, "Apply").includes("spec.type"));
    const owned = ownedBy(after, ours).filter((field) => field.startsWith("metadata.annotations.field.cattle.io/"));
    assert.deepEqual(owned, []);
  });

  it("is updated and previewed again without a change, and refreshed without drift although the annotations changed", async () => {
    for (const command of [
      ["preview", "--expect-no-changes"],
      ["up", "--yes", "--expect-no-changes"],
      ["up", "--yes", "--refresh", "--expect-no-changes"],
      ["preview", "--refresh", "--expect-no-changes"],
    ]) {
      await others.more(3);
      const before = await live();
      await checkout.must(...command, "--stack", stack);
      assert.deepEqual(
        changes(before, await live()),
        rewritten.map((key) => `~ metadata.annotations.${key}`).sort(byPath),
      );
    }
  });

  for (const options of [["--skip-preview"], ["--refresh", "--skip-preview"]]) {
    it(`is taken over anew, with a record of its own, after Rancher made another one (up ${options.join(" ")})`, async () => {
      await others.remove(service);
      // Without an affinity: as the record in the documentation has it.
      original = await foreignService(plane, others, file, {}, {});
      await checkout.must("up", "--yes", ...options, "--stack", stack);
      const { uid } = original.metadata ?? {};
      assert.equal((await live()).metadata?.annotations?.[takenOver], uid);
      assert.equal((await live()).spec?.type, "LoadBalancer");
      assert.equal((await live()).spec?.clusterIP, original.spec?.clusterIP);
      assert.equal((JSON.parse((await record())?.data?.original ?? "") as { uid: string }).uid, uid);
      await checkout.must("up", "--yes", "--expect-no-changes", "--stack", stack);
    });
  }

  it("is not let go without its record, and as it was before with one written by the documentation", async () => {
    await plane.api.remove(kinds.configMaps, recordName, namespace);
    await until("the record is gone", async () => assert.equal(await record(), undefined));
    const { code, text: said } = await checkout.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack);
    assert.notEqual(code, 0, said);
    assert.match(said, /there is no record of what it was before/);
    assert.match(said, /write the ConfigMap again by hand \(docs\/decisions\/taking-over-the-service\.md\)/);
    assert.equal((await live()).spec?.type, "LoadBalancer");

    await plane.api.create(documentedRecord(original.metadata?.uid ?? ""));
    await isGivenBack();
  });

  it("is as it was before on leaving, and nothing of ours is left, whatever Rancher goes on writing", async () => {
    await others.remove(service);
    original = await foreignService(plane, others, file);
    await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
    assert.equal((await live()).spec?.type, "LoadBalancer");
    assert.deepEqual((await live()).metadata?.labels, {
      ...original.metadata?.labels,
      "home-cluster/address": "ingress",
    });
    await isGivenBack();
    assert.deepEqual(ownedBy(await live(), "kubectl-client-side-apply"), [
      "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
      "metadata.labels.team",
    ]);
  });

  describe("a packaged chart's values", () => {
    const values = fileOf({ environment: "lab", distribution: "rke2", controller: "traefik" });

    before(async () => {
      declare("chart", values);
      const annotations = { "helm.cattle.io/chart-url": "https://example.test/assets/rke2-traefik-41.2.001.tgz" };
      await plane.api.create({ ...helmCharts, metadata: { ...chart, annotations }, spec: {} });
    });

    it("are refused by preview and update where somebody else has set some, who keeps them", async () => {
      const spec = { valuesContent: "logs: {}\n" };
      const theirs = await plane.api.create({ ...helmChartConfigs, metadata: chart, ...{ spec } });
      for (const command of [["preview"], ["up", "--yes", "--skip-preview"]]) {
        const { code, text: said } = await checkout.pulumi(...command, "--stack", stack);
        assert.notEqual(code, 0, said);
        assert.match(said, /HelmChartConfig kube-system\/rke2-traefik: exists, and this program did not make it/);
      }
      await checkout.must("destroy", "--yes", "--stack", stack);
      assert.deepEqual(await config(), theirs);
      await plane.api.remove(helmChartConfigs, chart.name, chart.namespace);
      await until("theirs is gone", async () => assert.equal(await config(), undefined));
    });

    it("are set, set again without a change, and taken away on leaving", async () => {
      const before = await plane.api.read(helmCharts, chart.name, chart.namespace);
      await checkout.must("up", "--yes", "--stack", stack);
      assert.match(JSON.stringify(await config()), new RegExp(values.ingress.address));
      await checkout.must("up", "--yes", "--refresh", "--expect-no-changes", "--stack", stack);
      await checkout.must("destroy", "--yes", "--stack", stack);
      await until("they are gone", async () => assert.equal(await config(), undefined));
      assert.deepEqual(await plane.api.read(helmCharts, chart.name, chart.namespace), before);
    });
  });

  /** By `destroy`, and with all that was on it. */
  async function isGivenBack(): Promise<void> {
    const before = others.writes;
    await checkout.must("destroy", "--yes", "--skip-preview", "--stack", stack);
    assert.ok(others.writes > before + 5, "Rancher has not written meanwhile");
    await until("MetalLB has taken the address", async () =>
      assert.equal((await live()).status?.loadBalancer?.ingress, undefined),
    );
    assert.equal(text(await live()), text(original));
    assert.deepEqual(ownedBy(await live(), ours), []);
    assert.equal(await record(), undefined);
    assert.deepEqual(await checkout.real(stack), []);
  }

  function declare(part: "service" | "chart", environment: typeof file): void {
    checkout.write("lab.json", JSON.stringify({ file: environment, part, kubeconfig: plane.kubeconfig }));
  }

  async function live(): Promise<V1Service> {
    const found = await plane.api.read(kinds.services, name, namespace);
    assert.ok(found);
    return found;
  }

  function record(): Promise<{ data?: { [key: string]: string } } | undefined> {
    return plane.api.read(kinds.configMaps, recordName, namespace);
  }

  function config(): Promise<StoredObject | undefined> {
    return plane.api.read(helmChartConfigs, chart.name, chart.namespace);
  }

  /** The API server refuses what makes the Service ours, as any admission might. Returns what ends that. */
  async function forbidTakingOver(): Promise<() => Promise<void>> {
    const group = "admissionregistration.k8s.io/v1";
    const policy = {
      apiVersion: group,
      kind: "ValidatingAdmissionPolicy",
      metadata: { name: "not-now" },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["UPDATE"], resources: ["services"] }],
        },
        validations: [
          { expression: `!("${takenOver}" in object.metadata.?annotations.orValue({}))`, message: "not now" },
        ],
      },
    };
    const binding = {
      apiVersion: group,
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name: "not-now" },
      spec: { policyName: "not-now", validationActions: ["Deny"] },
    };
    await plane.api.create(policy);
    await plane.api.create(binding);
    const tried = { metadata: { annotations: { [takenOver]: "tried" } } };
    const isDenied = (): Promise<unknown> =>
      plane.api.patch(kinds.services, "kubernetes", tried, "default").then(
        () => assert.fail("it is let pass"),
        (error: unknown) => assert.match(String(error), /denied request: not now/),
      );
    await until("the policy holds", isDenied);
    return async () => {
      await plane.api.remove(binding, "not-now");
      await plane.api.remove(policy, "not-now");
      await until("the policy holds no more", () => plane.api.patch(kinds.services, "kubernetes", tried, "default"));
    };
  }
});

/** The ingress controller's part of the layer services, or its values' part of that, and nothing else of the layer. */
const program = `
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { ChartService } from "./components/services/ingress-chart-service";
import { IngressService } from "./components/services/ingress-service";
import { ingressAnnouncers, ingressTarget } from "./components/services/ingress-target";
import { access, kubernetesProvider, operationsProvider } from "./stacks/providers";

const { file, part, kubeconfig } = JSON.parse(readFileSync("lab.json", "utf8"));
const context = { environment: "home", layer: "services", file, secrets: { kubeconfig: pulumi.secret(kubeconfig) } } as any;
const providers = [kubernetesProvider(context), operationsProvider()];
const ways = access(context, ["kubernetes"]);
const { ingress, cluster } = file;
const target = ingressTarget(ingress, cluster.distribution);
if (part === "service")
  new IngressService("ingress", { ingress, target, announcers: ingressAnnouncers(file), access: ways }, { providers });
else
  new ChartService(
    "ingress-chart",
    { ingress, chart: target.chart!, chartNamespace: target.namespace, namespace: pulumi.output(target.namespace), access: ways },
    { providers },
  );
`;
