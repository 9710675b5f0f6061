import type { Clients, VmIdentity } from "../clients";
import type { Held } from "../cluster/lease";
import type { Finding } from "../cluster/finding";
import { mistakenIdentity, readMachine, type Machine, type Recorded } from "../cluster/machine";
import { nodes } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import type { RetirementInput } from "./retirement-input";

/** Seconds for a guest to react to ACPI. RancherOS has no guest agent and may not react at all; everything on it has been drained by then. */
const shutdownSeconds = 300;

/** What stands against taking the machine away. `member`: its node is still in the cluster, and Rancher needs the machine running to remove it. */
export function machineFindings(
  machine: Machine,
  recorded: Recorded & Partial<Pick<RetirementInput, "machines">>,
  member: boolean,
): Finding[] {
  const { node, vm } = recorded;
  if (machine.state === "hidden") return [machine.finding];
  if (machine.state === "gone") {
    if (!member) return [];
    return [
      {
        what: `${node}: its machine ${vm.vmId} is gone, but the node is in the cluster; Rancher cannot clean a node without its machine`,
        remedy: `remove the node in Rancher and \`kubectl delete node ${node}\``,
      },
    ];
  }
  const { live } = machine;
  const findings: Finding[] = [];
  const mistaken = mistakenIdentity(live, recorded);
  if (mistaken !== undefined) {
    findings.push({
      what: `${node}: machine ${vm.vmId} on ${vm.host} is another one (${mistaken})`,
      remedy:
        "correct the entry in the environment file and run `pulumi up`, which records it; if the node's own machine is gone, `pulumi state delete` its entry",
    });
  }
  if (live.protection && recorded.machines !== "keep") {
    findings.push({
      what: `${node}: machine ${vm.vmId} is protected in Proxmox`,
      remedy: `take the protection off (Options → Protection, or \`qm set ${vm.vmId} --protection 0\` on ${vm.host})`,
    });
  }
  if (member && live.status !== "running") {
    findings.push({
      what: `${node}: its machine ${vm.vmId} is off, and Rancher can only remove a node that runs`,
      remedy: `start it (\`qm start ${vm.vmId}\` on ${vm.host}) and wait until the node is Ready`,
    });
  }
  return findings;
}

/** What of a retirement's input tells the machine. */
export type OldMachineRecord = Recorded & Pick<RetirementInput, "address">;

/** Shuts the machine down, then deletes it or keeps it off with its disks, as recorded. */
export async function endMachine(clients: Clients, held: Held, recorded: RetirementInput): Promise<void> {
  if (recorded.machines === "delete") return destroyMachine(clients, held, recorded);
  if (!(await switchedOff(clients, held, recorded))) return;
  const { node, vm } = recorded;
  // Last: what went before has proven it once more, and that it is off.
  await clients.proxmox.keepOff(vm.host, vm.vmId);
  clients.log(`${node}: machine ${vm.vmId} is off, and stays so with its disks until it is purged`);
}

/**
 * Shuts the machine down, deletes it with its disks and reads it back as gone. Who it is is read from Proxmox again right before each of the two,
 * because an id that somebody reused in the meantime would take their machine with it. Does nothing where it is gone already.
 */
export async function destroyMachine(clients: Clients, held: Held, recorded: OldMachineRecord): Promise<void> {
  const { proxmox, log } = clients;
  const { node, vm } = recorded;
  if (!(await switchedOff(clients, held, recorded))) return;
  log(`${node}: deleting machine ${vm.vmId}`);
  await proxmox.deleteVm(vm.host, vm.vmId);
  await waitFor(
    clients.clock,
    { what: `${node}: machine ${vm.vmId} gone`, timeoutSeconds: 300, next: `look at it in Proxmox on ${vm.host}` },
    async () => {
      if (!(await proxmox.vmIdFree(vm.vmId))) throw new NotYet("Proxmox still has something with this id");
      return true;
    },
  );
  log(`${node}: machine ${vm.vmId} is gone`);
}

/** The machine once it is off, proven right before each step; undefined when it is gone. */
async function switchedOff(clients: Clients, held: Held, recorded: OldMachineRecord): Promise<VmIdentity | undefined> {
  const { proxmox, log } = clients;
  const { node, vm } = recorded;
  let live = await provenMachine(clients, held, recorded);
  if (live && live.status !== "stopped") {
    log(`${node}: shutting machine ${vm.vmId} down`);
    if (!(await proxmox.shutdownVm(vm.host, vm.vmId, shutdownSeconds))) {
      log(`${node}: it does not react, so it is stopped`);
      // Five minutes have passed since it was proven.
      live = await provenMachine(clients, held, recorded);
      if (live) await proxmox.stopVm(vm.host, vm.vmId);
    }
    live = await provenMachine(clients, held, recorded);
  }
  if (!live) return undefined;
  if (live.status !== "stopped") {
    throw new Refusal({
      what: `${node}: machine ${vm.vmId} does not go off`,
      why: "it runs after a shutdown and a stop; somebody or a high-availability rule starts it again",
      next: `take it out of high availability and stop it: \`qm stop ${vm.vmId}\` on ${vm.host}`,
    });
  }
  return live;
}

/** The machine, proven to be the one recorded and nobody's node any more, while the lock is ours; undefined when it is gone. */
async function provenMachine(
  clients: Clients,
  held: Held,
  recorded: OldMachineRecord,
): Promise<VmIdentity | undefined> {
  await held.check();
  const { node, vm, address } = recorded;
  const users = (await clients.kubernetes.list(nodes)).filter(
    (other) => other.metadata?.name === node || other.status?.addresses?.some((entry) => entry.address === address),
  );
  const machine = await readMachine(clients, recorded);
  const mistaken = machine.state === "there" ? mistakenIdentity(machine.live, recorded) : undefined;
  const why =
    users.length > 0
      ? `the cluster's node ${users[0]?.metadata?.name} has its name or its address ${address}`
      : mistaken !== undefined
        ? `it is not the machine recorded: ${mistaken}`
        : machine.state === "hidden"
          ? machine.finding.what
          : undefined;
  if (why === undefined) return machine.state === "there" ? machine.live : undefined;
  throw new Refusal({
    what: `${node}: machine ${vm.vmId} on ${vm.host} is left as it is`,
    why,
    next: "find out whose it is before anything else",
  });
}
