import type { V1Node } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { cordon, uncordon } from "../cluster/cordon";
import { drain } from "../cluster/drain";
import { failureOf, patiently } from "../cluster/failure";
import type { Held } from "../cluster/lease";
import type { Recorded } from "../cluster/machine";
import { isReady } from "../cluster/selector";
import { look } from "../cluster/snapshot";
import { nodes } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { readWaiting } from "./pending";
import { bootOf, otherMachine, restartAnnotation, shortVolumes } from "./restart-preflight";

/** Seconds for a guest to go off: containers get their grace periods, and a database writes what it has. */
const shutdownSeconds = 600;
/** Seconds from the start of the machine to a node that works: a file system check of large disks, a control plane that comes up. */
const backSeconds = 1800;
/** Seconds for the new values to be seen, once the node works. */
const appliedSeconds = 300;
/** Seconds for Longhorn to bring replicas of the node up to date. Without that, the next node's restart would be refused. */
const rebuildSeconds = 2 * 3600;

/** States in which Rancher sees a node that works, whoever cordoned it. */
const working = ["active", "cordoned", "drained"];

/** Cordons, drains and shuts down; returns the boot that ended. What fails before the shutdown is taken back. */
export async function takeAway(input: Recorded, clients: Clients, held: Held): Promise<string> {
  const { node: name, vm } = input;
  const { kubernetes, proxmox, log } = clients;
  let boot: string;
  try {
    await cordon(clients, name, "restart");
    await drain(clients, name);
    await held.check();
    const [live, node] = [await proxmox.readVm(vm.host, vm.vmId), await kubernetes.read(nodes, name)];
    // Draining takes its time, and an id can be somebody else's by now.
    const mistaken = live && otherMachine(live, input, node);
    if (!live || !node || mistaken !== undefined) throw notThere(input, mistaken);
    boot = bootOf(node);
    await kubernetes.patch(nodes, name, { metadata: { annotations: { [restartAnnotation]: boot } } });
  } catch (error) {
    throw await takenBack(name, clients, held, error);
  }
  log(`${name}: shutting machine ${vm.vmId} down`);
  let off: boolean;
  try {
    off = await proxmox.shutdownVm(vm.host, vm.vmId, shutdownSeconds);
  } catch (error) {
    throw notBack(input, error);
  }
  if (off) return boot;
  // The mark stays: whenever the guest goes off after all, the next run starts the machine again.
  throw await takenBack(
    name,
    clients,
    held,
    new Refusal({
      what: `machine ${vm.vmId} did not go off within ${shutdownSeconds} s`,
      why: "its guest does not react to a shutdown, and a hard stop could cost data",
      next: `see what hangs in it (\`qm terminal ${vm.vmId}\` on ${vm.host}), or shut it down there; the next run starts it again`,
    }),
  );
}

/** Starts the machine, and waits until the node works, has what waited for it, and Longhorn its replicas. */
export async function bringBack(input: Recorded, clients: Clients, held: Held, boot: string): Promise<void> {
  const { node: name, vm } = input;
  const { clock, proxmox, log } = clients;
  try {
    await proxmox.startVm(vm.host, vm.vmId);
    log(`${name}: waiting until it is back`);
    await waitFor(
      clock,
      {
        what: `${name}: its machine running, its guest agent answering and its node Ready`,
        timeoutSeconds: backSeconds,
        everySeconds: 10,
        next: `look at its console, \`qm terminal ${vm.vmId}\` on ${vm.host}`,
      },
      // A control plane that is away with its only node does not answer meanwhile.
      patiently(() => isBack(input, clients, boot)),
    );
    await held.check();
    await unmark(clients, name);
  } catch (error) {
    throw notBack(input, error);
  }
  await waitFor(
    clock,
    {
      what: `${name}: was restarted and works, but what waited is not applied`,
      timeoutSeconds: appliedSeconds,
      everySeconds: 10,
      next: `see what Proxmox says, \`qm pending ${vm.vmId}\` on ${vm.host}; \`pulumi up\` tries once more, \`restart: false\` on ${name} lets it be`,
    },
    patiently(async () => {
      const { names, agent } = await readWaiting(proxmox, vm);
      if (names.length > 0) throw new NotYet(`${names.join(", ")} still waits`);
      if (!agent) throw new NotYet("the guest agent does not answer");
      return true;
    }),
  );
  await waitFor(
    clock,
    {
      what: `${name}: was restarted and works, but Longhorn's volumes on it are not whole`,
      timeoutSeconds: rebuildSeconds,
      everySeconds: 30,
      next: "see in Longhorn's UI why they are not rebuilt, then `pulumi up` again",
    },
    patiently(async () => {
      const short = shortVolumes((await look(clients)).longhorn, name);
      if (short.length > 0) throw new NotYet(short.join(", "));
      return true;
    }),
  );
  log(`${name}: is back, and nothing waits any more`);
}

