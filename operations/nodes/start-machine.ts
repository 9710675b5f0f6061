import { defineOperation } from "../operation";
import { identifyMachine, machineInput, type MachineIdentity } from "./identify-machine";

/**
 * Starts a node's new machine if it is off: where creating it failed between its disks and its start, a refresh notes that it is off, and the engine, which is
 * told to leave a machine's power alone, would never start it. Only ever run for a machine that is new.
 */
export const startMachine = defineOperation({
  verb: "start-machine",
  needs: ["proxmox"],
  schema: machineInput,
  run: async (input, clients): Promise<MachineIdentity> => {
    const identity = await identifyMachine.run(input, clients);
    await clients.proxmox.startVm(input.vm.host, input.vm.vmId);
    return identity;
  },
});
