import type { Output } from "@pulumi/pulumi";
import type { Secrets } from "../environment/load";
import type { Environment } from "../environment/schema";
import type { StackName } from "../environment/stack";

/** What a layer gets: who it is, the checked file, the secrets. */
export interface Context extends StackName {
  readonly file: Environment;
  readonly secrets: Secrets;
}

/** What the nodes layer learned from the engine. */
export interface NodesOutputs {
  /** By node name: what a later layer or an operator needs to reach it. */
  readonly nodes: Record<string, { readonly vmId: number; readonly address: string; readonly hostKey: string }>;
}

/** What the services layer learned. */
export interface ServicesOutputs {
  /** Storage class for new claims, once it exists and is the default. */
  readonly storageClass: string;
  /** Where clients reach the ingress controller. */
  readonly ingressAddress: string;
  readonly longhornUrl: string;
  readonly longhornPassword: string;
}

/** What the volumes layer learned: per volume how far its ledger is. */
export interface VolumesOutputs {
  readonly volumes: Record<string, { readonly claim: string; readonly ledger: string }>;
}

/** What the rancheros layer learned. */
export interface RancherosOutputs {
  /** By name: the identity that the retirement will look for. */
  readonly nodes: Record<string, { readonly vmId: number; readonly mac: string }>;
}

/**
 * Outputs as a layer returns them: plain keys, each value still an output. One output around all of them would be unknown as a whole in a preview, which the
 * SDK then takes apart letter by letter.
 */
export type Declared<T> = { readonly [key in keyof T]: T[key] extends object ? Declared<T[key]> : Output<T[key]> };
