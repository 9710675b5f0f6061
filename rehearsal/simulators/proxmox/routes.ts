import type { Check } from "./access";
import { dumpCloudInit, ping, readCloudInit, readFile, readInterfaces, writeCloudInit } from "./agent";
import { listMachines, listNodes, listPools, listResources, nextId, readPermissions, version } from "./cluster";
import { deleteVolume, download, listContent, listStores, readStore, readUrl, readVolume } from "./content";
import { createMachine } from "./create";
import { deleteMachine, readStatus, rebootMachine, shutdownMachine, startMachine, stopMachine } from "./power";
import { statusOf, type Task } from "./tasks";
import { readConfig, readPending, resizeDisk, updateConfig } from "./update";
import type { Call } from "./world";

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With `{name}` for a segment that is a parameter, as in Proxmox's API schema. */
  readonly path: string;
  /** What the token must have before the method looks at anything; the methods ask for more. */
  readonly check: Check;
  readonly answer: (call: Call) => unknown;
}

const vm = (...privileges: readonly string[]): Check => ["perm", "/vms/{vmid}", privileges];
const oneOf = (path: string, ...privileges: readonly string[]): Check => ["perm", path, privileges, "any"];
const audit = vm("VM.Audit");
const power = vm("VM.PowerMgmt");
const guest = (privilege: string): Check => oneOf("/vms/{vmid}", privilege, "VM.GuestAgent.Unrestricted");
const store = oneOf("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace");
const network: Check = [
  "or",
  ["perm", "/", ["Sys.Audit", "Sys.Modify"]],
  ["perm", "/nodes/{node}", ["Sys.AccessNetwork"]],
];
const config = ["Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit"];

const machine = "/nodes/{node}/qemu/{vmid}";
const storage = "/nodes/{node}/storage/{storage}";
const task = "/nodes/{node}/tasks/{upid}";

/** Everything that is answered. */
export const routes: readonly Route[] = [
  { method: "GET", path: "/version", check: "all", answer: () => version },
  { method: "GET", path: "/access/permissions", check: "all", answer: readPermissions },
  { method: "GET", path: "/cluster/resources", check: "all", answer: listResources },
  { method: "GET", path: "/cluster/nextid", check: "all", answer: nextId },
  { method: "GET", path: "/pools", check: "all", answer: listPools },
  { method: "GET", path: "/nodes", check: "all", answer: listNodes },
  { method: "GET", path: "/nodes/{node}/query-url-metadata", check: network, answer: readUrl },
  { method: "GET", path: "/nodes/{node}/storage", check: "all", answer: listStores },
  { method: "GET", path: `${storage}/status`, check: store, answer: readStore },
  { method: "GET", path: `${storage}/content`, check: store, answer: listContent },
  { method: "GET", path: `${storage}/content/{volume}`, check: "all", answer: readVolume },
  { method: "DELETE", path: `${storage}/content/{volume}`, check: "all", answer: deleteVolume },
  {
    method: "POST",
    path: `${storage}/download-url`,
    check: ["and", ["perm", "/storage/{storage}", ["Datastore.AllocateTemplate"]], network],
    answer: download,
  },
  { method: "GET", path: `${task}/status`, check: "all", answer: (call) => statusOf(taskOf(call, "Sys.Audit")) },
  { method: "GET", path: `${task}/log`, check: "all", answer: readLog },
  { method: "DELETE", path: task, check: "all", answer: stopTask },
  { method: "GET", path: "/nodes/{node}/qemu", check: "all", answer: listMachines },
  { method: "POST", path: "/nodes/{node}/qemu", check: "all", answer: createMachine },
  { method: "DELETE", path: machine, check: vm("VM.Allocate"), answer: deleteMachine },
  { method: "GET", path: `${machine}/config`, check: audit, answer: readConfig },
  {
    method: "PUT",
    path: `${machine}/config`,
    check: oneOf("/vms/{vmid}", ...config.map((part) => `VM.Config.${part}`)),
    answer: updateConfig,
  },
  { method: "GET", path: `${machine}/pending`, check: audit, answer: readPending },
  { method: "PUT", path: `${machine}/resize`, check: vm("VM.Config.Disk"), answer: resizeDisk },
  { method: "GET", path: `${machine}/cloudinit`, check: audit, answer: readCloudInit },
  { method: "PUT", path: `${machine}/cloudinit`, check: vm("VM.Config.Cloudinit"), answer: writeCloudInit },
  { method: "GET", path: `${machine}/cloudinit/dump`, check: audit, answer: dumpCloudInit },
  { method: "GET", path: `${machine}/status/current`, check: audit, answer: readStatus },
  { method: "POST", path: `${machine}/status/start`, check: power, answer: startMachine },
  { method: "POST", path: `${machine}/status/stop`, check: power, answer: stopMachine },
  { method: "POST", path: `${machine}/status/shutdown`, check: power, answer: shutdownMachine },
  { method: "POST", path: `${machine}/status/reboot`, check: power, answer: rebootMachine },
  {
    method: "GET",
    path: `${machine}/agent/network-get-interfaces`,
    check: guest("VM.GuestAgent.Audit"),
    answer: readInterfaces,
  },
  { method: "POST", path: `${machine}/agent/ping`, check: guest("VM.GuestAgent.Audit"), answer: ping },
  { method: "GET", path: `${machine}/agent/file-read`, check: guest("VM.GuestAgent.FileRead"), answer: readFile },
];

/** The task, when it is the caller's own or the caller may see everybody's. */
function taskOf({ world, user, node, parameters: { upid = "" } }: Call, privilege: string): Task {
  const found = world.tasks.find(node, upid);
  const owner = (name: string): string | undefined => name.split("!")[0];
  if (found.user !== user.name && found.user !== owner(user.name)) user.need(`/nodes/${node}`, privilege);
  return found;
}

function readLog(call: Call): unknown {
  const { start = "0", limit = "50" } = call.parameters;
  const lines = taskOf(call, "Sys.Audit").log.map((t, index) => ({ n: index + 1, t }));
  return lines.slice(Number(start), Number(start) + Number(limit));
}

function stopTask(call: Call): null {
  taskOf(call, "Sys.Modify").stop();
  return null;
}
