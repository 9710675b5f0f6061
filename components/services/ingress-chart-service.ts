import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { ask, type AccessInput } from "../../operations/declare";
import { checkIngressChart } from "../../operations/load-balancer/check-ingress-chart";
import { ingressLabels } from "../../operations/load-balancer/names";
import type { PackagedChart } from "./ingress-target";
import { ingressValues } from "./ingress-values";

export interface ChartServiceArgs {
  readonly ingress: Environment["ingress"];
  readonly chart: PackagedChart;
  /** Where packaged charts live. */
  readonly chartNamespace: string;
  /** The same, as the check of the pods hands it on. */
  readonly namespace: pulumi.Output<string>;
  readonly access: AccessInput;
}

/** The ingress controller's Service by the values of the chart that RKE2 and K3s bring. Without them the chart goes back to its own defaults. */
export class ChartService extends pulumi.ComponentResource {
  constructor(name: string, args: ChartServiceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:ChartService", name, args, opts);
    const { ingress, chart, chartNamespace, namespace, access } = args;
    // The plain namespace: an invoke that waits for a refused one shows the refusal a second time, as the SDK's own error.
    const input = { namespace: chartNamespace, chart: chart.name, controller: chart.controller };
    const checked = ask(checkIngressChart, access, input, { parent: this });
    new kubernetes.apiextensions.CustomResource(
      `${name}-values`,
      {
        apiVersion: "helm.cattle.io/v1",
        kind: "HelmChartConfig",
        // The label tells ours from one that somebody else wrote; see check-ingress-chart.
        metadata: { name: chart.name, namespace, labels: ingressLabels },
        spec: {
          valuesContent: checked.apply(({ typeInSpec }) => ingressValues(ingress, chart, typeInSpec)),
          // The API's default, `reinstall`, uninstalls the ingress controller when an upgrade fails. Every version knows `abort`: what runs stays.
          failurePolicy: "abort",
        },
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({});
  }
}
