import { z } from "zod";
import { GuestAgentSilent, type ProxmoxApi } from "../clients";
import { oneLine } from "../cluster/failure";
import { defineOperation } from "../operation";

const schema = z.strictObject({
  nodes: z.array(z.strictObject({ name: z.string(), host: z.string(), vmId: z.int() })),
});

/** Where cloud-init keeps the instance id of the data that it last applied. */
const instanceFile = "/var/lib/cloud/data/instance-id";

/** What waits for a machine's restart. */
export interface Waiting {
  /** Names of Proxmox's settings, sorted, and `cloud-init` last. */
  readonly names: readonly string[];
  /** Whether the guest agent answered. Without it nobody can say whether cloud-init data waits. */
  readonly agent: boolean;
}

/** Reads what a running machine will only take at its next start: settings as Proxmox marks them, and cloud-init data other than what the guest booted with. */
export async function readWaiting(
  proxmox: ProxmoxApi,
  vm: { readonly host: string; readonly vmId: number },
): Promise<Waiting> {
  const settings = await proxmox.pendingSettings(vm.host, vm.vmId);
  const next = await proxmox.cloudInitInstance(vm.host, vm.vmId);
  const guest = await guestInstance(proxmox, vm);
  // "" on either side: not known, and so no reason to restart anything.
  const waits = next !== "" && guest !== undefined && guest !== "" && guest !== next;
  return { names: waits ? [...settings, "cloud-init"] : settings, agent: guest !== undefined };
}

/** The instance id that the guest booted with; "" where it keeps none, undefined while the guest agent is silent. */
async function guestInstance(
  proxmox: ProxmoxApi,
  vm: { readonly host: string; readonly vmId: number },
): Promise<string | undefined> {
  try {
    return (await proxmox.readGuestFile(vm.host, vm.vmId, instanceFile)).trim();
  } catch (error) {
    if (error instanceof GuestAgentSilent) return undefined;
    if (error instanceof Error && error.message.includes("No such file or directory")) return "";
    throw error;
  }
}

/**
 * Names, at every preview and update, what waits for a restart. Needed because the provider reads waiting values as if they were live: without this, the next
 * preview is clean and nothing reminds anybody. It only informs, so a machine that cannot be read stops nobody: a node must be able to be added while another
 * one's host is down.
 */
export const checkPending = defineOperation({
  verb: "check-pending",
  needs: ["proxmox"],
  schema,
  run: async ({ nodes }, { proxmox, log }) => {
    const machines = await proxmox.listVms();
    // Side by side: a guest agent that hangs takes seconds to be given up.
    const found = await Promise.all(
      nodes.map(async ({ name, host, vmId }): Promise<readonly [string, readonly string[]]> => {
        const machine = machines.find((other) => other.vmId === vmId && other.name === name && other.host === host);
        // Not there yet, or off: its next start takes everything.
        if (machine?.status !== "running") return [name, []];
        try {
          return [name, (await readWaiting(proxmox, { host, vmId })).names];
        } catch (error) {
          log(`${name}: cannot tell what waits for a restart: ${oneLine(error)}`);
          return [name, []];
        }
      }),
    );
    return { pending: Object.fromEntries(found.filter(([, names]) => names.length > 0)) };
  },
});
