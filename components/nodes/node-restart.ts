import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../environment/schema";
import { accessFor, declare, type AccessInput } from "../../operations/declare";
import { guestUser } from "../../operations/nodes/host-key";
import { restartNode } from "../../operations/nodes/restart";
import { networkOf, type NetworkSpec } from "./lookup";
import { firstCard } from "./node-provisioning";

export interface NodeRestartArgs {
  readonly node: NodeSpec;
  readonly networks: readonly NetworkSpec[];
  readonly domain: string;
  /** OpenSSH public key of the operator. */
  readonly sshPublicKey: string;
  readonly access: AccessInput;
}

/**
 * The step that restarts the node for what its machine only takes at the next start, or says that it waits. Runs when the file asks something else of the
 * machine; live systems say whether anything waits. Give it `dependsOn` with the machine and the membership. docs/decisions/pending-restart.md
 */
export class NodeRestart extends pulumi.ComponentResource {
  constructor(name: string, args: NodeRestartArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:NodeRestart", name, args, opts);
    const { node } = args;
    declare(
      `${name}-step`,
      {
        create: restartNode,
        update: restartNode,
        access: accessFor(args.access, restartNode),
        input: {
          node: node.name,
          vm: { host: node.host, vmId: node.vmId, mac: firstCard(node).mac },
          allowed: node.restart,
          wanted: wantedOf(args),
        },
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.registerOutputs({});
  }
}

/** Everything in the file that Proxmox may keep until the machine starts again: sizes, cards, and what cloud-init is told. */
function wantedOf({ node, networks, domain, sshPublicKey }: NodeRestartArgs): Record<string, unknown> {
  const cards = node.cards.map((card) => {
    const { bridge, vlan, cidr, gateway } = networkOf(networks, card.network);
    return { ...card, bridge, vlan, cidr, gateway };
  });
  const [first] = node.cards;
  return {
    cores: node.cores,
    memory: node.memory,
    cards,
    dns: first ? networkOf(networks, first.network).dns : [],
    domain,
    user: guestUser,
    sshPublicKey,
  };
}
