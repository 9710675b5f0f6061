import { uuidOf } from "../home/build";
import { newGuest } from "../home/guest";
import { boot } from "../home/proxmox";
import type { Model } from ".";

/** A download of 400 MB at home speed, and the import of its disk. */
const seconds = { download: 40, create: 25 };

/** `download.File`: the image is there afterwards; one that is already there is refused, as the provider does. */
export const debianImage: Model = async ({ inputs, home, clock }) => {
  const [host, datastore, file] = [String(inputs.nodeName), String(inputs.datastoreId), String(inputs.fileName)];
  if (
    home.proxmox.images.some((image) => image.host === host && image.datastore === datastore && image.file === file)
  ) {
    throw new Error(`refusing to override existing file '${datastore}:import/${file}'`);
  }
  await clock.sleep(seconds.download * 1000);
  home.proxmox.images.push({ host, datastore, file });
  return { id: `${datastore}:import/${file}` };
};

/** `VmLegacy`: the machine runs afterwards, its guest without an agent and with a host key of its own. */
export const virtualMachine: Model = async ({ inputs, home, clock }) => {
  const vmId = Number(inputs.vmId);
  // The real provider would silently adopt it; the guard has to come first, so here it is an error.
  if (home.proxmox.vms.some((vm) => vm.vmId === vmId))
    throw new Error(`unable to create VM ${vmId} - VM ${vmId} already exists`);
  await clock.sleep(seconds.create * 1000);
  const disks = records(inputs.disks);
  const cards = records(inputs.networkDevices);
  const memory = record(inputs.memory);
  const addresses = records(record(inputs.initialization).ipConfigs).map((config) =>
    String(record(config.ipv4).address),
  );
  home.proxmox.vms.push({
    vmId,
    name: String(inputs.name),
    host: String(inputs.nodeName),
    status: "running",
    tags: Array.isArray(inputs.tags) ? inputs.tags.map(String) : [],
    macs: cards.map((card) => String(card.macAddress)),
    protection: inputs.protection === true,
    disks: disks.map((disk) => Number(disk.size)),
    memory: Number(memory.dedicated) / 1024,
    uuid: uuidOf(vmId, home.kubernetes.counter + 1),
  });
  home.guests[vmId] = newGuest(vmId, addresses[0]?.split("/")[0] ?? "");
  const made = home.proxmox.vms.find((vm) => vm.vmId === vmId);
  if (made) boot(home, made);
  return { id: String(vmId), outputs: { macAddresses: cards.map((card) => card.macAddress), ipv4Addresses: [] } };
};

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(record) : [];
}
