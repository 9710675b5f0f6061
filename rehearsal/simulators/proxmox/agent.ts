import { guestInstanceFile } from "../../home/proxmox";
import type { Vm } from "../../home/state";
import { cloudInitData } from "../../home/cloud-init";
import { failure } from "./errors";
import { current, isCloudInit, properties } from "./settings";
import { machine, unlocked, type Call } from "./world";

/** The machine, when its guest agent answers; throws what Proxmox says when it does not. */
function reached(call: Call): Vm {
  const vm = machine(call);
  if (current(vm, call.world.home).agent === undefined) throw failure("No QEMU guest agent configured");
  if (vm.status !== "running") throw failure(`VM ${vm.vmId} is not running`);
  if (call.world.home.guests[vm.vmId]?.agent !== true) throw failure("QEMU guest agent is not running");
  return vm;
}

/** `POST …/agent/ping`. */
export function ping(call: Call): unknown {
  reached(call);
  return { result: {} };
}

/** `GET …/agent/network-get-interfaces`. */
export function readInterfaces(call: Call): unknown {
  const vm = reached(call);
  const settings = current(vm, call.world.home);
  const cards = vm.macs.map((mac, index) => {
    const configured = properties(String(settings[`ipconfig${index}`] ?? ""), "ip").ip?.split("/") ?? [];
    const address = index === 0 ? (call.world.home.guests[vm.vmId]?.address ?? configured[0]) : configured[0];
    return link(`eth${index}`, mac.toLowerCase(), address, Number(configured[1] ?? 24));
  });
  return { result: [link("lo", "00:00:00:00:00:00", "127.0.0.1", 8), ...cards] };
}

function link(name: string, mac: string, address: string | undefined, prefix: number): unknown {
  const found = address ? [{ "ip-address": address, "ip-address-type": "ipv4", prefix }] : [];
  return { name, "hardware-address": mac, "ip-addresses": found };
}

/** `GET …/agent/file-read`. */
export function readFile(call: Call): unknown {
  const { world, parameters } = call;
  const vm = reached(call);
  const { file = "" } = parameters;
  const content = world.hooks.guestFile?.(vm, file) ?? known(call, vm, file);
  if (content === undefined)
    throw failure(`Agent error: failed to open file '${file}' (mode: 'r'): No such file or directory`);
  return { content, "bytes-read": Buffer.byteLength(content) };
}

function known({ world }: Call, { vmId }: Vm, file: string): string | undefined {
  const guest = world.home.guests[vmId];
  if (file === "/etc/ssh/ssh_host_ed25519_key.pub") return guest && `${guest.hostKey} root@guest\n`;
  return file === guestInstanceFile ? guest && `${guest.instance}\n` : undefined;
}

/** `GET …/cloudinit/dump`: what the drive will hold, made from what stands in the machine's file. */
export function dumpCloudInit(call: Call): string {
  const vm = machine(call);
  const settings = { ...current(vm, call.world.home) };
  const { type = "" } = call.parameters;
  const data = cloudInitData(settings, vm.vmId);
  if (type === "user" && settings.cipassword !== undefined && !call.user.may(`/vms/${vm.vmId}`, "VM.Config.Cloudinit"))
    return cloudInitData({ ...settings, cipassword: "**********" }, vm.vmId).user;
  return type === "user" ? data.user : type === "network" ? data.network : data.meta;
}

/** `GET …/cloudinit`: the settings that the drive is made from. */
export function readCloudInit(call: Call): unknown {
  const settings = current(machine(call), call.world.home);
  return Object.entries(settings)
    .filter(([key]) => isCloudInit(key))
    .map(([key, value]) => ({ key, value: key === "cipassword" ? "**********" : value }));
}

/** `PUT …/cloudinit`: writes the drive anew. A start does so too, and what `dump` answers is always made on the spot, so nothing is kept of it. */
export function writeCloudInit(call: Call): null {
  unlocked(machine(call));
  return null;
}
