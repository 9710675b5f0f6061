import { z } from "zod";
import type { Clients } from "../clients";
import { cordonedFor } from "../cluster/cordon";
import { refuseFindings } from "../cluster/finding";
import { withLease, type Held } from "../cluster/lease";
import { look } from "../cluster/snapshot";
import { nodes } from "../kinds";
import { defineOperation } from "../operation";
import { explained } from "../rancheros/preflight";
import { Refusal } from "../refusal";
import { readWaiting } from "./pending";
import { announcement, bootOf, restartFindings } from "./restart-preflight";
import { bringBack, notThere, shutDownAt, takeAway, unmark } from "./restart-steps";

const schema = z.strictObject({
  /** The Kubernetes node's name, which is also the machine's. */
  node: z.string().min(1),
  vm: z.strictObject({ host: z.string(), vmId: z.int(), mac: z.string() }),
  /** `restart` of the node in the environment file. */
  allowed: z.boolean(),
  /** What the file asks of the machine. Not looked at: a changed value is what makes the engine run this, and live systems say what waits. */
  wanted: z.record(z.string(), z.unknown()),
});

type RestartInput = z.infer<typeof schema>;

/** What a run did, and what still waits. */
export interface Restarted {
  readonly node: string;
  readonly restarted: boolean;
  readonly waiting: readonly string[];
}

/**
 * Applies what waits for a restart of the node's machine: under the cluster's Lease it is drained, shut down, started and awaited. Without `allowed` it names
 * what waits and touches nothing. Whatever an earlier run began is brought to its end either way, so that no node stays off or cordoned because of us.
 */
export const restartNode = defineOperation({
  verb: "restart-node",
  needs: ["proxmox", "rancher", "kubernetes"],
  schema,
  run: (input, clients) => explained(input.node, () => restartWhenDue(input, clients)),
});

async function restartWhenDue(input: RestartInput, clients: Clients): Promise<Restarted> {
  const { node: name, vm } = input;
  const node = await clients.kubernetes.read(nodes, name);
  if (shutDownAt(node) === undefined && cordonedFor(node) !== "restart") {
    const machine = await clients.proxmox.readVm(vm.host, vm.vmId);
    if (!machine) throw notThere(input);
    if (machine.status === "stopped") {
      clients.log(`${name}: machine ${vm.vmId} is off; its next start takes what waits`);
      return { node: name, restarted: false, waiting: [] };
    }
    const waiting = await due(input, clients);
    if (waiting.length === 0 || !input.allowed) return { node: name, restarted: false, waiting };
  }
  return withLease(clients, `restart ${name}`, (held) => restartUnderLock(input, clients, held));
}

/** What waits, said to the operator when nobody may apply it. */
async function due({ node, vm, allowed }: RestartInput, { proxmox, log }: Clients): Promise<readonly string[]> {
  const { names, agent } = await readWaiting(proxmox, vm);
  // Nothing to be seen is no proof that nothing waits, and what this returns the engine takes for applied.
  if (allowed && names.length === 0 && !agent) throw silent(node, vm.vmId);
  if (!allowed && names.length > 0) {
    log(
      `${node}: ${names.join(", ")} waits for a restart; to apply it: \`restart: true\` on ${node} in the environment file, then \`pulumi up\``,
    );
  }
  return names;
}

async function restartUnderLock(input: RestartInput, clients: Clients, held: Held): Promise<Restarted> {
  const { node: name, vm } = input;
  const { kubernetes, proxmox, log } = clients;
  const node = await kubernetes.read(nodes, name);
  const boot = shutDownAt(node);
  if (boot !== undefined) {
    const machine = await proxmox.readVm(vm.host, vm.vmId);
    if (machine?.status === "stopped" || (node && bootOf(node) !== boot)) {
      log(`${name}: going on with its restart`);
      await bringBack(input, clients, held, boot);
      return { node: name, restarted: true, waiting: [] };
    }
  }
  // What a run that was killed, or a guest that did not go off, left behind.
  await unmark(clients, name);
  const waiting = await due(input, clients);
  if (waiting.length === 0 || !input.allowed) return { node: name, restarted: false, waiting };
  await preflight(input, clients);
  log(`${name}: restarting it for ${waiting.join(", ")}`);
  await bringBack(input, clients, held, await takeAway(input, clients, held));
  return { node: name, restarted: true, waiting: [] };
}

async function preflight(input: RestartInput, clients: Clients): Promise<void> {
  const { node: name, vm } = input;
  const live = await clients.proxmox.readVm(vm.host, vm.vmId);
  if (!live) throw notThere(input);
  const { agent } = await readWaiting(clients.proxmox, vm);
  const snapshot = await look(clients);
  refuseFindings(
    `${name}: is not restarted, nothing was touched`,
    restartFindings(snapshot, input, { live, agent }),
    "mend what is named, then run the same `pulumi` command again; `restart: false` on it lets `up` go by",
  );
  const said = announcement(name, snapshot.nodes);
  if (said !== undefined) clients.log(`${name}: ${said}`);
}

function silent(node: string, vmId: number): Refusal {
  return new Refusal({
    what: `${node}: cannot tell whether cloud-init data waits for a restart, nothing was touched`,
    why: `the guest agent of machine ${vmId} does not answer`,
    next: `mend it (\`sudo systemctl restart qemu-guest-agent\` in the guest), then \`pulumi up\` again; \`restart: false\` on ${node} lets it be`,
  });
}
