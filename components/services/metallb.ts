import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { declare, type AccessInput } from "../../operations/declare";
import { debianLabels } from "../../operations/kinds";
import { webhookReady } from "../../operations/load-balancer/webhook-ready";
import { podSecurity } from "../../operations/pod-security";
import { versions } from "../../versions";

/** Where MetalLB lives, and the only namespace whose pools it reads. */
const metallbNamespace = "metallb-system";

export interface MetalLbArgs {
  readonly chart: Environment["loadBalancer"]["chart"];
  /** Names of the nodes that announce addresses: those with a card in the network of a pool. */
  readonly announcers: readonly string[];
  /** To the Kubernetes API. */
  readonly access: AccessInput;
}

/** Seconds that Helm waits for controller and speakers. Image pulls on a home's line; Pulumi's default of 300 cut them off. */
const helmTimeout = 600;
/** What the engine waits, a little longer, so that Helm's own message is the one that is seen. */
const engineTimeout = "15m";

/** MetalLB in layer 2 mode, done once its webhook admits pools. */
export class MetalLb extends pulumi.ComponentResource {
  /** Known once pools may be made in it. */
  readonly namespace: pulumi.Output<string>;

  constructor(name: string, args: MetalLbArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:MetalLb", name, args, opts);
    const { version, chart, repository } = versions.charts.metallb;
    const { path, repository: mirror } = args.chart;
    // Speakers use the host's network, which the stricter levels refuse in events that nobody reads.
    const labels = podSecurity("privileged");
    const namespace = new kubernetes.core.v1.Namespace(
      `${name}-namespace`,
      { metadata: { name: metallbNamespace, labels } },
      { parent: this },
    );
    const release = new kubernetes.helm.v3.Release(
      `${name}-release`,
      {
        // Explicit: an automatic name gets a random suffix, and the chart names everything after it.
        name: "metallb",
        namespace: namespace.metadata.name,
        chart: path ?? chart,
        // A path's version is what stands in its Chart.yaml.
        ...(!path && { version, repositoryOpts: { repo: mirror ?? repository } }),
        // The Namespace is a resource of its own, with labels that one made by Helm would lack.
        createNamespace: false,
        timeout: helmTimeout,
        values: metallbValues(args.announcers),
      },
      { parent: this, customTimeouts: { create: engineTimeout, update: engineTimeout, delete: engineTimeout } },
    );
    const ready = declare(
      `${name}-webhook-ready`,
      {
        create: webhookReady,
        update: webhookReady,
        access: args.access,
        // From the release, so that it waits for it, and again for every upgrade.
        input: release.status.revision.apply((revision) => ({ namespace: metallbNamespace, revision })),
      },
      { parent: this },
    );
    this.namespace = ready.result.namespace;
    this.registerOutputs({ namespace: this.namespace });
  }
}

/** What is set of the chart's values. Helm ignores keys that it does not know: given-charts.ts looks them up in the values.yaml of a chart at hand. */
export function metallbValues(announcers: readonly string[]): Record<string, unknown> {
  return {
    // Layer 2 alone. Both would run a routing daemon for BGP on every node; the first is on by default since 0.16.
    frrk8s: { enabled: false },
    // Not on the nodes that are about to leave: without it no pool can be changed.
    controller: { nodeSelector: debianLabels },
    speaker: {
      frr: { enabled: false },
      affinity: onlyOn([...announcers].sort()),
      tolerations: roleTaints,
      // Here every node may be a control plane, and some tools label those as excluded from load balancers. Which nodes announce is said in one
      // place, the file's cards.
      ignoreExcludeLB: true,
    },
    // Said although it is the chart's default: with Ignore a wrong pool would be taken without a word.
    crds: { validationFailurePolicy: "Fail" },
  };
}

/** Speakers only where an address can be announced. Old nodes have no card in the pools' networks, and would only take part in the elections. */
function onlyOn(nodes: readonly string[]): object {
  const terms = [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: nodes }] }];
  return { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } };
}

/** The taints of nodes that have a card but are no workers. Rancher's distributions spell the role both ways; the chart knows one of them. */
const roleTaints = [
  { key: "node-role.kubernetes.io/controlplane", operator: "Exists", effect: "NoSchedule" },
  { key: "node-role.kubernetes.io/etcd", operator: "Exists", effect: "NoExecute" },
];
