import assert from "node:assert/strict";
import { checkIngressChart } from "../../../../operations/load-balancer/check-ingress-chart";
import { helmChartConfigs, helmCharts } from "../../../../operations/load-balancer/names";
import { Refusal } from "../../../../operations/refusal";
import { lbHome, ways, type LbHome } from "../../../support/load-balancer";

const traefik = { namespace: "kube-system", chart: "rke2-traefik", controller: "traefik" as const };

async function refused(run: Promise<unknown>, what: RegExp): Promise<Refusal> {
  const error = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  assert.match(error.parts.what, what);
  return error;
}

/** The chart's archive as a distribution names it. */
async function archive({ kubernetes }: LbHome, url: string): Promise<void> {
  const annotations = { "helm.cattle.io/chart-url": url };
  await kubernetes.patch(helmCharts, "rke2-traefik", { metadata: { annotations } }, "kube-system");
}

describe("check-ingress-chart (pretend API server; the forms are those of rke2's build-chart.sh and k3s's manifests)", () => {
  it("hands on where the values go", async () => {
    assert.deepEqual(await checkIngressChart.run(traefik, await lbHome(ways["rke2, traefik"]())), {
      namespace: "kube-system",
      chart: "rke2-traefik",
      typeInSpec: false,
    });
    assert.deepEqual(
      await checkIngressChart.run({ ...traefik, chart: "traefik" }, await lbHome(ways["k3s, traefik"]())),
      { namespace: "kube-system", chart: "traefik", typeInSpec: false },
    );
    assert.deepEqual(
      await checkIngressChart.run(
        { ...traefik, chart: "rke2-ingress-nginx", controller: "nginx" },
        await lbHome(ways["rke2, nginx"]()),
      ),
      { namespace: "kube-system", chart: "rke2-ingress-nginx", typeInSpec: false },
    );
  });

  const versions: readonly [string, boolean][] = [
    ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-27.0.204.tgz", false],
    ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-39.0.903.tgz", false],
    ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-40.0.000.tgz", true],
    ["https://rke2-charts.rancher.io/assets/rke2-traefik/rke2-traefik-41.2.001.tgz", true],
    ["https://10.43.0.1:443/static/charts/traefik-39.0.701+up39.0.7.tgz", false],
    ["https://%{KUBERNETES_API}%/static/charts/traefik-41.0.101%2Bup41.0.1.tgz", true],
  ];
  for (const [url, typeInSpec] of versions) {
    it(`${url.split("/").at(-1)}: the type goes into ${typeInSpec ? "service.spec" : "service"}`, async () => {
      const clients = await lbHome(ways["rke2, traefik"]());
      await archive(clients, url);
      assert.equal((await checkIngressChart.run(traefik, clients)).typeInSpec, typeInSpec);
    });
  }

  it("refuses a version that cannot be told, and does not ask for one where it does not matter", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    await archive(clients, "https://mirror.invalid/latest.tgz");
    await refused(checkIngressChart.run(traefik, clients), /its version cannot be told from ".*latest.tgz"/);
    await clients.kubernetes.patch(helmCharts, "rke2-traefik", { metadata: { annotations: null } }, "kube-system");
    await refused(checkIngressChart.run(traefik, clients), /its version cannot be told from ""/);
    assert.equal((await checkIngressChart.run({ ...traefik, controller: "nginx" }, clients)).typeInSpec, false);
  });

  it("refuses a cluster that does not run the packaged controller", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    await clients.kubernetes.remove(helmCharts, "rke2-traefik", "kube-system");
    await refused(checkIngressChart.run(traefik, clients), /HelmChart kube-system\/rke2-traefik: does not exist/);
  });

  it("refuses somebody else's HelmChartConfig, and takes its own", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    const config = { ...helmChartConfigs, metadata: { name: "rke2-traefik", namespace: "kube-system" } };
    await clients.kubernetes.create(config);
    await refused(checkIngressChart.run(traefik, clients), /HelmChartConfig kube-system\/rke2-traefik: exists/);
    const labels = { "home-cluster/address": "ingress" };
    await clients.kubernetes.patch(helmChartConfigs, "rke2-traefik", { metadata: { labels } }, "kube-system");
    assert.equal((await checkIngressChart.run(traefik, clients)).chart, "rke2-traefik");
  });

  it("refuses its own once a manifest on the servers writes it, too", async () => {
    const clients = await lbHome(ways["rke2, traefik"]());
    const annotations = { "objectset.rio.cattle.io/owner-name": "managed-chart-config" };
    const labels = { "home-cluster/address": "ingress" };
    const metadata = { name: "rke2-traefik", namespace: "kube-system", labels, annotations };
    await clients.kubernetes.create({ ...helmChartConfigs, metadata });
    const { parts } = await refused(
      checkIngressChart.run(traefik, clients),
      /^HelmChartConfig kube-system\/rke2-traefik: Addon managed-chart-config writes it, too$/,
    );
    assert.match(parts.next, /take it out of its source, delete it, then run it again/);
  });
});
