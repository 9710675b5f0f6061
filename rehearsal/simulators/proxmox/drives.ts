import type { Vm } from "../../home/state";
import type { User } from "./access";
import { failure, wrongParameter } from "./errors";
import { isCdrom, newDisk, readNeeds } from "./needs";
import { bytes, isDrive, properties, propertyString, size, text, type Settings } from "./settings";
import { imageSize } from "./storage";
import type { World } from "./world";

type Parameters = Readonly<Record<string, string>>;

/** Throws unless the drives name datastores and images that can be used for them. */
export function checkStorage(world: World, host: string, parameters: Parameters): void {
  for (const [name, value] of drivesOf(parameters)) {
    const { file = "", "import-from": source } = properties(value, "file");
    const [, store] = newDisk.exec(file) ?? [];
    if (store !== undefined && !isCdrom(value) && !world.storage.store(host, store).content.includes("images"))
      throw wrongParameter("storage", `storage '${store}' does not support vm images`);
    if (source === undefined) continue;
    if (!source.includes(":")) throw failure("Only root can pass arbitrary filesystem paths.");
    world.storage.store(host, source.split(":")[0] ?? "");
    if (!source.includes(":import/"))
      throw wrongParameter(name, `${source} has wrong type - needs to be 'images' or 'import'`);
  }
}

/** Throws unless the token may read the volume. */
export function mayRead(user: User, id: string): void {
  if (user.may(`/storage/${id.split(":")[0]}`, "Datastore.Allocate")) return;
  for (const need of readNeeds(id)) user.pass(need);
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
      const [, store = "", gib = "0"] = newDisk.exec(text(drive.file)) ?? [];
      const [datastore = "", volume] = text(drive.file).split(":");
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
        const found = world.storage.size(vm, text(drive.file));
        if (found === 0) throw failure(`volume ${drive.file} does not exist`);
        drive.size = size(found);
      } else delete drive.size;
      drives[name] = propertyString(drive, "file");
    }
    return drives;
  } catch (error) {
    for (const id of made) world.storage.free(vm, id);
    throw error;
  }
}

/** Bytes of a drive as the machine keeps it. */
export function sizeOf(drive: string): number {
  return bytes(text(properties(drive, "file").size));
}

function drivesOf(parameters: Parameters): [string, string][] {
  return Object.entries(parameters)
    .filter(([name]) => isDrive(name))
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
}
