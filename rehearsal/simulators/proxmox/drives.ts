import type { Vm } from "../../home/state";
import type { User } from "./access";
import { failure, wrongParameter } from "./errors";
import { bytes, isDrive, properties, propertyString, size, type Settings } from "./settings";
import { imageSize } from "./storage";
import type { World } from "./world";

type Parameters = Readonly<Record<string, string>>;

/** `local-lvm:100`: a new disk of so many GiB. */
const fresh = /^([^/:\s]+):(\d+(?:\.\d+)?)$/;

/** Whether it is the drive that cloud-init reads. */
export function isCloudInitDrive(drive: string): boolean {
  return /:cloudinit$|vm-\d+-cloudinit/.test(properties(drive, "file").file ?? "");
}

export function isCdrom(drive: string): boolean {
  return properties(drive, "file").media === "cdrom" || isCloudInitDrive(drive);
}

/** Throws unless the token may use what the drives name: an image to read, a datastore to make disks on. */
export function mayUseStorage(world: World, host: string, vmId: number, user: User, parameters: Parameters): void {
  for (const [name, value] of drivesOf(parameters)) {
    const drive = properties(value, "file");
    const [, store] = fresh.exec(drive.file ?? "") ?? [];
    if (drive.file === "cdrom") user.need("/", "Sys.Console");
    else if (store !== undefined && !isCdrom(value)) {
      user.need(`/storage/${store}`, "Datastore.AllocateSpace");
      if (!world.storage.store(host, store).content.includes("images"))
        throw wrongParameter("storage", `storage '${store}' does not support vm images`);
    } else if (drive.file?.includes(":") && !isCloudInitDrive(value)) mayRead(user, drive.file, vmId);
    const source = drive["import-from"];
    if (source === undefined) continue;
    if (!source.includes(":")) throw failure("Only root can pass arbitrary filesystem paths.");
    const [from = ""] = source.split(":");
    world.storage.store(host, from);
    if (!source.includes(":import/"))
      throw wrongParameter(name, `${source} has wrong type - needs to be 'images' or 'import'`);
    mayRead(user, source, vmId);
  }
}

/** Throws unless the token may read the volume: an image, a disk of the machine itself, or another machine's disk. */
export function mayRead(user: User, id: string, vmId?: number): void {
  const [store = "", name = ""] = id.split(":");
  if (user.may(`/storage/${store}`, "Datastore.Allocate")) return;
  if (/^(import|iso|vztmpl)\//.test(name))
    return user.needAny(`/storage/${store}`, "Datastore.AllocateSpace", "Datastore.Audit");
  const owner = /vm-(\d+)-/.exec(name)?.[1];
  if (owner === undefined) throw failure(`missing privileges to access ${id}`);
  if (Number(owner) === vmId) return;
  user.need(`/storage/${store}`, "Datastore.Audit");
  user.need(`/vms/${owner}`, "VM.Config.Disk");
}

/**
 * Makes what the drives ask for, an import taking its time, and returns them as the machine keeps them. On an error, what was made is gone again.
 */
export async function makeDrives(
  world: World,
  vm: Vm,
  parameters: Parameters,
  pause: (milliseconds: number) => Promise<void>,
): Promise<Settings> {
  const made: string[] = [];
  const drives: Settings = {};
  try {
    for (const [name, value] of drivesOf(parameters)) {
      const { "import-from": source, format, ...drive } = properties(value, "file");
      const [, store = "", gib = "0"] = fresh.exec(drive.file ?? "") ?? [];
      const [datastore = "", volume] = drive.file?.split(":") ?? [];
      const allocate = (wanted: number, file?: string): string => {
        const id = world.storage.allocate(vm, store || datastore, wanted, {
          ...(file !== undefined && { file }),
          ...(format !== undefined && { format }),
        });
        made.push(id);
        return id;
      };
      if (volume === "cloudinit") {
        drive.file = allocate(4 * 2 ** 20, `vm-${vm.vmId}-cloudinit`);
        drive.media = "cdrom";
      } else if (store !== "" && source !== undefined) {
        drive.file = allocate(imageSize.disk);
        const id = drive.file;
        const duration = world.durations.import;
        if (duration > 0) await world.storage.inTurn(vm.host, () => pause(duration));
        world.storage.import(vm, id, source);
        drive.size = size(imageSize.disk);
      } else if (store !== "") {
        const wanted = Number(gib) * 2 ** 30;
        drive.file = allocate(wanted);
        drive.size = size(wanted);
      } else if (volume !== undefined) {
        const found = world.storage.size(vm, drive.file ?? "");
        if (found === 0) throw failure(`volume ${drive.file} does not exist`);
        drive.size = size(found);
      } else delete drive.size;
      drives[name] = propertyString(drive, "file");
    }
    return drives;
  } catch (error) {
    for (const id of made) world.storage.free(vm.host, id);
    throw error;
  }
}

/** Bytes of a drive as the machine keeps it. */
export function sizeOf(drive: string): number {
  return bytes(properties(drive, "file").size ?? "0");
}

function drivesOf(parameters: Parameters): [string, string][] {
  return Object.entries(parameters)
    .filter(([name]) => isDrive(name))
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
}
