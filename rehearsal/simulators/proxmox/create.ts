import { randomBytes, randomUUID } from "node:crypto";
import type { Vm } from "../../home/state";
import type { User } from "./access";
import { isCdrom, makeDrives, mayUseStorage } from "./drives";
import { ApiError, failure, forbidden, notSimulated } from "./errors";
import { card, cardString, isCard, isCloudInit, isDrive, properties, typed, write, type Settings } from "./settings";
import type { Call } from "./world";

/** Which privilege on the machine an option needs. */
const privilegeOf: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({
    "VM.Config.CPU": "cores cpu cpulimit cpuunits numa smp sockets vcpus",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0",
    "VM.Config.Options":
      "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot ostype protection reboot startdate startup tdf template",
    "VM.PowerMgmt": "freeze",
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
  }).flatMap(([privilege, options]) => options.split(" ").map((option) => [option, privilege])),
);

/** Throws unless the token may set, change or remove these options of a machine. What depends on a value is asked elsewhere. */
export function mayModify(user: User, vmId: number, options: readonly string[]): void {
  const path = `/vms/${vmId}`;
  for (const option of options) {
    if (isDrive(option) || option === "tags" || /^(unused|serial|usb|hostpci)\d+$/.test(option)) continue;
    const privilege = /^numa\d+$/.test(option) ? "VM.Config.CPU" : privilegeOf[option];
    if (isCard(option)) user.need(path, "VM.Config.Network");
    else if (isCloudInit(option)) user.needAny(path, "VM.Config.Cloudinit", "VM.Config.Network");
    else if (privilege !== undefined) user.need(path, privilege);
    else throw failure(`only root can set '${option}' config`);
    // The order in which machines start belongs to the host.
    if (option === "startup") user.need("/", "Sys.Modify");
  }
}

/** Throws unless the token may plug cards into these bridges; a VLAN on one is a path of its own. */
export function mayUseBridges(user: User, parameters: Readonly<Record<string, string>>): void {
  for (const [option, value] of Object.entries(parameters).sort()) {
    const { bridge, tag } = isCard(option) ? properties(value, "model") : {};
    if (bridge !== undefined) user.need(`/sdn/zones/localnetwork/${bridge}${tag ? `/${tag}` : ""}`, "SDN.Use");
  }
}

/** `POST /nodes/{node}/qemu`: a machine with its disks, off. */
export async function createMachine({ world, user, parameters }: Call): Promise<string> {
  const { node = "", vmid: id = "", pool, ...options } = parameters;
  const vmId = Number(id);
  for (const option of ["archive", "start", "unique", "force", "live-restore", "ha-managed", "storage"])
    if (options[option] !== undefined) throw notSimulated(`POST /nodes/{node}/qemu with ${option}`);
  if (pool !== undefined) throw forbidden(`pool '${pool}' does not exist`);
  if (!user.may(`/vms/${vmId}`, "VM.Allocate")) throw forbidden();
  mayUseStorage(world, node, vmId, user, options);
  mayModify(user, vmId, Object.keys(options));
  mayUseDevices(user, vmId, options);
  mayUseBridges(user, options);
  const refusal = `unable to create VM ${vmId} -`;
  const taken = world.home.proxmox.vms.find((other) => other.vmId === vmId);
  if (taken) throw failure(`${refusal} VM ${vmId} already exists on node '${taken.host}'`);
  const vm: Vm = {
    ...{ vmId, host: node, name: `VM ${vmId}`, status: "stopped", uuid: "", config: { lock: "create" } },
    ...{ tags: [], macs: [], protection: false, disks: [], memory: 0.5 },
  };
  world.home.proxmox.vms.push(vm);
  return world.tasks.start(node, user.name, "qmcreate", id, async ({ pause, print }) => {
    try {
      const drives = await makeDrives(world, vm, options, pause);
      for (const [name, drive] of Object.entries(drives)) print(`${name}: successfully created disk '${drive}'`);
      write(vm, completed({ ...kept(options), ...drives }));
    } catch (error) {
      world.home.proxmox.vms = world.home.proxmox.vms.filter((other) => other !== vm);
      if (error instanceof ApiError) throw failure(`${refusal} ${error.message}`);
      throw error;
    }
  });
}

/** Serial ports and tags, whose privilege depends on their value. */
export function mayUseDevices(user: User, vmId: number, options: Readonly<Record<string, string>>): void {
  for (const [option, value] of Object.entries(options)) {
    if (/^serial\d+$/.test(option)) {
      if (value !== "socket") throw failure(`only root can set '${option}' config for real devices`);
      user.need(`/vms/${vmId}`, "VM.Config.HWType");
    }
    if (/^(usb|hostpci)\d+$/.test(option)) throw notSimulated(option);
    if (option === "tags") user.need(`/vms/${vmId}`, "VM.Config.Options");
  }
}

/** Options as the machine keeps them. */
export function kept(options: Readonly<Record<string, string>>): Settings {
  return Object.fromEntries(
    Object.entries(options).map(([option, value]) => [
      option,
      isCard(option) ? cardString(card(value, randomMac)) : option === "tags" ? tagList(value) : typed(option, value),
    ]),
  );
}

/** What Proxmox adds to a new machine. */
function completed(given: Settings): Settings {
  const drives = Object.keys(given).filter(isDrive).sort();
  const disk = drives.find((name) => !isCdrom(String(given[name])));
  const devices = [disk, drives.find((name) => isCdrom(String(given[name]))), Object.keys(given).find(isCard)];
  return {
    boot: `order=${devices.filter((device) => device !== undefined).join(";")}`,
    smbios1: `uuid=${randomUUID()}`,
    vmgenid: randomUUID(),
    ...given,
    meta: `creation-qemu=10.1.2,ctime=${Math.floor(Date.now() / 1000)}`,
  };
}

/** Sorted, in lower case, each once. */
function tagList(tags: string): string {
  return [
    ...new Set(
      tags
        .toLowerCase()
        .split(/[,; ]+/)
        .filter(Boolean),
    ),
  ]
    .sort()
    .join(";");
}

/** In Proxmox's own range. */
function randomMac(): string {
  const [a, b, c] = [...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `BC:24:11:${a}:${b}:${c}`;
}
