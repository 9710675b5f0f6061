import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment, PoolSpec } from "../../environment/schema";
import { ingressLabels } from "../../operations/load-balancer/names";
import { announcers } from "./ingress-target";

export interface AddressPoolsArgs {
  readonly pools: readonly PoolSpec[];
  readonly nodes: Environment["nodes"];
  /** Namespace of the ingress controller's Service, the only one that may have an address of an `ingress-only` pool. */
  readonly ingressNamespace: string;
  /** MetalLB's, as its component hands it on: known once the webhook admits pools, so that none is tried before. */
  readonly namespace: pulumi.Input<string>;
}

/** MetalLB's pools, each with its own announcement: a pool without one is given out and never announced. */
export class AddressPools extends pulumi.ComponentResource {
  constructor(name: string, args: AddressPoolsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:AddressPools", name, args, opts);
    const { namespace, nodes, ingressNamespace } = args;
    for (const pool of args.pools) {
      const declared = new kubernetes.apiextensions.CustomResource(
        `${name}-${pool.name}`,
        {
          apiVersion: "metallb.io/v1beta1",
          kind: "IPAddressPool",
          metadata: { name: pool.name, namespace },
          spec: poolSpec(pool, ingressNamespace),
        },
        { parent: this },
      );
      new kubernetes.apiextensions.CustomResource(
        `${name}-${pool.name}-announcement`,
        {
          apiVersion: "metallb.io/v1beta1",
          kind: "L2Advertisement",
          metadata: { name: pool.name, namespace },
          spec: announcementSpec(pool, announcers(nodes, pool.network)),
        },
        { parent: this, dependsOn: declared },
      );
    }
    this.registerOutputs({});
  }
}

/**
 * `autoAssign: false` keeps a pool only from Services that ask for nothing. A Service that names an address or the pool is kept out by
 * `serviceAllocation` alone, which MetalLB checks at every assignment (v0.16.1, internal/allocator, Assign): namespace and labels both have to fit.
 */
export function poolSpec(pool: PoolSpec, ingressNamespace: string): Record<string, unknown> {
  const addresses = [pool.addresses];
  if (pool.allocation === "automatic") return { addresses, autoAssign: true };
  return {
    addresses,
    autoAssign: false,
    serviceAllocation: { namespaces: [ingressNamespace], serviceSelectors: [{ matchLabels: ingressLabels }] },
  };
}

/**
 * Explicit pools: without them an announcement is for all. Explicit nodes: one without a card in the network would be elected and announce where
 * nobody asks. No `interfaces`: they play no part in the election, so the wrong name on the elected node silences the address, and names differ
 * between machines.
 */
export function announcementSpec(pool: PoolSpec, nodes: readonly string[]): Record<string, unknown> {
  return {
    ipAddressPools: [pool.name],
    nodeSelectors: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: nodes }] }],
  };
}
