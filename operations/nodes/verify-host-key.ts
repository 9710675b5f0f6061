import { z } from "zod";
import type { Clients } from "../clients";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { hostKeyThroughHypervisor } from "./host-key";

const schema = z.strictObject({
  node: z.string(),
  address: z.ipv4(),
  vm: z.strictObject({ host: z.string(), vmId: z.int() }),
  /** The key that provisioning saw in its SSH handshake. */
  seen: z.string(),
});

/**
 * Compares the host key that provisioning met at the node's address with the one inside the machine, as the hypervisor reads it. Only what this returns may be
 * pinned, and only pinned connections carry secrets.
 */
export const verifyHostKey = defineOperation({
  verb: "verify-host-key",
  needs: ["proxmox"],
  schema,
  run: async (input, clients) => {
    await refuseImpostor(input, clients);
    return { hostKey: input.seen };
  },
});

/** Refuses whoever answered with a key that is not the one inside of the machine. */
export async function refuseImpostor(
  { node, address, vm, seen }: z.infer<typeof schema>,
  { proxmox, clock }: Pick<Clients, "proxmox" | "clock">,
): Promise<void> {
  const hostKey = await waitFor(
    clock,
    {
      what: `${node}: its SSH host key, read through Proxmox`,
      timeoutSeconds: 300,
      next: `see why it does not run: \`ssh debian@${address} sudo systemctl status qemu-guest-agent\`, then run \`pulumi up --refresh\` again`,
    },
    async () => {
      const key = await hostKeyThroughHypervisor(proxmox, vm);
      if (key === undefined) throw new NotYet(`the guest agent of machine ${vm.vmId} does not answer`);
      return key;
    },
  );
  if (hostKey === seen) return;
  throw new Refusal({
    what: `${node}: whoever answers SSH at ${address} is not machine ${vm.vmId}; no secret was sent`,
    why: `the machine's key is ${hostKey}, the one met there is ${seen}: another machine has the address, or someone sits in between`,
    next: `find out who answers: \`arping ${address}\` from its network; once it is the machine, run \`pulumi up --refresh\` again`,
  });
}
