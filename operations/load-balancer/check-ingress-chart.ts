import { z } from "zod";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { addonName, helmChartConfigs, helmCharts, isOurs, type HelmChart } from "./names";

const schema = z.strictObject({ namespace: z.string(), chart: z.string(), controller: z.enum(["nginx", "traefik"]) });
type Input = z.infer<typeof schema>;

/** Traefik's chart moved the Service's type from `service.type` to `service.spec.type` here (traefik-helm-chart v40.0.0, templates/_service.tpl). */
const typeInSpecSince = 40;

/**
 * Looks at the distribution's packaged chart before its values are set, at every preview and update: an upgrade of the cluster changes the chart.
 * Returns where the values go.
 */
export const checkIngressChart = defineOperation({
  verb: "check-ingress-chart",
  needs: ["kubernetes"],
  schema,
  async run(input, { kubernetes }) {
    const { namespace, chart } = input;
    const live = await kubernetes.read(helmCharts, chart, namespace);
    if (!live) {
      throw new Refusal({
        what: `HelmChart ${namespace}/${chart}: does not exist`,
        why: `the cluster does not run its packaged ${input.controller}, which the environment file names (ingress.controller)`,
        next: "enable it in the cluster's configuration (rke2: `ingress-controller`, k3s: not `disable: traefik`), or name the other controller",
      });
    }
    const config = await kubernetes.read(helmChartConfigs, chart, namespace);
    const writer = config?.metadata?.annotations?.[addonName];
    if (config && (!isOurs(config) || writer !== undefined)) {
      throw new Refusal({
        what:
          `HelmChartConfig ${namespace}/${chart}: ` +
          (writer === undefined ? "exists, and this program did not make it" : `Addon ${writer} writes it, too`),
        why:
          "a chart has only one, and whoever wrote it (Rancher's chartValues, a file in server/manifests, a person) would write it again over ours, " +
          "or ours would lose what it sets",
        next:
          `\`kubectl -n ${namespace} get helmchartconfig ${chart} -o yaml\`: move what it sets to where the ingress controller takes it otherwise ` +
          "(its ConfigMap, annotations), take it out of its source, delete it, then run it again",
      });
    }
    return { namespace, chart, typeInSpec: input.controller === "traefik" && major(input, live) >= typeInSpecSince };
  },
});

/** RKE2 names the chart's archive in an annotation, K3s in the spec: `…/rke2-traefik-41.2.001.tgz`, `…/traefik-37.1.1+up37.1.0.tgz`. */
function major({ namespace, chart }: Input, { metadata, spec }: HelmChart): number {
  const archive = metadata?.annotations?.["helm.cattle.io/chart-url"] ?? spec?.chart ?? "";
  const found = /-v?(\d+)\.\d+\.\d+[^/]*\.tgz$/.exec(archive)?.[1];
  if (found !== undefined) return Number(found);
  throw new Refusal({
    what: `HelmChart ${namespace}/${chart}: its version cannot be told from "${archive}"`,
    why: `Traefik's chart takes the Service's type elsewhere since ${typeInSpecSince}.0.0, and in the wrong place it is ignored without a word`,
    next: `\`kubectl -n ${namespace} get helmchart ${chart} -o yaml\`, and teach operations/load-balancer/check-ingress-chart.ts the form`,
  });
}
