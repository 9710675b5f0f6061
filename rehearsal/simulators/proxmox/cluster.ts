import { failure, wrongParameter } from "./errors";
import { statistics } from "./power";
import { current, processors } from "./settings";
import { typeOf } from "./volumes";
import type { Call } from "./world";

/** The release whose words and privileges this is: the first with its own privileges for the guest agent is 9.0. */
export const version = { version: "9.1.4", release: "9.1", repoid: "5ac30304265fbd8e" };

/** `GET /nodes`. */
export function listNodes({ world }: Call): unknown {
  return world.hosts.map((node) => ({ node, status: "online" }));
}

/** `GET /cluster/resources`: what the token may see. */
export function listResources({ world, user, parameters: { type } }: Call): unknown {
  const machines = world.home.proxmox.vms
    .filter(({ vmId }) => user.may(`/vms/${vmId}`, "VM.Audit"))
    .map((vm) => {
      const settings = current(vm, world.home);
      const { tags, lock } = settings;
      return {
        ...statistics(vm, world),
        ...{ id: `qemu/${vm.vmId}`, type: "qemu", vmid: vm.vmId, name: vm.name, node: vm.host, template: 0 },
        maxcpu: processors(settings),
        ...(tags !== undefined && { tags }),
        ...(lock !== undefined && { lock }),
      };
    });
  const stores = world.home.proxmox.datastores
    .filter(({ name }) => user.may(`/storage/${name}`, "Datastore.Audit"))
    .map((store) => ({
      ...{ id: `storage/${store.host}/${store.name}`, type: "storage", storage: store.name, node: store.host },
      ...{ content: store.content.join(","), plugintype: typeOf(store), shared: 0 },
      status: store.active ? "available" : "unknown",
    }));
  const nodes = world.hosts.map((node) => ({ id: `node/${node}`, type: "node", node, status: "online" }));
  const all: Readonly<Record<string, readonly unknown[]>> = { vm: machines, storage: stores, node: nodes, sdn: [] };
  return type === undefined ? Object.values(all).flat() : (all[type] ?? []);
}

/** `GET /cluster/nextid`: a free id, or whether this one is; machines that the token cannot see count too. */
export function nextId({ world, parameters: { vmid } }: Call): number {
  const taken = new Set(world.home.proxmox.vms.map(({ vmId }) => vmId));
  if (vmid !== undefined && taken.has(Number(vmid))) throw wrongParameter("vmid", `VM ${vmid} already exists`);
  let free = Number(vmid ?? 100);
  while (taken.has(free)) free += 1;
  return free;
}

/** `GET /nodes/{node}/qemu`. */
export function listMachines({ world, user, node }: Call): unknown {
  return world.home.proxmox.vms
    .filter((vm) => vm.host === node && user.may(`/vms/${vm.vmId}`, "VM.Audit"))
    .map((vm) => ({ ...statistics(vm, world), vmid: vm.vmId, name: vm.name }));
}

/** `GET /pools`: there are none. */
export function listPools({ parameters: { poolid } }: Call): unknown {
  if (poolid !== undefined) throw failure(`pool '${poolid}' does not exist`);
  return [];
}

/** `GET /access/permissions`: by path, each privilege with whether it holds below. */
export function readPermissions({ user, parameters: { path } }: Call): unknown {
  const paths = (path === undefined ? user.paths : [path]).map((found) => [
    found,
    user.privileges(found) ?? everything,
  ]);
  return Object.fromEntries(
    (paths as [string, readonly string[]][])
      .filter(([, held]) => held.length > 0)
      .map(([found, held]) => [found, Object.fromEntries(held.map((privilege) => [privilege, 1]))]),
  );
}

/** Of the administrator: what this API asks for anywhere, and a little of what it does not. */
const everything = [
  ...["Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"],
  ...["Permissions.Modify", "Pool.Allocate", "Pool.Audit", "SDN.Use"],
  ...["Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Modify", "VM.Allocate", "VM.Audit", "VM.Clone"],
  ...["CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options"].map((part) => `VM.Config.${part}`),
  ...["Audit", "FileRead", "FileSystemMgmt", "FileWrite", "Unrestricted"].map((part) => `VM.GuestAgent.${part}`),
  ...["VM.Migrate", "VM.PowerMgmt", "VM.Snapshot"],
];
