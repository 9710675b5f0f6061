import { GuestAgentSilent, type ProxmoxApi } from "../clients";
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
