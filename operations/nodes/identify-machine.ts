import { z } from "zod";
import { mistakenIdentity, readMachine } from "../cluster/machine";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";

/**
 * What identifies a node's machine, for asking who it is and for the look before it is deleted: the state holds one input for both. Open on purpose: an older
 * checkout ignores what a newer one recorded.
 */
export const machineInput = z.object({
  /** The node's name, which is also the machine's. */
  node: z.string().min(1),
  /** What marks a machine of this cluster. */
  tag: z.string().min(1),
  /** `mac`: of the first card. It identifies the machine and stays with it for life. */
  vm: z.object({ host: z.string().min(1), vmId: z.int(), mac: z.string() }),
});

export type MachineInput = z.infer<typeof machineInput>;

/** Which machine it is: `uuid` tells it from the one that had its id before, and from the next. */
export interface MachineIdentity {
  readonly uuid: string;
}

/**
 * Reads who has the node's id in Proxmox, and refuses anybody else's machine. Changes nothing. A machine that was removed by hand and made again has the same
 * id, name and MAC; its SMBIOS UUID is new, and the Kubernetes node shows the same one.
 */
export const identifyMachine = defineOperation({
  verb: "identify-machine",
  needs: ["proxmox"],
  schema: machineInput,
  run: async (input, clients): Promise<MachineIdentity> => {
    const { node, vm } = input;
    const machine = await readMachine(clients, input);
    if (machine.state === "gone") {
      throw new Refusal({
        what: `${node}: its machine ${vm.vmId} was removed behind the program's back, nothing was touched`,
        why: `Proxmox has nothing under this id any more, and the engine still counts on it`,
        next: "`pulumi up --refresh`: the machine is made again, and leaves and joins the cluster as the new one that it is",
      });
    }
    if (machine.state === "hidden") {
      const { what, remedy } = machine.finding;
      throw new Refusal({ what: `${node}: its machine cannot be told, nothing was touched`, why: what, next: remedy });
    }
    const mistaken = mistakenMachine(machine.live, input);
    if (mistaken !== undefined) {
      throw new Refusal({
        what: `${node}: machine ${vm.vmId} on ${vm.host} is another one, nothing was touched`,
        why: mistaken,
        next:
          `if it is the node's, set it back in Proxmox, or \`mac\` in the environment file (a machine keeps its first MAC for life); ` +
          `if it is somebody else's, give that machine another id; then \`pulumi up --refresh\``,
      });
    }
    return { uuid: machine.live.uuid };
  },
});

/** Why the live machine is not the node's; undefined when it is. */
export function mistakenMachine(
  live: Parameters<typeof mistakenIdentity>[0],
  { tag, ...recorded }: MachineInput,
): string | undefined {
  const untagged = live.tags.includes(tag) ? undefined : `it is not tagged ${tag}`;
  return [mistakenIdentity(live, recorded), untagged].filter(Boolean).join("; ") || undefined;
}
