import type { Clients, VmIdentity } from "../clients";
import type { Finding } from "./finding";

/** What is recorded of a machine, and all that identifies it. */
export interface Recorded {
  /** Its name, which is also its node's. */
  readonly node: string;
  readonly vm: { readonly host: string; readonly vmId: number; readonly mac: string };
}

/** What Proxmox shows under a recorded id: the machine there, nothing at all, or something that is not where it was recorded. */
export type Machine =
  | { readonly state: "there"; readonly live: VmIdentity }
  | { readonly state: "gone" }
  | { readonly state: "hidden"; readonly finding: Finding };

/** Not seeing a machine is not enough to call it gone: a token without the privilege sees nothing, and a migrated machine is on another host. */
export async function readMachine({ proxmox }: Pick<Clients, "proxmox">, recorded: Recorded): Promise<Machine> {
  const { host, vmId } = recorded.vm;
  const live = await proxmox.readVm(host, vmId);
  if (live) return { state: "there", live };
  if (await proxmox.vmIdFree(vmId)) return { state: "gone" };
  const elsewhere = (await proxmox.listVms()).find((other) => other.vmId === vmId);
  const what = `${recorded.node}: machine ${vmId} is not on host ${host}`;
  if (!elsewhere) {
    return {
      state: "hidden",
      finding: {
        what: `${what}, and its id is taken by something that this token cannot see`,
        remedy: "give the token VM.Audit on the machine (README, the least privileges)",
      },
    };
  }
  return {
    state: "hidden",
    finding: {
      what: `${what}, its id belongs to ${elsewhere.name} on host ${elsewhere.host}`,
      remedy:
        "if that is the machine meant, correct `host` in the environment file and run `pulumi up`, which records it",
    },
  };
}

/**
 * Proxmox's own protection on a machine that is to be deleted: the provider would power it off first, and only then be refused (tried). undefined when there is none.
 */
export function protectionFinding(live: VmIdentity): Finding | undefined {
  if (!live.protection) return undefined;
  return {
    what: `machine ${live.vmId} on ${live.host} is protected in Proxmox, so that deleting it would only power it off`,
    remedy: `if it is really to go, \`qm set ${live.vmId} --protection 0\` on ${live.host}`,
  };
}

/** Why the live machine is not the one recorded; undefined when it is. */
export function mistakenIdentity(live: VmIdentity, { node, vm }: Recorded): string | undefined {
  const differences = [
    ...(live.vmId === vm.vmId ? [] : [`its id is ${live.vmId}, recorded is ${vm.vmId}`]),
    ...(live.name === node ? [] : [`its name is ${live.name}, recorded is ${node}`]),
    ...(live.macs[0] === vm.mac ? [] : [`its first MAC is ${live.macs[0] ?? "missing"}, recorded is ${vm.mac}`]),
  ];
  return differences.length === 0 ? undefined : differences.join("; ");
}
