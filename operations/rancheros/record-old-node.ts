import { mistakenIdentity, readMachine } from "../cluster/machine";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { retirementInput } from "./retirement-input";

/** Who an old node's machine is, as read from Proxmox. */
export interface OldMachine {
  readonly name: string;
  readonly vmId: number;
  readonly mac: string;
}

/** Reads who the machine is and refuses one that differs from the file. Writes nothing anywhere: old machines are never put under a provider. */
export const recordOldNode = defineOperation({
  verb: "record-old-node",
  needs: ["proxmox"],
  schema: retirementInput,
  run: async (input, clients): Promise<OldMachine> => {
    const { node, vm } = input;
    const machine = await readMachine(clients, input);
    if (machine.state === "hidden") {
      const { what, remedy } = machine.finding;
      throw new Refusal({ what: `${node}: not recorded`, why: what, next: remedy });
    }
    if (machine.state === "gone") {
      throw new Refusal({
        what: `${node}: there is no machine ${vm.vmId}`,
        why: "an old node is recorded to be retired later, and there is nothing to retire",
        next: `correct its \`vmId\` and \`host\` in the environment file, or set \`retired: true\` if it is gone; then \`pulumi up -s ${input.stack}\``,
      });
    }
    const { live } = machine;
    const mistaken = mistakenIdentity(live, input);
    if (mistaken !== undefined) {
      throw new Refusal({
        what: `${node}: machine ${vm.vmId} on ${vm.host} is not the one in the environment file`,
        why: mistaken,
        next: `correct the entry: a wrong one would retire somebody else's machine; then \`pulumi up -s ${input.stack}\``,
      });
    }
    return { name: live.name, vmId: live.vmId, mac: vm.mac };
  },
});
