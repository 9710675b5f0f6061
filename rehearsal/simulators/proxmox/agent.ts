import { guestInstanceFile } from "../../home/proxmox";
import type { Guest, Vm } from "../../home/state";
import { cloudInitData } from "../../home/cloud-init";
import { failure } from "./errors";
import { addressOf, current, isCloudInit } from "./settings";
import { machine, unlocked, type Call } from "./world";

/** The machine, when its guest agent answers; throws what Proxmox says when it does not. */
function reached(call: Call): { readonly vm: Vm; readonly guest: Guest } {
  const vm = machine(call);
  const guest = call.world.home.guests[vm.vmId];
  if (current(vm, call.world.home).agent === undefined) throw failure("No QEMU guest agent configured");
  if (vm.status !== "running") throw failure(`VM ${vm.vmId} is not running`);
  if (guest?.agent !== true) throw failure("QEMU guest agent is not running");
  return { vm, guest };
}

/** `POST …/agent/ping`. */
export function ping(call: Call): unknown {
  reached(call);
  return { result: {} };
}

/** `GET …/agent/network-get-interfaces`. */
export function readInterfaces(call: Call): unknown {
  const { vm, guest } = reached(call);
  const settings = current(vm, call.world.home);
  const cards = vm.macs.map((mac, index) => {
    const [address, prefix = "24"] = addressOf(settings[`ipconfig${index}`]);
    return link(`eth${index}`, mac.toLowerCase(), index === 0 ? guest.address : address, Number(prefix));
  });
  return { result: [link("lo", "00:00:00:00:00:00", "127.0.0.1", 8), ...cards] };
}

function link(name: string, mac: string, address: string | undefined, prefix: number): unknown {
  const found = address ? [{ "ip-address": address, "ip-address-type": "ipv4", prefix }] : [];
  return { name, "hardware-address": mac, "ip-addresses": found };
}

/** `GET …/agent/file-read`. */
export function readFile(call: Call): unknown {
  const { vm, guest } = reached(call);
  const { file = "" } = call.parameters;
  const known: Readonly<Record<string, string>> = {
    "/etc/ssh/ssh_host_ed25519_key.pub": `${guest.hostKey} root@guest\n`,
    [guestInstanceFile]: `${guest.instance}\n`,
  };
  const content = call.world.hooks.guestFile?.(vm, file) ?? known[file];
  if (content === undefined)
    throw failure(`Agent error: failed to open file '${file}' (mode: 'r'): No such file or directory`);
  return { content, "bytes-read": Buffer.byteLength(content) };
}

/** `GET …/cloudinit/dump`: what the drive will hold, made from what stands in the machine's file. */
export function dumpCloudInit(call: Call): string {
  const vm = machine(call);
  const { user, network, meta } = cloudInitData(current(vm, call.world.home), vm.vmId);
  const { type } = call.parameters;
  // To see the password takes a privilege of its own.
  const shown = call.user.may(`/vms/${vm.vmId}`, "VM.Config.Cloudinit")
    ? user
    : user.replace(/^password: .*$/m, "password: **********");
  return type === "user" ? shown : type === "network" ? network : meta;
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
