import { createHash } from "node:crypto";
import { settingsOf } from "../../home/proxmox";
import type { HomeState, Vm } from "../../home/state";
import { diskId } from "./volumes";

/** A machine's settings, as they stand in its file. */
export type Settings = Record<string, string | number>;

const booleans = new Set(
  "acpi allow-ksm autostart ciupgrade freeze keephugepages kvm localtime numa onboot protection reboot tablet tdf template".split(
    " ",
  ),
);
const integers = new Set("balloon cores cpuunits migrate_speed shares smp sockets vcpus".split(" "));

/** A parameter as Proxmox keeps it and answers it again: flags as 0 or 1, whole numbers as such, everything else as text. */
export function typed(key: string, value: string): string | number {
  if (booleans.has(key)) return /^(1|on|yes|true)$/i.test(value) ? 1 : 0;
  return integers.has(key) ? Number.parseInt(value, 10) : value;
}

/** `a,b=c` as `{ <first>: "a", b: "c" }`. */
export function properties(text: string, first: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(",")
      .filter(Boolean)
      .map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [first, part] : [part.slice(0, at), part.slice(at + 1)];
      }),
  );
}

/** The other way round: the first without its name, the rest in the order of the alphabet. */
export function propertyString(values: Readonly<Record<string, string | undefined>>, first: string): string {
  const rest = Object.keys(values)
    .filter((key) => key !== first && values[key] !== undefined)
    .sort();
  return [values[first] ?? "", ...rest.map((key) => `${key}=${values[key]}`)].join(",");
}

/** A setting's text, empty when there is none. */
export function text(value: string | number | null | undefined): string {
  return value === undefined || value === null ? "" : String(value);
}

/** `order=scsi0;net0` as its devices. */
export function bootOrder(boot: string | number | null | undefined): string[] {
  const [, order = ""] = /order=([^,]*)/.exec(text(boot)) ?? [];
  return order.split(";").filter(Boolean);
}

/** `ip=192.168.10.21/24,gw=…` as address and prefix; empty without one. */
export function addressOf(ipconfig: string | number | null | undefined): string[] {
  const { ip = "" } = properties(text(ipconfig), "ip");
  return ip.split("/").filter(Boolean);
}

export function processors({ cores = 1, sockets = 1 }: Settings): number {
  return Number(cores) * Number(sockets);
}

export const isDrive = (key: string): boolean => /^(scsi|sata|ide|virtio)\d+$/.test(key);
export const isCard = (key: string): boolean => /^net\d+$/.test(key);
export const isCloudInit = (key: string): boolean =>
  /^(ipconfig\d+|cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys)$/.test(key);

/** `virtio=<MAC>,bridge=vmbr0` or `model=virtio,macaddr=<MAC>,bridge=vmbr0`; a card without an address gets one. */
export function card(text: string, random: () => string): Record<string, string> {
  const { model, macaddr, ...rest } = properties(text, "model");
  const short = Object.entries(rest).find(([key]) => /^(virtio|e1000|e1000e|rtl8139|vmxnet3)$/.test(key));
  if (short) delete rest[short[0]];
  return {
    ...rest,
    model: short?.[0] ?? model ?? "virtio",
    macaddr: (short?.[1] ?? macaddr ?? random()).toUpperCase(),
  };
}

export function cardString({ model = "", macaddr, ...rest }: Readonly<Record<string, string>>): string {
  return propertyString({ ...rest, model: `${model}=${macaddr}` }, "model");
}

/** The guest agent's settings; empty when it is not enabled. */
export function agentOf(value: string | number | null | undefined): Record<string, string> {
  const found = properties(text(value), "enabled");
  return found.enabled === "1" ? found : {};
}

const units = ["", "K", "M", "G", "T"];

/** Bytes of `40G`; without a unit they are bytes already. */
export function bytes(size: string): number {
  const [, number = "0", unit = ""] = /^(\d+(?:\.\d+)?)([KMGT]?)/.exec(size) ?? [];
  return Math.trunc(Number(number) * 1024 ** units.indexOf(unit));
}

/** The largest unit that leaves no rest. */
export function size(count: number): string {
  const unit = [4, 3, 2, 1].find((power) => count % 1024 ** power === 0) ?? 0;
  return `${count / 1024 ** unit}${units[unit]}`;
}

/** What the machine runs with: of one made by hand that the home tells little about, what follows from it. */
export function current(vm: Vm, home: HomeState): Settings {
  if (vm.config !== undefined) return vm.config;
  const stores = home.proxmox.datastores.filter(({ host, content }) => host === vm.host && content.includes("images"));
  const store = stores.find(({ content }) => !content.includes("import")) ?? stores[0];
  const disks = vm.disks.map((disk, index) => {
    const name = `vm-${vm.vmId}-disk-${index}`;
    return [`scsi${index}`, `${store ? diskId(store, vm.vmId, name) : `local-lvm:${name}`},size=${disk}G`];
  });
  const cards = vm.macs.map((mac, index) => [`net${index}`, `virtio=${mac},bridge=vmbr0`]);
  return {
    ...(Object.fromEntries([...disks, ...cards]) as Settings),
    boot: "order=scsi0",
    cores: 2,
    memory: String(vm.memory * 1024),
    name: vm.name,
    ostype: "l26",
    scsihw: "virtio-scsi-pci",
    sockets: 1,
    ...(vm.uuid !== "" && { smbios1: `uuid=${vm.uuid}` }),
    ...(vm.tags.length > 0 && { tags: vm.tags.join(";") }),
    ...(vm.protection && { protection: 1 }),
    ...(home.guests[vm.vmId]?.agent && { agent: "1" }),
  };
}

/** The same, with what waits for a restart. */
export function pending(vm: Vm, home: HomeState): Settings {
  return settingsOf({ ...vm, config: current(vm, home) });
}

/** Writes a machine's settings, and what the rest of the pretend home knows of them. */
export function write(vm: Vm, settings: Settings): void {
  const keys = (pattern: RegExp): string[] =>
    Object.keys(settings)
      .filter((key) => pattern.test(key))
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const drives = keys(/^(scsi|sata|ide|virtio)\d+$/).map((key) => properties(text(settings[key]), "file"));
  // A disk that is in use again is no longer an unused one.
  const used = drives.map(({ file }) => file);
  const kept = Object.entries(settings).filter(
    ([key, value]) => !key.startsWith("unused") || !used.includes(String(value)),
  );
  vm.config = Object.fromEntries(kept);
  vm.name = text(settings.name) || `VM ${vm.vmId}`;
  vm.tags = text(settings.tags).split(";").filter(Boolean);
  vm.macs = keys(/^net\d+$/).map((key) => text(card(text(settings[key]), () => "").macaddr));
  vm.protection = settings.protection === 1;
  vm.disks = drives.filter(({ media }) => media !== "cdrom").map((drive) => bytes(text(drive.size)) / 2 ** 30);
  vm.uuid = text(/uuid=([0-9a-f-]{36})/i.exec(text(settings.smbios1))?.[1]).toLowerCase();
  if (vm.status === "stopped") vm.memory = Number(text(settings.memory) || 512) / 1024;
}

/** Of the whole file, so that it changes with whatever is written. */
export function digest(vm: Vm, home: HomeState): string {
  return createHash("sha1")
    .update(JSON.stringify([current(vm, home), vm.pending ?? {}]))
    .digest("hex");
}
