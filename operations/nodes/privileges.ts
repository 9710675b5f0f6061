import type { Finding } from "../cluster/finding";

/**
 * What the token may do, and no more: the role of the README. Which request needs which privilege stands in Proxmox's API schema; a test derives the list from
 * the requests that the program really made.
 */
export const leastPrivileges = [
  "Datastore.AllocateSpace",
  "Datastore.AllocateTemplate",
  "Datastore.Audit",
  "SDN.Use",
  "Sys.AccessNetwork",
  "VM.Allocate",
  "VM.Audit",
  "VM.Config.CPU",
  "VM.Config.Cloudinit",
  "VM.Config.Disk",
  "VM.Config.HWType",
  "VM.Config.Memory",
  "VM.Config.Network",
  "VM.Config.Options",
  "VM.GuestAgent.FileRead",
  "VM.PowerMgmt",
] as const;

type Privilege = (typeof leastPrivileges)[number];

/** What does as well: Proxmox VE 8 knows no privileges for the guest agent, and 9 has one for everything there. */
const instead: Partial<Record<Privilege, readonly string[]>> = {
  "VM.GuestAgent.FileRead": ["VM.Monitor", "VM.GuestAgent.Unrestricted"],
};

/** What the nodes layer uses of Proxmox. */
export interface Used {
  readonly hosts: readonly { readonly name: string; readonly imageDatastore: string; readonly diskDatastore: string }[];
  readonly nodes: readonly { readonly vmId: number }[];
}

/** Which of the privileges the token lacks, and where: one finding for all that are lacking in the same places. */
export function missingPrivileges(held: Readonly<Record<string, readonly string[]>>, used: Used): Finding[] {
  const lacking = new Map<string, Privilege[]>();
  for (const privilege of leastPrivileges) {
    const accepted = [privilege, ...(instead[privilege] ?? [])];
    const paths = placesOf(privilege, used).filter((path) => !accepted.some((name) => holds(held, path, name)));
    if (paths.length > 0) lacking.set(shown(paths), [...(lacking.get(shown(paths)) ?? []), privilege]);
  }
  return [...lacking].map(([where, privileges]) => ({
    what: `the Proxmox token lacks ${privileges.join(", ")} on ${where}`,
    remedy:
      `\`pveum role modify <role> --append --privs "${privileges.join(" ")}"\`, with the role that the token has there ` +
      "(`pveum acl list`; the README gives it one on `/`)",
  }));
}

/** Where Proxmox looks for the privilege. A trailing slash: anywhere below will do, since which path it is depends on how the network is made. */
function placesOf(privilege: Privilege, { hosts, nodes }: Used): string[] {
  if (privilege.startsWith("VM.")) return nodes.map((node) => `/vms/${node.vmId}`);
  if (privilege === "Sys.AccessNetwork") return hosts.map((host) => `/nodes/${host.name}`);
  if (privilege === "SDN.Use") return ["/sdn/"];
  const stores = hosts.flatMap(({ imageDatastore, diskDatastore }) => [
    ...(privilege === "Datastore.AllocateSpace" ? [] : [imageDatastore]),
    ...(privilege === "Datastore.AllocateTemplate" ? [] : [diskDatastore]),
  ]);
  return [...new Set(stores.map((name) => `/storage/${name}`))];
}

/** Proxmox lists the paths that a permission is set on, and the roots, each with what holds there; the nearest one above a path is what counts for it. */
function holds(held: Readonly<Record<string, readonly string[]>>, path: string, privilege: string): boolean {
  const below = path.endsWith("/") ? Object.keys(held).filter((other) => other.startsWith(path)) : [];
  const steps = path.split("/").filter(Boolean);
  const above = steps.map((_, index) => `/${steps.slice(0, steps.length - index).join("/")}`);
  const nearest = [...above, "/"].find((step) => held[step] !== undefined);
  return [...below, ...(nearest === undefined ? [] : [nearest])].some((other) => held[other]?.includes(privilege));
}

function shown(paths: readonly string[]): string {
  const more = paths.length > 3 ? ` and ${paths.length - 3} more` : "";
  return `${paths
    .slice(0, 3)
    .map((path) => path.replace(/\/$/, ""))
    .join(", ")}${more}`;
}
