/**
 * What Proxmox asks of a token beside what its API schema says, because it depends on what a request sets. From PVE::API2::Qemu (check_vm_modify_config_perm,
 * check_storage_access, check_drive_perms, check_vm_create_serial_perm), PVE::Storage (check_volume_access) and PVE::GuestHelpers (check_vnet_access,
 * assert_tag_permissions), as of Proxmox VE 9.
 */
import type { Check } from "./access";
import { isCard, isCloudInit, isDrive, properties } from "./settings";

type Options = Readonly<Record<string, string>>;

/** `local-lvm:100`: a new disk of so many GiB. */
export const newDisk = /^([^/:\s]+):(\d+(?:\.\d+)?)$/;

const privilegeOf: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({
    "VM.Config.CPU": "cores cpu cpulimit cpuunits numa smp sockets vcpus",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0",
    "VM.Config.Options":
      "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot ostype protection reboot startdate startup tags tdf template",
    "VM.PowerMgmt": "freeze",
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
  }).flatMap(([privilege, options]) => options.split(" ").map((option) => [option, privilege])),
);

/** Whether it is the drive that cloud-init reads. */
export function isCloudInitDrive(drive: string): boolean {
  return /:cloudinit$|vm-\d+-cloudinit/.test(properties(drive, "file").file ?? "");
}

export function isCdrom(drive: string): boolean {
  return properties(drive, "file").media === "cdrom" || isCloudInitDrive(drive);
}

/** To set, change or remove an option of a machine; undefined: only root may. Drives are asked for elsewhere. */
export function optionNeeds(vmId: number, option: string): readonly Check[] | undefined {
  const vm = (...privileges: string[]): Check => ["perm", `/vms/${vmId}`, privileges];
  if (isDrive(option) || /^unused\d+$/.test(option)) return [];
  if (isCard(option)) return [vm("VM.Config.Network")];
  if (isCloudInit(option)) return [["perm", `/vms/${vmId}`, ["VM.Config.Cloudinit", "VM.Config.Network"], "any"]];
  if (/^serial\d+$/.test(option)) return [vm("VM.Config.HWType")];
  if (/^numa\d+$/.test(option)) return [vm("VM.Config.CPU")];
  // The order in which machines start belongs to the host.
  if (option === "startup") return [vm("VM.Config.Options"), ["perm", "/", ["Sys.Modify"]]];
  const privilege = privilegeOf[option];
  return privilege === undefined ? undefined : [vm(privilege)];
}

/** To give a machine a drive, or take it: by what kind of drive it is. Asked of changes alone, not of a new machine. */
export function driveNeeds(vmId: number, drive: string): Check {
  const kinds = isCloudInitDrive(drive) ? ["Cloudinit", "CDROM"] : isCdrom(drive) ? ["CDROM"] : ["Disk"];
  return ["perm", `/vms/${vmId}`, kinds.map((kind) => `VM.Config.${kind}`)];
}

/** To use what drives and cards name: datastores, images, bridges with their VLANs. */
export function resourceNeeds(vmId: number, options: Options): readonly Check[] {
  return Object.entries(options)
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
    .flatMap(([option, value]) => {
      if (isDrive(option)) return storageNeeds(vmId, value);
      const { bridge, tag } = isCard(option) ? properties(value, "model") : {};
      if (bridge === undefined) return [];
      const path = `/sdn/zones/localnetwork/${bridge}${tag === undefined ? "" : `/${tag}`}`;
      return [["perm", path, ["SDN.Use"]] as const];
    });
}

function storageNeeds(vmId: number, value: string): readonly Check[] {
  const { file = "", "import-from": source } = properties(value, "file");
  const [, store] = newDisk.exec(file) ?? [];
  const image = source === undefined ? [] : readNeeds(source, vmId);
  if (file === "cdrom") return [["perm", "/", ["Sys.Console"]], ...image];
  if (isCloudInitDrive(value) || !file.includes(":")) return image;
  if (store === undefined) return [...readNeeds(file, vmId), ...image];
  return [["perm", `/storage/${store}`, ["Datastore.AllocateSpace"]], ...image];
}

/** To read a volume: an image, the machine's own disk (nothing), another machine's. `Datastore.Allocate` would do for each. */
export function readNeeds(id: string, vmId?: number): readonly Check[] {
  const [store = "", name = ""] = id.split(":");
  if (/^(import|iso|vztmpl)\//.test(name))
    return [["perm", `/storage/${store}`, ["Datastore.AllocateSpace", "Datastore.Audit"], "any"]];
  const owner = /vm-(\d+)-/.exec(name)?.[1];
  if (owner === undefined) return [["perm", `/storage/${store}`, ["Datastore.Allocate"]]];
  if (Number(owner) === vmId) return [];
  return [
    ["perm", `/storage/${store}`, ["Datastore.Audit"]],
    ["perm", `/vms/${owner}`, ["VM.Config.Disk"]],
  ];
}
