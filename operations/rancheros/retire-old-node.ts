import type { Clients } from "../clients";
import { refuseFindings, type Finding } from "../cluster/finding";
import { leaveCluster, pastReturn } from "../cluster/leave-cluster";
import { clearFailure, isHeld, withLease, type Held } from "../cluster/lease";
import { defineOperation } from "../operation";
import { endMachine } from "./machine";
import { explained, isGone, preflight, refuseUnreachable } from "./preflight";
import { retirementInput, type RetirementInput } from "./retirement-input";

/**
 * The whole of a retirement inside one delete, with nothing but what the last `up` recorded: preflight, lock, preflight again, cordon, drain,
 * Longhorn, out of Rancher and etcd, the Node gone, identity, shutdown, delete, read back. The engine may run it after a partial failure, without
 * the gate, for an entry taken out of the file, or beside others of its kind. Every step does nothing where it is done already.
 */
export const retireOldNode = defineOperation({
  verb: "retire-old-node",
  needs: ["proxmox", "rancher", "kubernetes"],
  schema: retirementInput,
  run: (input, clients) => explained(input.node, () => retire(input, clients)),
});

async function retire(input: RetirementInput, clients: Clients): Promise<{ node: string; retired: true }> {
  const { node } = input;
  await refuseUnreachable(clients, node, ["Kubernetes", "Rancher", "Proxmox"], `\`pulumi up -s ${input.stack}\``);
  const early = await preflight(clients, input);
  if (isGone(early, node)) {
    await clearFailure(clients, node);
    clients.log(`${node}: gone already`);
    return { node, retired: true };
  }
  // While another node leaves, what is seen is half of its work; it is looked at when it is this one's turn.
  if (!(await isHeld(clients))) refuse(input, early.findings);
  await withLease(clients, node, (held) => retireUnderLock(input, clients, held), { leaving: node });
  return { node, retired: true };
}

async function retireUnderLock(input: RetirementInput, clients: Clients, held: Held): Promise<void> {
  const { node, stack } = input;
  // Another node may have left, and anything may have happened, while this one waited.
  const { snapshot, findings } = await preflight(clients, input);
  refuse(input, findings);
  held.touching();
  const commands = { goOn: `\`pulumi destroy -s ${stack}\``, goBack: `\`pulumi up -s ${stack}\`` };
  await leaveCluster(clients, held, snapshot, input, commands);
  try {
    await endMachine(clients, held, input);
  } catch (error) {
    throw pastReturn(`${node}: has left the cluster, and its machine is still there`, error, commands);
  }
}

function refuse({ node, stack }: RetirementInput, findings: readonly Finding[]): void {
  refuseFindings(
    `${node}: not retired, nothing was touched`,
    findings,
    `mend what is named, then \`pulumi destroy -s ${stack}\``,
  );
}
