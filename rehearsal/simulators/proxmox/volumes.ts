import type { HomeState } from "../../home/state";

type Known = HomeState["proxmox"]["datastores"][number];
/** A datastore, whose room shrinks and grows. */
export type Store = Omit<Known, "available"> & { available: number };
export type Image = HomeState["proxmox"]["images"][number];

/** Only folders can hold images to import from; disks on them are files. */
export function isFolder({ content }: Store): boolean {
  return content.some((type) => ["import", "iso", "vztmpl", "snippets", "backup"].includes(type));
}

export function typeOf(store: Store): string {
  return isFolder(store) ? "dir" : store.thin ? "lvmthin" : "lvm";
}

/** Of a machine's disk: `local-lvm:vm-201-disk-0`, `local:201/vm-201-disk-0.qcow2`. */
export function diskId(store: Store, vmId: number, name: string, format?: string): string {
  return isFolder(store) ? `${store.name}:${vmId}/${name}.${format ?? "qcow2"}` : `${store.name}:${name}`;
}

export function imageId({ datastore, file }: Pick<Image, "datastore" | "file">): string {
  return `${datastore}:import/${file}`;
}

/** Of a file's name, or `raw`. */
export function formatOf(id: string): string {
  return /\.(\w+)$/.exec(id)?.[1] ?? "raw";
}

/** Where the host keeps it. */
export function pathOf(store: Store, id: string): string {
  const name = id.slice(id.indexOf(":") + 1);
  if (!isFolder(store)) return `/dev/pve/${name}`;
  return name.startsWith("import/") ? `/var/lib/vz/${name}` : `/var/lib/vz/images/${name}`;
}
