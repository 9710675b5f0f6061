import { z } from "zod";
import type { Clients } from "../clients";
import { defaultSnapshotHours } from "../cluster/etcd-snapshots";
import { refuseFindings, type Finding } from "../cluster/finding";
import { leaveCluster, leaveFindings } from "../cluster/leave-cluster";
import { clearFailure, isHeld, withLease, type Held } from "../cluster/lease";
import { forgetInLonghorn } from "../cluster/longhorn-eviction";
import { awaitSilence, isLost, lostFindings, removeLost } from "../cluster/lost-machine";
import { mistakenIdentity, protectionFinding, readMachine, type Machine } from "../cluster/machine";
import { look, stageOf, type Snapshot } from "../cluster/snapshot";
import { isAnotherMachines, systemUuid } from "../cluster/system-uuid";
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
  /** How old the newest snapshot of etcd may be, in hours, where it is not the default. */
  snapshotHours: z.number().positive().optional(),
});

type LeaveInput = z.infer<typeof schema>;

/**
 * The delete of a membership: the node leaves the cluster in order, by the same steps as an old one, and what Longhorn holds on it moves first. Its
 * machine is not touched here: the engine deletes it afterwards, and keeps it when this refuses. A node that is gone is done. One whose machine is lost for good
 * is taken out without it, and one that is newer than what was recorded stays.
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
  refuseNewer(early, input);
  if (isLost(await readMachine(clients, input), input)) await awaitSilence(clients, node);
  // While another node leaves or joins, what is seen is half of its work; it is looked at when it is this one's turn.
  if (!(await isHeld(clients))) await preflight(input, clients);
  await withLease(clients, node, (held) => leaveUnderLock(input, clients, held), { leaving: node });
  return { node, left: true };
}

async function leaveUnderLock(input: LeaveInput, clients: Clients, held: Held): Promise<void> {
  const { snapshot, lost } = await preflight(input, clients);
  held.touching();
  const goOn = "the same `pulumi` command again";
  if (lost) return removeLost(clients, held, snapshot, input, { goOn });
  const goBack = `put the entry of ${input.node} back into the environment file, then \`pulumi up\``;
  return leaveCluster(clients, held, snapshot, input, { goOn, goBack });
}

/** Looks at everything and refuses what stands against the leave; `lost`: the machine that was recorded is gone for good. */
async function preflight(input: LeaveInput, clients: Clients): Promise<{ snapshot: Snapshot; lost: boolean }> {
  const { node } = input;
  const snapshot = await look(clients);
  const machine = await readMachine(clients, input);
  refuseNewer(snapshot, input);
  const lost = isLost(machine, input);
  refuseFindings(
    `${node}: stays in the cluster, nothing was touched`,
    [
      ...identityFindings(machine, input),
      ...(lost
        ? [...(await namesakeFindings(clients, input)), ...lostFindings(snapshot, input)]
        : leaveFindings(snapshot, input, {
            leaving: [node],
            longhorn: "move",
            snapshotHours: input.snapshotHours ?? defaultSnapshotHours,
          })),
    ],
    "mend what is named, then run the same `pulumi` command again",
  );
  return { snapshot, lost };
}

/** A node that joined after this was recorded is not the one that is to leave: an old record must not take it out of the cluster. */
function refuseNewer({ nodes }: Snapshot, { node, vm }: LeaveInput): void {
  const live = nodes.find((other) => other.metadata?.name === node);
  if (!isAnotherMachines(live, vm.uuid)) return;
  throw new Refusal({
    what: `${node}: the node in the cluster is newer than the one recorded, nothing was touched`,
    why: `it is that of the machine ${systemUuid(live)}, and ${vm.uuid} was recorded`,
    next:
      `forget the record, \`pulumi state delete '<URN of ${node}-membership-member>'\`, and with the node in the environment file ` +
      "run `pulumi up`: joining finds that it is a member already, and records it",
  });
}

/** A machine under the node's id that is not the node's: what leaves now and what the engine deletes afterwards would be two different ones. */
function identityFindings(machine: Machine, input: LeaveInput): Finding[] {
  const { node, vm } = input;
  if (machine.state === "hidden") return [machine.finding];
  const live = machine.state === "there" ? machine.live : undefined;
  const mistaken = live && mistakenIdentity(live, input);
  // A node that leaves because another machine took its machine's place is not followed by a deletion.
  const same = live && mistaken === undefined && (vm.uuid === undefined || live.uuid === vm.uuid.toLowerCase());
  const stays = same ? protectionFinding(live) : undefined;
  if (stays) return [{ ...stays, what: `${node}: ${stays.what}` }];
  if (mistaken === undefined) return [];
  return [
    {
      what: `${node}: machine ${vm.vmId} on ${vm.host} is another one (${mistaken})`,
      remedy: "find out whose it is; give that machine another id, or set the node's name and first MAC back on it",
    },
  ];
}

/** A machine of the node's name under another id may be the one that is missed: restored, or moved by hand. */
async function namesakeFindings({ proxmox }: Clients, { node, vm }: LeaveInput): Promise<Finding[]> {
  const others = (await proxmox.listVms()).filter((other) => other.name === node && other.vmId !== vm.vmId);
  return others.map((other) => ({
    what: `${node}: its machine is not under ${vm.vmId} any more, and ${other.vmId} on ${other.host} has its name`,
    remedy: "if that is the node's, give it its id back; otherwise rename it",
  }));
}
