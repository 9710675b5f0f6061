import type { HomeState, Vm } from "../../home/state";
import type { User } from "./access";
import { failure } from "./errors";
import type { Storage } from "./storage";
import type { Tasks } from "./tasks";

/** Milliseconds that each kind of task takes. */
export interface Durations {
  readonly download: number;
  /** Of each disk. Imports on one host come one after another. */
  readonly import: number;
  readonly start: number;
  readonly stop: number;
  /** Until the guest is off. Longer than what the request allows: it fails, or ends in a hard stop where that was asked for. */
  readonly shutdown: number;
  readonly delete: number;
}

/** What the pretend guests do beside what the home says of them. */
export interface Hooks {
  /** The machine runs; the task that started it ends after this. */
  readonly onBoot?: (vm: Vm) => Promise<void>;
  /** The machine is off. */
  readonly onOff?: (vm: Vm) => Promise<void>;
  /** The machine is gone. */
  readonly onDelete?: (vm: Vm) => Promise<void>;
  /** A file that the guest agent finds, beside the host key and cloud-init's instance id. */
  readonly guestFile?: (vm: Vm, path: string) => string | undefined;
}

/** What every answer is made from. */
export interface World {
  readonly home: HomeState;
  readonly tasks: Tasks;
  readonly storage: Storage;
  readonly hosts: readonly string[];
  readonly durations: Durations;
  readonly hooks: Hooks;
}

/** A request, as a method of the API sees it. */
export interface Call {
  readonly world: World;
  readonly user: User;
  /** From the query and the body. */
  readonly parameters: Readonly<Record<string, string>>;
  /** From the path; empty where that has none. */
  readonly node: string;
  readonly storage: string;
  readonly vmId: number;
}

/** The machine of `{node}` and `{vmid}`. Throws what Proxmox says of one that is not there, on that host. */
export function machine({ world, node, vmId }: Call): Vm {
  const vm = world.home.proxmox.vms.find((other) => other.host === node && other.vmId === vmId);
  if (!vm) throw failure(`Configuration file 'nodes/${node}/qemu-server/${vmId}.conf' does not exist`);
  return vm;
}

/** Throws for a machine that a task holds. */
export function unlocked(vm: Vm): void {
  if (vm.config?.lock !== undefined) throw failure(`VM is locked (${vm.config.lock})`);
}

/** Throws when the machine must not lose anything: `can't remove VM 201 - protection mode enabled`. */
export function unprotected(vm: Vm, what: string): void {
  if (vm.protection) throw failure(`${what} - protection mode enabled`);
}
