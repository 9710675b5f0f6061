import { newGuest } from "../../home/guest";
import { boot, powerOff } from "../../home/proxmox";
import type { Vm } from "../../home/state";
import { failure } from "./errors";
import { addressOf, agentOf, bootOrder, current, processors, text, write } from "./settings";
import { sizeOf } from "./drives";
import { machine, unlocked, unprotected, type Call, type World } from "./world";
import type { Work } from "./tasks";

/** `GET …/status/current`. */
export function readStatus(call: Call): Record<string, unknown> {
  const vm = machine(call);
  const settings = current(vm, call.world.home);
  const on = vm.status === "running";
  return {
    ...statistics(vm, call.world),
    vmid: vm.vmId,
    name: vm.name,
    cpus: processors(settings),
    ha: { managed: 0 },
    qmpstatus: vm.status,
    ...(on && { pid: 100_000 + vm.vmId }),
    ...(agentOf(settings.agent).enabled !== undefined && { agent: 1 }),
    ...(settings.serial0 !== undefined && { serial: 1 }),
    ...(settings.tags !== undefined && { tags: settings.tags }),
    ...(settings.lock !== undefined && { lock: settings.lock }),
  };
}

/** What the lists show of a machine too. */
export function statistics(vm: Vm, world: World): Record<string, string | number> {
  const settings = current(vm, world.home);
  const [first = ""] = bootOrder(settings.boot);
  const none = { cpu: 0, disk: 0, diskread: 0, diskwrite: 0, netin: 0, netout: 0 };
  return {
    ...none,
    status: vm.status,
    maxmem: Math.round(vm.memory * 2 ** 30),
    maxdisk: sizeOf(text(settings[first])),
    mem: vm.status === "running" ? Math.round(vm.memory * 2 ** 29) : 0,
    uptime: vm.status === "running" ? 60 : 0,
  };
}

/** `POST …/status/start`. */
export async function startMachine(call: Call): Promise<string> {
  const { world } = call;
  return task(call, "qmstart", async ({ pause }) => {
    const vm = machine(call);
    unlocked(vm);
    if (vm.status === "running") throw failure(`VM ${vm.vmId} already running`);
    await pause(world.durations.start);
    await start(world, vm);
  });
}

/** `POST …/status/stop`: off at once, whatever it was doing; off already is fine. */
export async function stopMachine(call: Call): Promise<string> {
  return task(call, "qmstop", async ({ pause }) => {
    const vm = machine(call);
    if (vm.status === "stopped") return;
    unlocked(vm);
    await pause(call.world.durations.stop);
    await off(call.world, vm);
  });
}

/** `POST …/status/shutdown`: asks the guest; with `forceStop`, one that does not go off in time is stopped. */
export async function shutdownMachine(call: Call): Promise<string> {
  const { timeout = "60", forceStop } = call.parameters;
  return task(call, "qmshutdown", (work) => shutdown(call, work, Number(timeout), forceStop === "1"));
}

/** `POST …/status/reboot`: off and on again, so that it takes what waited. */
export async function rebootMachine(call: Call): Promise<string> {
  const { world } = call;
  const { timeout = "60" } = call.parameters;
  const vm = machine(call);
  if (vm.status === "stopped") throw failure(`VM ${vm.vmId} not running`);
  return task(call, "qmreboot", async (work) => {
    await shutdown(call, work, Number(timeout), false);
    await work.pause(world.durations.start);
    await start(world, vm);
  });
}

/** `DELETE /nodes/{node}/qemu/{vmid}`: with every disk that its settings name. */
export async function deleteMachine(call: Call): Promise<string> {
  const { world } = call;
  const check = (): Vm => {
    const vm = machine(call);
    unprotected(vm, `can't remove VM ${vm.vmId}`);
    if (vm.status === "running") throw failure(`VM ${vm.vmId} is running - destroy failed`);
    return vm;
  };
  check();
  return task(call, "qmdestroy", async ({ pause }) => {
    await pause(world.durations.delete);
    const vm = check();
    unlocked(vm);
    world.storage.freeAll(vm);
    world.home.proxmox.vms = world.home.proxmox.vms.filter((other) => other !== vm);
    delete world.home.guests[vm.vmId];
    await world.hooks.onDelete?.(vm);
  });
}

async function start(world: World, vm: Vm): Promise<void> {
  const [address = ""] = addressOf(current(vm, world.home).ipconfig0);
  world.home.guests[vm.vmId] ??= newGuest(vm.vmId, address);
  boot(world.home, vm);
  if (vm.config !== undefined) write(vm, vm.config);
  await world.hooks.onBoot?.(vm);
}

async function off(world: World, vm: Vm): Promise<void> {
  powerOff(world.home, vm);
  await world.hooks.onOff?.(vm);
}

async function shutdown(call: Call, { pause, print }: Work, timeout: number, force: boolean): Promise<void> {
  const { world } = call;
  const vm = machine(call);
  if (vm.status === "stopped") return;
  unlocked(vm);
  await pause(Math.min(world.durations.shutdown, timeout * 1000));
  if (world.durations.shutdown > timeout * 1000) {
    if (!force) throw failure("VM quit/powerdown failed - got timeout");
    print("VM still running - terminating now with SIGTERM");
  }
  await off(world, vm);
}

function task({ world, user, node, vmId }: Call, type: string, run: (work: Work) => Promise<void>): Promise<string> {
  return world.tasks.start(node, user.name, type, String(vmId), run);
}
