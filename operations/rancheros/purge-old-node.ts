import { z } from "zod";
import { withLease } from "../cluster/lease";
import { mistakenIdentity, protectionFinding, readMachine } from "../cluster/machine";
import { nodes } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { destroyMachine } from "./machine";
import { explained } from "./preflight";
import { retirementInput } from "./retirement-input";

const schema = z.object({
  ...retirementInput.pick({ node: true, address: true, vm: true }).shape,
  /** What an operator types to do it again. */
  command: z.string().min(1),
});

/**
 * Deletes the machine that a retirement kept. The same identity check as the retirement's own, right before the deletion and under the same lock; a machine that
 * runs is somebody's again and stays.
 */
export const purgeOldNode = defineOperation({
  verb: "purge-old-node",
  needs: ["proxmox", "kubernetes"],
  schema,
  run: (input, clients) =>
    explained(input.node, async (): Promise<{ node: string; purged: boolean }> => {
      const { node, vm, address, command } = input;
      const machine = await readMachine(clients, input);
      if (machine.state === "gone") {
        clients.log(`${node}: machine ${vm.vmId} is gone already`);
        return { node, purged: false };
      }
      const refuse = (why: string, next: string): never => {
        throw new Refusal({
          what: `${node}: machine ${vm.vmId} on ${vm.host} is not deleted, nothing was touched`,
          why,
          next: `${next}; then \`${command}\``,
        });
      };
      if (machine.state === "hidden") return refuse(machine.finding.what, machine.finding.remedy);
      const { live } = machine;
      const mistaken = mistakenIdentity(live, input);
      if (mistaken !== undefined)
        return refuse(
          `it is not the machine of the file: ${mistaken}`,
          "find out whose it is, and give it another id if it is to stay",
        );
      const user = (await clients.kubernetes.list(nodes)).find(
        (other) => other.metadata?.name === node || other.status?.addresses?.some((entry) => entry.address === address),
      );
      if (user)
        return refuse(
          `the cluster's node ${user.metadata?.name} has its name or its address ${address}`,
          "find out which machine that node is",
        );
      if (live.status !== "stopped")
        return refuse(
          "it runs, and a retirement had switched it off",
          `if it is really to go, \`qm shutdown ${vm.vmId}\` on ${vm.host}`,
        );
      const protectedOne = protectionFinding(live);
      if (protectedOne) return refuse(protectedOne.what, protectedOne.remedy);
      await withLease(clients, node, (held) => destroyMachine(clients, held, input));
      return { node, purged: true };
    }),
});
