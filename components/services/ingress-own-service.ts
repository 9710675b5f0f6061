import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { declare, type AccessInput } from "../../operations/declare";
import {
  creatorLabel,
  ingressLabels,
  takenOver,
  targetWorkloads,
  targetWorkloadsNoop,
} from "../../operations/load-balancer/names";
import { recordIngressService, restoreIngressService } from "../../operations/load-balancer/record-ingress-service";
import type { IngressTarget } from "./ingress-target";
import { addressAnnotations } from "./ingress-values";

export interface OwnServiceArgs {
  readonly ingress: Environment["ingress"];
  readonly target: IngressTarget;
  /** The Service's, as the check of the pods hands it on. */
  readonly namespace: pulumi.Output<string>;
  /** Of the Service that is taken over, as the check found it; says nothing where none is. */
  readonly uid: pulumi.Output<string>;
  readonly access: AccessInput;
}

/** RKE1's controller comes without a Service: one made here, or the existing one taken over and put back on leaving. */
export class OwnService extends pulumi.ComponentResource {
  constructor(name: string, args: OwnServiceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:OwnService", name, args, opts);
    const { ingress, target, namespace, uid, access } = args;
    const { service } = target;
    const taken = target.origin === "existing";
    const { labels, annotations } = ownMetadata(ingress, target);
    const record = taken
      ? declare(
          `${name}-record`,
          {
            create: recordIngressService,
            // Records nothing a second time, but for a Service that was made anew.
            update: recordIngressService,
            delete: restoreIngressService,
            access,
            input: pulumi
              .all([namespace, uid])
              .apply(([checked, found]) => ({ namespace: checked, service, uid: found })),
          },
          // After the pools, although it does not need them: so that on leaving the Service is put back before they go.
          { parent: this, dependsOn: opts?.dependsOn },
        ).resource
      : [];
    new kubernetes.core.v1.Service(
      `${name}-service`,
      {
        metadata: {
          name: service,
          namespace,
          labels,
          // So that one that was made anew is seen to be another, although the engine knows it by its name alone.
          annotations: { ...annotations, ...(taken && { [takenOver]: uid }) },
        },
        spec: ownSpec(ingress, target),
      },
      {
        ...pulumi.mergeOptions({ parent: this, dependsOn: opts?.dependsOn }, { dependsOn: record }),
        ...(taken && {
          // Taken over in one update, cluster IP and all. May stay in the code afterwards.
          import: `${target.namespace}/${service}`,
          // What is imported has one and what is declared has none: a change to the provider for which it would replace the Service.
          ignoreChanges: ["spec.clusterIP"],
        }),
        // It was there before us, and clients go through it: leaving puts it back (the record's delete), it does not remove it.
        retainOnDelete: taken,
      },
    );
    this.registerOutputs({});
  }
}

/** What of the Service's spec is ours. Never a cluster IP: naming one would replace the Service. */
export function ownSpec(
  ingress: Environment["ingress"],
  target: IngressTarget,
): kubernetes.types.input.core.v1.ServiceSpec {
  const { externalTrafficPolicy, healthCheckNodePort, nodePorts } = ingress;
  return {
    type: "LoadBalancer",
    selector: target.selector,
    externalTrafficPolicy,
    sessionAffinity: "None",
    ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
    ports: [
      { name: "http", port: 80, targetPort: 80, protocol: "TCP", nodePort: nodePorts.http },
      { name: "https", port: 443, targetPort: 443, protocol: "TCP", nodePort: nodePorts.https },
    ],
  };
}

/** Labels and annotations that are ours. Never `field.cattle.io/publicEndpoints`, which Rancher writes all the time. */
export function ownMetadata(
  ingress: Environment["ingress"],
  target: IngressTarget,
): { readonly labels: Record<string, string>; readonly annotations: Record<string, string> } {
  const byRancher = !("app" in target.selector);
  const taken = target.origin === "existing";
  return {
    labels: { ...ingressLabels, ...(byRancher && { [creatorLabel]: "norman" }) },
    annotations: {
      ...addressAnnotations(ingress),
      // Without exactly this Rancher takes its label off the pods, and the Service has no endpoint.
      ...(byRancher && { [targetWorkloads]: '["daemonset:ingress-nginx:nginx-ingress-controller"]' }),
      // A Service that Rancher made keeps that annotation, and Rancher adds its own selector to ours as long as it is not told off.
      ...(taken && { [targetWorkloadsNoop]: byRancher ? "false" : "true" }),
      // Its fields belong to Rancher's field manager until we take them.
      ...(taken && { "pulumi.com/patchForce": "true" }),
      // The engine would wait for an address and say nothing of why there is none; `ingress-answers` waits for more and says it.
      "pulumi.com/skipAwait": "true",
    },
  };
}