async function isBack(
  { node: name, vm }: Recorded,
  { kubernetes, proxmox, rancher }: Clients,
  boot: string,
): Promise<true> {
  const machine = await proxmox.readVm(vm.host, vm.vmId);
  if (machine?.status !== "running") throw new NotYet(`machine ${vm.vmId} is ${machine ? "off" : "gone"}`);
  if (!(await readWaiting(proxmox, vm)).agent) throw new NotYet("the guest agent does not answer");
  const node = await kubernetes.read(nodes, name);
  // Right after the start the API still shows the Ready of before: a node that went off in order says no goodbye.
  if (node && boot !== "unknown" && bootOf(node) === boot) throw new NotYet("its kubelet has not reported since");
  if (!node || !isReady(node)) throw new NotYet("its node is not Ready");
  const known = (await rancher.nodes()).find((other) => other.nodeName === name);
  if (!known || !working.includes(known.state))
    throw new NotYet(known ? `Rancher calls it ${known.state}` : "Rancher does not know it");
  return true;
}

/** The boot in which we shut it down; undefined when no restart of ours is under way. */
export function shutDownAt(node: V1Node | undefined): string | undefined {
  return node?.metadata?.annotations?.[restartAnnotation];
}

/** Lets the node take pods again, if it was us who stopped that, and forgets the restart. */
export async function unmark(clients: Clients, name: string): Promise<void> {
  await uncordon(clients, name);
  if (shutDownAt(await clients.kubernetes.read(nodes, name)) === undefined) return;
  await clients.kubernetes.patch(nodes, name, { metadata: { annotations: { [restartAnnotation]: null } } });
}

/** The failure of a restart that has taken nothing away, after the node was put back to work. */
async function takenBack(name: string, clients: Clients, held: Held, error: unknown): Promise<Refusal> {
  const { what, why, next } = failureOf(error);
  let state = "it takes pods as before";
  let back = "";
  try {
    await held.check();
    await uncordon(clients, name);
  } catch {
    state = "it may still be cordoned: the lock or the Kubernetes API is gone";
    back = `; to go back: \`kubectl uncordon ${name}\``;
  }
  return new Refusal({
    what: `${name}: was not restarted, ${state}: ${what}`,
    why,
    next: `${next === undefined ? "" : `${next}; `}to go on: \`pulumi up\` again${back}`,
  });
}

/** The failure of a restart that can only go on. */
function notBack({ node, vm }: Recorded, error: unknown): Refusal {
  const { what, why, next } = failureOf(error);
  return new Refusal({
    what: `${node}: machine ${vm.vmId} was told to shut down for its restart, and the node is not back: ${what}`,
    why,
    next: `${next === undefined ? "" : `${next}; `}then \`pulumi up\` again with \`restart: true\`: it starts the machine and goes on from here`,
  });
}

export function notThere({ node, vm }: Recorded, mistaken = "no such machine or node is there"): Refusal {
  return new Refusal({
    what: `${node}: machine ${vm.vmId} on ${vm.host} is not the node's`,
    why: mistaken,
    next: "find out whose it is before anything else",
  });
}
