import { GuestAgentSilent, type Clients, type ProxmoxApi } from "../clients";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";

/** The user that cloud-init makes, with the operator's key and sudo without a password. */
export const guestUser = "debian";

const file = "/etc/ssh/ssh_host_ed25519_key.pub";

/**
 * The machine's own SSH host key, read through the hypervisor's API: a way that whoever sits between us and the guest's address cannot touch. undefined while
 * the guest agent does not answer.
 */
export async function hostKeyThroughHypervisor(
  proxmox: ProxmoxApi,
  vm: { readonly host: string; readonly vmId: number },
): Promise<string | undefined> {
  let content: string;
  try {
    content = await proxmox.readGuestFile(vm.host, vm.vmId, file);
  } catch (error) {
    if (error instanceof GuestAgentSilent) return undefined;
    throw error;
  }
  const [type, key] = content.trim().split(/\s+/);
  if (type === "ssh-ed25519" && key) return `${type} ${key}`;
  throw new Refusal({
    what: `machine ${vm.vmId} on ${vm.host}: no SSH host key to trust`,
    why: `${file} in the guest does not hold an ssh-ed25519 public key`,
    next: `make one in the guest: \`sudo ssh-keygen -A && sudo systemctl restart ssh\`, then run \`pulumi up --refresh\` again`,
  });
}

/** Refuses whoever answered with a key that is not the one inside of the machine. */
export async function refuseImpostor(
  {
    node,
    address,
    vm,
    seen,
  }: {
    readonly node: string;
    readonly address: string;
    readonly vm: { readonly host: string; readonly vmId: number };
    /** The key of the SSH handshake. */
    readonly seen: string;
  },
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
