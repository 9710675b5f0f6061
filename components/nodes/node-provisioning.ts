import * as pulumi from "@pulumi/pulumi";
import type { CardSpec, Environment, NodeSpec } from "../../environment/schema";
import { accessFor, declare, type AccessInput } from "../../operations/declare";
import { provision, provisionRevision } from "../../operations/nodes/provision";
import { networkOf, type NetworkSpec } from "./lookup";

export interface NodeProvisioningArgs {
  readonly node: NodeSpec;
  readonly networks: readonly NetworkSpec[];
  readonly distribution: Environment["cluster"]["distribution"];
  /** Which machine it is (its UUID); one that takes another's place is provisioned anew. */
  readonly machine: pulumi.Input<string>;
  readonly access: AccessInput;
}

/** The guest brought to what the cluster needs, its host key verified through the hypervisor. No secret travels before that. */
export class NodeProvisioning extends pulumi.ComponentResource {
  /** `ssh-ed25519 AAAA…`: safe to pin. */
  readonly hostKey: pulumi.Output<string>;

  constructor(name: string, args: NodeProvisioningArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:NodeProvisioning", name, args, opts);
    const { node } = args;
    const vm = { host: node.host, vmId: node.vmId };
    const address = firstCard(node).address;
    const guest = declare(
      `${name}-guest`,
      {
        create: provision,
        update: provision,
        access: accessFor(args.access, provision),
        input: {
          revision: provisionRevision,
          node: node.name,
          address,
          distribution: args.distribution,
          vm,
          dataDisk: node.dataDisk,
          cards: otherCards(node, args.networks),
        },
        triggers: [args.machine],
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.hostKey = guest.result.apply(({ hostKey }) => hostKey);
    this.registerOutputs({ hostKey: this.hostKey });
  }
}

/** The card that carries the default route: its address is the node's in Kubernetes, its MAC identifies the machine. */
export function firstCard(node: NodeSpec): CardSpec {
  const [first] = node.cards;
  if (first) return first;
  throw new Error(`${node.name}: no card`);
}

/** What routing needs to know of the cards beyond the first. */
function otherCards(
  node: NodeSpec,
  networks: readonly NetworkSpec[],
): { mac: string; network: string; gateway?: string }[] {
  return node.cards.slice(1).map((card) => {
    const { cidr, gateway } = networkOf(networks, card.network);
    return { mac: card.mac, network: cidr, ...(gateway !== undefined && { gateway }) };
  });
}
