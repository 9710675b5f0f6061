import { randomBytes, randomUUID } from "node:crypto";
import type { Vm } from "../../home/state";
import type { User } from "./access";
import { checkStorage, makeDrives } from "./drives";
import { ApiError, failure, forbidden, notSimulated } from "./errors";
import { isCdrom, optionNeeds, resourceNeeds } from "./needs";
import { card, cardString, isCard, isDrive, typed, write, type Settings } from "./settings";
import type { Call } from "./world";

/** Throws unless the token may set, change or remove these options of a machine. */
export function mayModify(user: User, vmId: number, options: readonly string[]): void {
  for (const option of options) {
    if (/^(usb|hostpci)\d+$/.test(option)) throw notSimulated(option);
    const needs = optionNeeds(vmId, option);
    if (needs === undefined) throw failure(`only root can set '${option}' config`);
    for (const need of needs) user.pass(need);
  }
}

/** Throws unless the options are of those that a token may give: no devices of the host. */
export function checkDevices(options: Readonly<Record<string, string>>): void {
  const port = Object.keys(options).find((option) => /^serial\d+$/.test(option) && options[option] !== "socket");
  if (port !== undefined) throw failure(`only root can set '${port}' config for real devices`);
}

/** `POST /nodes/{node}/qemu`: a machine with its disks, off. */
export async function createMachine({ world, user, node, parameters }: Call): Promise<string> {
  const { vmid: id = "", pool, ...options } = parameters;
  const vmId = Number(id);
  for (const option of ["archive", "start", "unique", "force", "live-restore", "ha-managed", "storage"])
    if (options[option] !== undefined) throw notSimulated(`POST /nodes/{node}/qemu with ${option}`);
  if (pool !== undefined) throw forbidden(`pool '${pool}' does not exist`);
  if (!user.may(`/vms/${vmId}`, "VM.Allocate")) throw forbidden();
  for (const need of resourceNeeds(vmId, options)) user.pass(need);
  checkStorage(world, node, options);
  mayModify(user, vmId, Object.keys(options));
  checkDevices(options);
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
