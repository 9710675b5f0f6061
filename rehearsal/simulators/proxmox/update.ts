import type { Vm } from "../../home/state";
import { checkDevices, kept as keptAs, mayModify } from "./create";
import { checkStorage, makeDrives, sizeOf } from "./drives";
import { ApiError, failure, notSimulated, wrongParameter } from "./errors";
import { driveNeeds, isCdrom, isCloudInitDrive, resourceNeeds } from "./needs";
import {
  agentOf,
  bootOrder,
  bytes,
  current,
  digest,
  isCard,
  isCloudInit,
  isDrive,
  pending,
  properties,
  propertyString,
  size,
  text,
  write,
} from "./settings";
import { machine, unlocked, unprotected, type Call, type World } from "./world";

type Value = string | number;

/** Taken by a running machine without anything happening in it. */
const atOnce = new Set(
  "description hookscript lock migrate_downtime migrate_speed name onboot protection shares startup tags vmstatestorage cpuunits cpulimit tablet".split(
    " ",
  ),
);

/** What a disk must be unplugged for. */
const unchangeable = ["aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"];

/** `GET …/config`: with what waits for a restart, unless `current=1` asks for what runs. */
export function readConfig(call: Call): Record<string, unknown> {
  const vm = machine(call);
  const { home } = call.world;
  const found = call.parameters.current === "1" ? current(vm, home) : pending(vm, home);
  return { ...masked(found), digest: digest(vm, home) };
}

/** `GET …/pending`: every setting, with what will become of it. */
export function readPending(call: Call): Record<string, unknown>[] {
  const vm = machine(call);
  const now = { ...masked(current(vm, call.world.home)), digest: digest(vm, call.world.home) };
  const waiting = vm.pending ?? {};
  return [...new Set([...Object.keys(now), ...Object.keys(waiting)])].map((key) => ({
    key,
    ...(key in now && { value: (now as Record<string, Value>)[key] }),
    ...(key in waiting && (waiting[key] === null ? { delete: 1 } : { pending: waiting[key] })),
  }));
}

/** `PUT …/config`: what the machine can take while it runs, it takes; the rest waits for its next start. A stopped machine takes all of it. */
export async function updateConfig(call: Call): Promise<null> {
  const { world, user, node, vmId } = call;
  const { digest: expected, delete: unwanted = "", ...options } = call.parameters;
  for (const option of ["revert", "force", "skiplock"])
    if (options[option] !== undefined) throw notSimulated(`PUT …/config with ${option}`);
  const removed = unwanted.split(/[,; ]+/).filter(Boolean);
  if (removed.length + Object.keys(options).length === 0) throw failure("no options specified");
  const both = removed.find((option) => options[option] !== undefined);
  if (both !== undefined)
    throw wrongParameter("delete", `you can't use '-${both}' and -delete ${both}' at the same time`);
  mayModify(user, vmId, [...removed, ...Object.keys(options)]);
  for (const need of resourceNeeds(vmId, options)) user.pass(need);
  checkStorage(world, node, options);
  checkDevices(options);
  const vm = machine(call);
  if (expected !== undefined && expected !== digest(vm, world.home))
    throw failure("checksum mismatch (file change by other user?)");
  unlocked(vm);
  const { home } = world;
  const { memory: limit = 512 } = { ...pending(vm, home), ...options };
  if (options.balloon !== undefined && Number(options.balloon) > Number(limit))
    throw failure("balloon value too large (must be smaller than assigned memory)");

  const before = current(vm, home);
  const waiting: Record<string, Value | null> = { ...vm.pending };
  for (const option of removed) {
    const value = before[option] ?? waiting[option] ?? undefined;
    if (value === undefined) continue;
    mayUseDrive(call, option, value);
    if (isDrive(option)) unprotected(vm, `can't remove drive '${option}'`);
    withoutBoot(option, pending(vm, home).boot, waiting);
    if (before[option] === undefined) delete waiting[option];
    else waiting[option] = null;
  }
  for (const [option, value] of Object.entries(options)) {
    if (before[option] !== undefined) mayUseDrive(call, option, before[option]);
    mayUseDrive(call, option, value);
  }
  const drives = await makeDrives(world, vm, options, () => Promise.resolve());
  Object.assign(waiting, keptAs(options), drives);
  checkBoot(options.boot, { ...before, ...waiting });
  for (const [option, value] of Object.entries(waiting)) if (value === (before[option] ?? null)) delete waiting[option];
  apply(world, vm, waiting);
  return null;
}

