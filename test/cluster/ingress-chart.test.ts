import assert from "node:assert/strict";
import { parse } from "yaml";
import type { Clients, Kind, KubernetesApi, StoredObject } from "../../operations/clients";
import { checkIngressChart } from "../../operations/load-balancer/check-ingress-chart";
import { addonName, helmChartConfigs, helmCharts } from "../../operations/load-balancer/names";
import { Refusal } from "../../operations/refusal";
import type { Registration } from "../../rehearsal/record";
import { ApiClient } from "./lab/api-client";
import { fileOf, recordingOf, type Combination } from "./lab/combinations";
import { ControlPlane, minors } from "./lab/control-plane";
import { definitions, install } from "./lab/crds";
import { until } from "./lab/processes";
import { objectOf, Provider } from "./lab/provider";
import { gone, take } from "./lab/take";

const namespace = "kube-system";

/** Who brings which controller, and by which chart. The archives are named as each distribution does it. */
const packaged = [
  {
    distribution: "rke2",
    controller: "nginx",
    chart: "rke2-ingress-nginx",
    archive: "https://rke2-charts.rancher.io/assets/rke2-ingress-nginx/rke2-ingress-nginx-4.13.900.tgz",
  },
  {
    distribution: "rke2",
    controller: "traefik",
    chart: "rke2-traefik",
    archive: "https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-41.2.001.tgz",
  },
  {
    distribution: "k3s",
    controller: "traefik",
    chart: "traefik",
    archive: "https://%{KUBERNETES_API}%/static/charts/traefik-39.0.701+up39.0.7.tgz",
  },
] as const;

