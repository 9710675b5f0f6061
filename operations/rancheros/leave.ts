import { z } from "zod";
import type { Clients } from "../clients";
import { refuseFindings, type Finding } from "../cluster/finding";
import { leaveCluster, leaveFindings } from "../cluster/leave-cluster";
import { clearFailure, isHeld, withLease, type Held } from "../cluster/lease";
import { forgetInLonghorn } from "../cluster/longhorn-eviction";
import { mistakenIdentity, readMachine, type Machine } from "../cluster/machine";
import { look, stageOf, type Snapshot } from "../cluster/snapshot";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { explained, refuseUnreachable } from "./preflight";

/** The part of what a membership recorded that leaving needs; the rest, which only joining needs, is ignored. */
const schema = z.object({
  node: z.string().min(1),
  roles: z.array(z.enum(["controlplane", "etcd", "worker"])).min(1),
  address: z.ipv4().optional(),
  /** `uuid`: which machine it was; records of older checkouts have none. */
  vm: z.object({ host: z.string(), vmId: z.int(), mac: z.string(), uuid: z.string().optional() }),
  protect: z.boolean(),
});

type LeaveInput = z.infer<typeof schema>;

/**
 * The delete of a membership: the node leaves the cluster in order, by the same steps as an old one, and what Longhorn holds on it moves first. Its
 * machine is not touched here: the engine deletes it afterwards, and keeps it when this refuses. A node that is gone is done.
 */
export const leave = defineOperation({
  verb: "leave",
  needs: ["proxmox", "rancher", "kubernetes"],
  schema,
  run: (input, clients) => explained(input.node, () => leaveInOrder(input, clients)),
});

async function leaveInOrder(input: LeaveInput, clients: Clients): Promise<{ node: string; left: true }> {
  const { node } = input;
  if (input.protect) {
    throw new Refusal({
      what: `${node}: is protected, nothing was touched`,
      why: "the last `pulumi up` recorded `protect: true` for it",
      next: `set \`protect: false\` on ${node} in the environment file, \`pulumi up\`, then take the entry out and \`pulumi up\` again`,
    });
  }
  await refuseUnreachable(clients, node, ["Kubernetes", "Rancher", "Proxmox"], "`pulumi up` of the nodes layer");
  const early = await look(clients);
  if (stageOf(early, node) === "gone") {
    await forgetInLonghorn(clients, node);
    await clearFailure(clients, node);
    clients.log(`${node}: has left already`);
    return { node, left: true };
  }
  // While another node leaves or joins, what is seen is half of its work; it is looked at when it is this one's turn.
  if (!(await isHeld(clients))) await refuse(clients, input, early);
  await withLease(clients, node, (held) => leaveUnderLock(input, clients, held), { leaving: node });
  return { node, left: true };
}

async function leaveUnderLock(input: LeaveInput, clients: Clients, held: Held): Promise<void> {
  const { node } = input;
  const snapshot = await look(clients);
  await refuse(clients, input, snapshot);
  held.touching();
  await leaveCluster(clients, held, snapshot, input, {
    goOn: "the same `pulumi` command again",
    goBack: `put the entry of ${node} back into the environment file, then \`pulumi up\``,
  });
}

async function refuse(clients: Clients, input: LeaveInput, snapshot: Snapshot): Promise<void> {
  refuseFindings(
    `${input.node}: stays in the cluster, nothing was touched`,
    [
      ...identityFindings(await readMachine(clients, input), input),
      ...leaveFindings(snapshot, input, { leaving: [input.node], longhorn: "move" }),
    ],
    "mend what is named, then run the same `pulumi` command again",
  );
}

/** A machine under the node's id that is not the node's: what leaves now and what the engine deletes afterwards would be two different ones. */
function identityFindings(machine: Machine, input: LeaveInput): Finding[] {
  const { node, vm } = input;
  if (machine.state === "hidden") return [machine.finding];
  const mistaken = machine.state === "there" ? mistakenIdentity(machine.live, input) : undefined;
  if (mistaken === undefined) return [];
  return [
    {
      what: `${node}: machine ${vm.vmId} on ${vm.host} is another one (${mistaken})`,
      remedy: "find out whose it is; give that machine another id, or set the node's name and first MAC back on it",
    },
  ];
}