function apply(world: World, vm: Vm, waiting: Record<string, Value | null>): void {
  const kept = { ...current(vm, world.home) };
  const errors: Record<string, string> = {};
  for (const [option, value] of Object.entries(waiting).sort()) {
    const old = kept[option];
    try {
      if (vm.status === "running" && !plugs(kept, option, value)) continue;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      errors[option] = `hotplug problem - ${error.message}`;
      continue;
    }
    delete waiting[option];
    if (value === null) delete kept[option];
    else kept[option] = value;
    detach(world, vm, kept, option, old, value);
  }
  if (Object.keys(waiting).length > 0) vm.pending = waiting;
  else delete vm.pending;
  write(vm, kept);
  if (Object.keys(errors).length > 0) throw new ApiError(400, "Parameter verification failed.", errors);
}

/** A disk that is taken off stays, as an unused one; an unused one that is removed goes for good, and so does the drive of cloud-init. */
function detach(
  world: World,
  vm: Vm,
  kept: Record<string, Value>,
  option: string,
  old: Value | undefined,
  value: Value | null,
): void {
  const { file = "" } = properties(text(old), "file");
  if (!file.includes(":")) return;
  if (/^unused\d+$/.test(option) || (value === null && isCloudInitDrive(file))) world.storage.free(vm, file);
  else if (isDrive(option) && properties(text(value), "file").file !== file) {
    let index = 0;
    while (kept[`unused${index}`] !== undefined) index += 1;
    world.storage.unused(vm, file);
    kept[`unused${index}`] = file;
  }
}

/** Whether a running machine takes the change; throws where it cannot be asked to. */
function plugs(now: Readonly<Record<string, Value>>, option: string, value: Value | null): boolean {
  const old = now[option];
  const { hotplug = "network,disk,usb" } = now;
  const features = String(hotplug).split(",");
  if (atOnce.has(option) || isCloudInit(option)) return true;
  if (isCard(option)) return features.includes("network");
  if (option === "memory" || option === "vcpus") return false;
  if (option === "balloon") return (old === 0) === (value === 0);
  if (option === "hotplug") return !/cpu|memory/.test(`${value},${features.join()}`);
  if (option === "agent") {
    const unlike = (text: Value | null | undefined): unknown => ({ ...agentOf(text), fstrim_cloned_disks: undefined });
    return old !== undefined && value !== null && JSON.stringify(unlike(old)) === JSON.stringify(unlike(value));
  }
  return isDrive(option) && drivePlugs(option, old, value, features.includes("disk"));
}

function drivePlugs(option: string, old: Value | undefined, value: Value | null, hotplug: boolean): boolean {
  const pluggable = hotplug && !/^(ide|sata)/.test(option);
  if (old === undefined || value === null) return pluggable;
  const [before, after] = [properties(String(old), "file"), properties(String(value), "file")];
  if ((before.media ?? "disk") !== (after.media ?? "disk")) throw failure("unable to change media type");
  if (isCdrom(String(old))) return true;
  if (before.file !== after.file) return hotplug;
  return unchangeable.every((property) => before[property] === after[property]);
}

function mayUseDrive({ user, vmId }: Call, option: string, value: Value): void {
  if (isDrive(option)) user.pass(driveNeeds(vmId, String(value)));
}

function withoutBoot(option: string, boot: Value | undefined, waiting: Record<string, Value | null>): void {
  const order = bootOrder(waiting.boot ?? boot);
  if (order.includes(option)) waiting.boot = `order=${order.filter((device) => device !== option).join(";")}`;
}

function checkBoot(boot: string | undefined, all: Readonly<Record<string, unknown>>): void {
  const missing = bootOrder(boot).find((device) => all[device] === undefined || all[device] === null);
  if (missing !== undefined) throw failure(`invalid bootorder: device '${missing}' does not exist'`);
}

/** `PUT …/resize`: a task, which refuses to make a disk smaller. */
export async function resizeDisk(call: Call): Promise<string> {
  const { world, user, node, vmId } = call;
  const { disk = "", size: wanted = "" } = call.parameters;
  return world.tasks.start(node, user.name, "resize", String(vmId), async () => {
    const vm = machine(call);
    unlocked(vm);
    const settings = current(vm, world.home);
    const value = settings[disk];
    if (value === undefined) throw failure(`disk '${disk}' does not exist`);
    if (isCdrom(String(value))) throw failure("you can't resize a cdrom");
    const { file = "", ...drive } = properties(String(value), "file");
    user.need(`/storage/${file.split(":")[0]}`, "Datastore.AllocateSpace");
    const now = sizeOf(String(value));
    const to = bytes(wanted.replace("+", "")) + (wanted.startsWith("+") ? now : 0);
    if (to < now) throw failure("shrinking disks is not supported");
    if (to === now) return;
    world.storage.grow(vm, file, now, to);
    write(vm, { ...settings, [disk]: propertyString({ ...drive, file, size: size(to) }, "file") });
  });
}

function masked(settings: Readonly<Record<string, Value>>): Record<string, Value> {
  return { ...settings, ...(settings.cipassword !== undefined && { cipassword: "**********" }) };
}