for (const minor of minors) {
  describe(`the packaged ingress controllers' values on the ${minor} API server (no helm-controller: nothing is installed, and what charts make of values is not shown)`, () => {
    let plane: ControlPlane;
    let raw: ApiClient;
    let clients: Clients;
    let provider: Provider;

    before(async () => {
      plane = await ControlPlane.start({ minor });
      raw = new ApiClient(plane.kubeconfigFor("provider", ["system:masters"]));
      provider = new Provider(raw, false);
      clients = clientsOf(plane.api);
      await install(plane.api, await definitions(minor));
    });

    after(async () => {
      raw?.close();
      await plane?.stop();
    });

    afterEach("nothing is left, no part has ended", async () => {
      for (const kind of [helmChartConfigs, helmCharts])
        for (const { metadata } of await plane.api.list(kind)) await removed(kind, metadata?.name ?? "");
      assert.deepEqual(plane.casualties(), []);
    });

    for (const one of packaged) {
      const { distribution, controller, chart } = one;
      const combination: Combination = { environment: "lab", distribution, controller };
      const check = (): Promise<{ typeInSpec: boolean }> =>
        checkIngressChart.run({ namespace, chart, controller }, clients);
      const mine = `kubectl -n ${namespace} get helmchartconfig ${chart} -o yaml`;

      describe(`${distribution}, ${controller}`, () => {
        it("are set and applied again without a change; leaving takes them away, and the chart is as it was", async () => {
          const before = await makeChart(one);
          assert.equal((await check()).typeInSpec, chart === "rke2-traefik");
          const registration = await valuesOf(combination);
          await take(provider, registration);
          await check();
          const { spec } = objectOf(registration) as { spec: { valuesContent: string; failurePolicy: string } };
          assert.equal(spec.failurePolicy, "abort");
          assert.match(JSON.stringify(parse(spec.valuesContent)), new RegExp(fileOf(combination).ingress.address));
          // The engine deletes what it made: no retainOnDelete, no import.
          assert.deepEqual([registration.options.retainOnDelete, registration.options.importId], [false, ""]);
          await provider.remove(registration);
          await gone(provider, registration);
          assert.equal(text(await plane.api.read(helmCharts, chart, namespace)), text(before));
        });

        it("are refused where the chart is not installed", async () => {
          await refuses(check(), `HelmChart ${namespace}/${chart}: does not exist`, "name the other controller");
        });

        it("are refused where somebody else has set some, and that one is neither changed nor taken away", async () => {
          await makeChart(one);
          const before = await foreignConfig(chart);
          await refuses(
            check(),
            `HelmChartConfig ${namespace}/${chart}: exists, and this program did not make it`,
            mine,
          );
          // What comes between the check and the update meets a create and not an apply.
          const [write] = await provider.create(await valuesOf(combination));
          assert.match(write?.refused ?? "", /already exists/);
          assert.equal(text(await plane.api.read(helmChartConfigs, chart, namespace)), text(before));
        });

        it("are refused once a file on the servers (Rancher's chartValues) has taken ours over, and ours again without it", async () => {
          await makeChart(one);
          const registration = await valuesOf(combination);
          await take(provider, registration);
          // As K3s and RKE2 apply a manifest on an object that is there (wrangler, pkg/apply: "Taking over an object …"): labels stay.
          const annotations = {
            "objectset.rio.cattle.io/id": "",
            "objectset.rio.cattle.io/owner-gvk": "k3s.cattle.io/v1, Kind=Addon",
            "objectset.rio.cattle.io/owner-namespace": namespace,
            [addonName]: "managed-chart-config",
          };
          const spec = { valuesContent: "service:\n  type: NodePort\n" };
          await plane.api.patch(helmChartConfigs, chart, { metadata: { annotations }, spec }, namespace);
          await refuses(
            check(),
            `HelmChartConfig ${namespace}/${chart}: Addon managed-chart-config writes it, too`,
            "take it out of its source, delete it, then run it again",
          );
          await removed(helmChartConfigs, chart);
          await check();
          await take(provider, registration);
        });
      });
    }

    it("are put where the chart that lives in the cluster takes the type, and refused where that cannot be told", async () => {
      const input = { namespace, chart: "rke2-traefik", controller: "traefik" } as const;
      for (const [archive, typeInSpec] of [
        ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-39.0.903.tgz", false],
        ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-40.0.000.tgz", true],
      ] as const) {
        await makeChart({ chart: "rke2-traefik", distribution: "rke2", archive });
        assert.equal((await checkIngressChart.run(input, clients)).typeInSpec, typeInSpec);
        await removed(helmCharts, "rke2-traefik");
      }
      await makeChart({
        chart: "rke2-traefik",
        distribution: "rke2",
        archive: "https://mirror.example.test/latest.tgz",
      });
      await refuses(
        checkIngressChart.run(input, clients),
        "its version cannot be told from",
        "get helmchart rke2-traefik",
      );
    });

    function clientsOf(kubernetes: KubernetesApi): Clients {
      const untouched = new Proxy({}, { get: () => assert.fail("only the cluster may be asked") }) as never;
      const clock = { now: () => Date.now(), sleep: () => assert.fail("there is nothing to wait for") };
      return {
        kubernetes,
        clock,
        log: () => undefined,
        proxmox: untouched,
        rancher: untouched,
        ssh: untouched,
        network: untouched,
      };
    }

    /** As the distribution installs it: RKE2 names the archive in an annotation, K3s in the spec. */
    async function makeChart({ chart, distribution, archive }: Packaged): Promise<StoredObject> {
      const annotations: Record<string, string> =
        distribution === "rke2" ? { "helm.cattle.io/chart-url": archive } : {};
      const spec = distribution === "rke2" ? { bootstrap: false } : { chart: archive };
      const metadata = { name: chart, namespace, annotations };
      return plane.api.create({ ...helmCharts, metadata, spec });
    }

    async function foreignConfig(chart: string): Promise<StoredObject> {
      const spec = { valuesContent: "controller:\n  config:\n    use-forwarded-headers: true\n" };
      return plane.api.create({ ...helmChartConfigs, metadata: { name: chart, namespace }, ...{ spec } });
    }

    async function removed(kind: Kind, name: string): Promise<void> {
      // Not in the foreground: for kinds that are new the controller manager takes half a minute until it does that.
      const { one } = await raw.paths({ ...kind, metadata: { name, namespace } });
      await raw.send("DELETE", one, {
        body: { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" },
      });
      await until(`${kind.kind} ${name} is gone`, async () =>
        assert.equal(await plane.api.read(kind, name, namespace), undefined),
      );
    }
  });
}

interface Packaged {
  readonly chart: string;
  readonly distribution: "rke2" | "k3s";
  readonly archive: string;
}

async function valuesOf(combination: Combination): Promise<Registration> {
  const found = (await recordingOf(combination)).services.find(({ name }) => name === "ingress-chart-values");
  assert.ok(found);
  return found;
}

function text(object: StoredObject | undefined): string {
  return JSON.stringify(object);
}

async function refuses(run: Promise<unknown>, what: string, next: string): Promise<void> {
  const error = await run.then(
    () => assert.fail("it was let pass"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Refusal)) throw error;
  assert.ok(error.parts.what.includes(what), error.parts.what);
  assert.ok(error.parts.next.includes(next), error.parts.next);
}
