import type { V1Node } from "@kubernetes/client-node";

/** The form of an SMBIOS UUID. Where a kubelet cannot read one it says something else, such as the machine-id, which tells nothing of the machine. */
const form = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The SMBIOS UUID that the node's kubelet reports, lower case; undefined where it reports none. */
export function systemUuid(node: V1Node | undefined): string | undefined {
  const uuid = (node?.status?.nodeInfo?.systemUUID ?? "").toLowerCase();
  return form.test(uuid) ? uuid : undefined;
}

/** Whether the node certainly runs on another machine than the one with this UUID. False where either is not known. */
export function isAnotherMachines(node: V1Node | undefined, uuid: string | undefined): boolean {
  const live = systemUuid(node);
  const known = (uuid ?? "").toLowerCase();
  return live !== undefined && form.test(known) && live !== known;
}
