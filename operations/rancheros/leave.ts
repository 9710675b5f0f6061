import { z } from "zod";
import type { Clients } from "../clients";
import { refuseFindings } from "../cluster/finding";
import { leaveCluster, leaveFindings } from "../cluster/leave-cluster";
import { clearFailure, isHeld, withLease, type Held } from "../cluster/lease";
import { forgetInLonghorn } from "../cluster/longhorn-eviction";
import { look, stageOf, type Snapshot } from "../cluster/snapshot";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { explained, refuseUnreachable } from "./preflight";

/** The part of what a membership recorded that leaving needs; the rest, which only joining needs, is ignored. */
const schema = z.object({
  node: z.string().min(1),
  roles: z.array(z.enum(["controlplane", "etcd", "worker"])).min(1),
  address: z.ipv4().optional(),
  vm: z.object({ host: z.string(), vmId: z.int(), mac: z.string() }),
  protect: z.boolean(),
});

type LeaveInput = z.infer<typeof schema>;

/**
 * The delete of a membership: the node leaves the cluster in order, by the same steps as an old one, and what Longhorn holds on it moves first. Its
 * machine is not touched here: the engine deletes it afterwards, and keeps it when this refuses. A node that is gone is done.
 */
export const leave = defineOperation({
  verb: "leave",
  needs: ["rancher", "kubernetes"],
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
  await refuseUnreachable(clients, node, ["Kubernetes", "Rancher"], "`pulumi up` of the nodes layer");
  const early = await look(clients);
  if (stageOf(early, node) === "gone") {
    await forgetInLonghorn(clients, node);
    await clearFailure(clients, node);
    clients.log(`${node}: has left already`);
    return { node, left: true };
  }
  // While another node leaves or joins, what is seen is half of its work; it is looked at when it is this one's turn.
  if (!(await isHeld(clients))) refuse(input, early);
  await withLease(clients, node, (held) => leaveUnderLock(input, clients, held), { leaving: node });
  return { node, left: true };
}

async function leaveUnderLock(input: LeaveInput, clients: Clients, held: Held): Promise<void> {
  const { node } = input;
  const snapshot = await look(clients);
  refuse(input, snapshot);
  held.touching();
  await leaveCluster(clients, held, snapshot, input, {
    goOn: "the same `pulumi` command again",
    goBack: `put the entry of ${node} back into the environment file, then \`pulumi up\``,
  });
}

function refuse(input: LeaveInput, snapshot: Snapshot): void {
  refuseFindings(
    `${input.node}: stays in the cluster, nothing was touched`,
    leaveFindings(snapshot, input, { leaving: [input.node], longhorn: "move" }),
    "mend what is named, then run the same `pulumi` command again",
  );
}
