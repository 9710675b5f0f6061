import { z } from "zod";
import type { VmSummary } from "../clients";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";

const ours = z.strictObject({ name: z.string(), host: z.string(), vmId: z.int() });
type Ours = z.infer<typeof ours>;

const schema = z.strictObject({
  nodes: z.array(ours),
  /** What marks a machine of this cluster, beside its name. */
  tag: z.string(),
  /** Names of old nodes that should still be visible: a token that sees none of them sees nothing. */
  oldNodes: z.array(z.string()),
});

/**
 * Refuses ids that belong to somebody else, at every preview and update. Needed because the provider takes "already exists" for success: it would grow and
 * start the stranger's machine, and a later plain `up` would replace, that is delete, it (tried). Our own half-made machine, known by name and tag, passes:
 * adopting that one is the only way back from a lost answer.
 */
export const checkVmIds = defineOperation({
  verb: "check-vm-ids",
  needs: ["proxmox"],
  schema,
  run: async (input, { proxmox }) => {
    const machines = await proxmox.listVms();
    if (machines.length === 0 && input.oldNodes.length > 0) throw blind(input.oldNodes);
    for (const node of input.nodes) {
      refuseStranger(node, input.tag, machines);
      const known = machines.some((machine) => machine.vmId === node.vmId);
      if (!known && !(await proxmox.vmIdFree(node.vmId))) throw invisible(node);
    }
    return { vmIds: Object.fromEntries(input.nodes.map((node) => [node.name, node.vmId])) };
  },
});

function refuseStranger(node: Ours, tag: string, machines: readonly VmSummary[]): void {
  const holder = machines.find((machine) => machine.vmId === node.vmId);
  const namesake = machines.find((machine) => machine.name === node.name && machine.vmId !== node.vmId);
  if (holder && !(holder.name === node.name && holder.tags.includes(tag))) {
    throw new Refusal({
      what: `node ${node.name}: id ${node.vmId} is taken, nothing was touched`,
      why: `Proxmox has ${describe(holder)} under it, which is not ours: ours is called ${node.name} and tagged ${tag}`,
      next: `give ${node.name} a free vmId in the environment file (or, if this is our machine, its name and tag back: \`qm set ${node.vmId} --name ${node.name} --tags ${tag}\`)`,
    });
  }
  if (namesake) {
    throw new Refusal({
      what: `node ${node.name}: a machine of this name exists under another id, nothing was touched`,
      why: `Proxmox has ${describe(namesake)}, the environment file says ${node.vmId}; a second machine of the name would take its place in the cluster`,
      next: `set vmId of ${node.name} back to ${namesake.vmId}, or rename that machine if it is not ours`,
    });
  }
  if (holder && holder.host !== node.host) {
    throw new Refusal({
      what: `node ${node.name}: its machine ${node.vmId} is on another Proxmox host, nothing was touched`,
      why: `it is on ${holder.host}, the environment file says ${node.host}; the engine would delete it there and make a new one`,
      next: `move it back: \`qm migrate ${node.vmId} ${node.host} --online\` on ${holder.host}`,
    });
  }
}

function blind(oldNodes: readonly string[]): Refusal {
  return new Refusal({
    what: "the Proxmox token sees no machine at all, so nobody could tell whose ids are taken",
    why: `${oldNodes.join(", ")} should be there; Proxmox hides every machine from a token without VM.Audit`,
    next: "give the token the privileges of the README: `pveum acl modify / --tokens '<user@realm!name>' --roles <role>`",
  });
}

function invisible(node: Ours): Refusal {
  return new Refusal({
    what: `node ${node.name}: id ${node.vmId} is taken, nothing was touched`,
    why: "Proxmox says that it exists, but does not show it to the token: a machine or container outside of its privileges",
    next: `give ${node.name} a free vmId in the environment file (\`pvesh get /cluster/resources --type vm\` as root lists all)`,
  });
}

function describe(machine: VmSummary): string {
  const tags = machine.tags.length === 0 ? "no tags" : `tags ${machine.tags.join(", ")}`;
  return `${machine.name} (${machine.vmId}, ${machine.status} on ${machine.host}, ${tags})`;
}
