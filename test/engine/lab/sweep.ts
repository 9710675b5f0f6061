import type { Fault, Logged } from "../../../rehearsal/simulators/server";
import type { GuestScript } from "../../../operations/clients";
import type { Drop } from "./guests";
import type { Lab } from "./lab";
import { LabStack, type Outcome } from "./stack";

/** One thing that goes wrong once in an `up`. */
export type Point =
  | {
      readonly kind: "request";
      readonly system: System;
      readonly request: string;
      readonly nth: number;
      readonly fault: Fault;
    }
  | { readonly kind: "ssh"; readonly script: GuestScript; readonly drop: Drop }
  /** The engine is killed once this resource is done. */
  | { readonly kind: "kill"; readonly resource: string };

export type System = "proxmox" | "rancher" | "kubernetes";

/** What is there in the end, without what differs from run to run (ids that were drawn, times). */
export interface Reached {
  readonly machines: unknown;
  readonly images: unknown;
  readonly members: unknown;
  readonly nodes: unknown;
  readonly resources: unknown;
}

/** What became of one point. */
export interface Survived {
  readonly point: string;
  /** The commands that it took, in order: `up`, then nothing but `cancel` and `up --refresh`. */
  readonly commands: readonly string[];
  /** Whether the fault was met at all. */
  readonly met: boolean;
  /** undefined: the same state as without the fault. */
  readonly problem: string | undefined;
}

/** More than this many times nobody types the same command. */
const attempts = 3;

/** A request by what it asks for; ids that are drawn anew in each run left out. */
export function requestOf({ method, path }: Pick<Logged, "method" | "path">): string {
  return `${method} ${path
    .replace("/api2/json", "")
    .replace(/UPID[^/]*/, "UPID")
    .replace(/c-[^/]*:m-[^/]*/, "NODE")}`;
}

/** Runs `up` with one thing going wrong, then the documented commands, until it is there or nobody would go on. */
export async function survive(lab: Lab, stack: LabStack, point: Point): Promise<Omit<Survived, "problem">> {
  let met = false;
  const once = <T>(value: T): T | undefined => {
    if (met) return undefined;
    met = true;
    return value;
  };
  const simulators = { proxmox: lab.proxmox, rancher: lab.cluster.rancher, kubernetes: lab.cluster.kubernetes };
  if (point.kind === "request") {
    let seen = 0;
    simulators[point.system].fault = (request) => {
      if (requestOf(request) !== point.request || met) return undefined;
      seen += 1;
      return seen === point.nth ? once(point.fault) : undefined;
    };
  }
  if (point.kind === "ssh") lab.guests.drop = ({ script }) => (script === point.script ? once(point.drop) : undefined);
  const commands = ["up"];
  let outcome = await stack.up({ parallel: 40 }, ({ resOutputsEvent }) => {
    if (point.kind === "kill" && resOutputsEvent?.metadata.urn.endsWith(`::${point.resource}`) && once(true))
      LabStack.kill();
  });
  if (point.kind === "kill") {
    await stack.cancel();
    commands.push("cancel");
    if (outcome.ok) outcome = { ...outcome, ok: false };
  }
  while (!outcome.ok && commands.length <= attempts) {
    outcome = await stack.up({ parallel: 40, refresh: true });
    commands.push("up --refresh");
  }
  for (const simulator of Object.values(simulators)) simulator.fault = () => undefined;
  lab.guests.drop = () => undefined;
  return { point: named(point), commands: outcome.ok ? commands : [...commands, said(outcome)], met };
}

/** What a failed command said last, for the report. */
function said({ text }: Outcome): string {
  return `still failing: ${text.trim().split("\n").slice(-15).join("\n")}`;
}

/** A point as the report names it. */
export function named(point: Point): string {
  if (point.kind === "kill") return `engine killed after ${point.resource}`;
  if (point.kind === "ssh") return `SSH dropped ${point.drop} ${point.script}`;
  const { fault } = point;
  const what =
    fault.kind === "slow"
      ? `${fault.milliseconds} ms late`
      : `${fault.kind === "reset" ? "connection reset" : fault.status} ${fault.when} it was done`;
  return `${point.system}: ${point.request} (${point.nth}): ${what}`;
}

/** What is where now. */
export async function reached(lab: Lab, stack: LabStack): Promise<Reached> {
  const { proxmox, rancher, kubernetes } = lab.home;
  const drawn = new Set(["id", "uuid", "smbios1", "vmgenid", "meta", "digest"]);
  const without = (object: object): object =>
    Object.fromEntries(Object.entries(object).filter(([key]) => !drawn.has(key)));
  const state = [...(await stack.resources())].map(([name, kept]) => [name, kept.type, known(kept.outputs)]);
  return {
    machines: [...proxmox.vms]
      .sort((a, b) => a.vmId - b.vmId)
      .map((vm) => ({ ...without(vm), config: without(vm.config ?? {}) })),
    images: proxmox.images,
    members: [...rancher.nodes].sort((a, b) => a.vmId - b.vmId).map(without),
    nodes: kubernetes.objects
      .filter(({ kind }) => kind === "Node")
      .map((node) => [node.metadata?.name, node.metadata?.labels, "spec" in node ? node.spec : undefined])
      .sort(),
    resources: state.sort(([a], [b]) => String(a).localeCompare(String(b))),
  };
}

/** The outputs that a second run would have the same: not what is drawn, not secrets. */
function known(outputs: Record<string, unknown> | undefined): unknown {
  if (!outputs || "stdin" in outputs) return undefined;
  const { disks, memory, name, tags, started } = outputs;
  return { disks, memory, name, tags, started };
}
