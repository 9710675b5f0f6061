import { machineInput, mistakenMachine } from "./identify-machine";
import { protectionFinding, readMachine } from "../cluster/machine";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";

/**
 * The last look before the engine deletes a machine: the provider deletes whatever has the id. Refuses unless that is the node's machine, by what the last
 * `up` recorded; a machine that is gone is fine. One that was restored from a backup has another UUID, and is the node's all the same.
 */
export const checkMachine = defineOperation({
  verb: "check-machine",
  needs: ["proxmox"],
  schema: machineInput,
  run: async (input, clients): Promise<{ node: string }> => {
    const { node, vm } = input;
    const machine = await readMachine(clients, input);
    const mistaken =
      machine.state === "hidden"
        ? machine.finding.what
        : machine.state === "there"
          ? mistakenMachine(machine.live, input)
          : undefined;
    const kept = machine.state === "there" && mistaken === undefined ? protectionFinding(machine.live) : undefined;
    if (kept) {
      throw new Refusal({
        what: `${node}: its machine stays, nothing was touched`,
        why: kept.what,
        next: `${kept.remedy}, then the same command again`,
      });
    }
    if (mistaken === undefined) return { node };
    throw new Refusal({
      what: `${node}: machine ${vm.vmId} on ${vm.host} is not deleted, it may be somebody else's`,
      why: mistaken,
      next:
        `if the node's own machine is gone for good, forget it, \`pulumi state delete '<URN of ${node}-vm-machine>' --target-dependents\`; ` +
        `if this is the node's, set its name, tag and first MAC back; then run the same command again`,
    });
  },
});
