import { isDeepStrictEqual } from "node:util";
import type { EngineEvent } from "@pulumi/pulumi/automation";
import type { Fault, Logged, Simulator } from "../../../rehearsal/simulators/server";
import type { GuestScript } from "../../../operations/clients";
import type { Drop } from "./guests";
import type { Lab } from "./lab";
import { LabStack } from "./stack";

export type System = "proxmox" | "rancher" | "kubernetes";

/** What goes wrong in an `up`, and in the commands after it. */
export type Trouble =
  /** One request, and after it the same one of each further command, until every fault was met. */
  | {
      readonly kind: "request";
      readonly system: System;
      readonly request: string;
      readonly nth: number;
      readonly faults: readonly Fault[];
    }
  /** Every request to Proxmox, each once: what makes nothing fail need not be tried one by one. */
  | { readonly kind: "everywhere"; readonly requests: ReadonlySet<string>; readonly fault: Fault }
  | { readonly kind: "ssh"; readonly script: GuestScript; readonly drop: Drop }
  /** The engine is killed once this resource is done. */
  | { readonly kind: "kill"; readonly resource: string };

/** What is there in the end, without what differs from run to run (ids that were drawn, times). */
export interface Reached {
  readonly machines: unknown;
  readonly images: unknown;
  readonly members: unknown;
  readonly nodes: unknown;
  readonly resources: unknown;
}

/** What became of some trouble. */
export interface Survived {
  readonly trouble: string;
  /** How many faults it stands for. */
  readonly points: number;
  /** The commands that it took, in order: `up`, then nothing but `cancel`, `refresh` and `up --refresh`. */
  readonly commands: readonly string[];
  /** undefined: the same state as without it. */
  readonly problem: string | undefined;
}

/** Three faults in a row and what comes after them; more often nobody types the same command. */
const attempts = 5;

/** A request by what it asks for; ids that are drawn anew in each run left out. */
export function requestOf({ method, path }: Pick<Logged, "method" | "path">): string {
  return `${method} ${path
    .replace("/api2/json", "")
    .replace(/UPID[^/]*/, "UPID")
    .replace(/c-[^/]*:m-[^/]*/, "NODE")}`;
}

/** Where a sweep starts from and what it must reach. */
export interface Course {
  readonly lab: Lab;
  readonly stack: LabStack;
  /** Puts everything back to where it starts. */
  readonly back: () => Promise<void>;
  readonly start: Reached;
  readonly goal: Reached;
}

/** Runs `up` with trouble, then the documented commands, until it is there or nobody would go on. */
export async function survive(course: Course, trouble: Trouble): Promise<Survived> {
  const { lab, stack } = course;
  const points = pointsOf(trouble);
  const commands: string[] = [];
  const injected = new Injector(lab, trouble);
  try {
    while (injected.count < points) {
      const before = injected.count;
      await course.back();
      const problem = await once(course, injected, commands);
      if (problem !== undefined) return { trouble: named(trouble), points, commands, problem };
      if (injected.count === before)
        return { trouble: named(trouble), points, commands, problem: `met ${before} of ${points} faults` };
    }
    return { trouble: named(trouble), points, commands, problem: undefined };
  } finally {
    injected.stop();
    await stack.cancel();
  }
}

/** From the start to the goal, with as much of the trouble as there is to meet. Returns what is wrong in the end. */
async function once(course: Course, injected: Injector, commands: string[]): Promise<string | undefined> {
  const { lab, stack } = course;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    commands.push(attempt === 0 ? "up" : "up --refresh");
    const killed = injected.next();
    const outcome = await stack.up({ parallel: 40, refresh: attempt > 0 }, killed);
    if (injected.killed) {
      commands.push("cancel");
      await stack.cancel();
    } else if (outcome.ok) return settled(course, commands);
    // Nothing was touched: the same command is the one that reached the goal.
    if (injected.done && difference(course.start, await reached(lab, stack)) === undefined) return undefined;
    if (attempt === attempts - 1) return `still failing: ${outcome.text.trim().split("\n").slice(-15).join("\n")}`;
  }
  return "never tried";
}

/** What differs from the goal, if need be after one more look: a machine that a step of ours started is noted as off until the next refresh. */
async function settled({ lab, stack, goal }: Course, commands: string[]): Promise<string | undefined> {
  if (difference(goal, await reached(lab, stack)) === undefined) return undefined;
  commands.push("refresh");
  await stack.refresh();
  return difference(goal, await reached(lab, stack));
}

/** Makes the trouble, one fault per command, and counts what was met. */
class Injector {
  count = 0;
  killed = false;
  private armed = false;

  constructor(
    private readonly lab: Lab,
    private readonly trouble: Trouble,
  ) {}

  get done(): boolean {
    return this.count >= pointsOf(this.trouble);
  }

  /** Arms the next fault for the command that is about to run; returns what is to be told of the engine's events. */
  next(): (event: EngineEvent) => void {
    this.armed = !this.done;
    this.killed = false;
    const { lab, trouble } = this;
    const met = new Map<string, number>();
    if (trouble.kind === "request" || trouble.kind === "everywhere") {
      const system = trouble.kind === "request" ? trouble.system : "proxmox";
      this.simulator(system).fault = (logged) => {
        const request = requestOf(logged);
        const nth = (met.get(request) ?? 0) + 1;
        met.set(request, nth);
        if (trouble.kind === "everywhere") {
          // Asked again after a lost answer, it is the same request, and not the next one of its kind.
          const asked = trouble.fault.kind === "slow" ? nth : (nth + 1) / 2;
          const fits = this.armed && trouble.requests.has(`${request} ${asked}`);
          return fits ? this.take(trouble.fault, true) : undefined;
        }
        const wanted = request === trouble.request && nth === trouble.nth;
        const fault = trouble.faults[this.count];
        return wanted && fault && this.armed ? this.take(fault) : undefined;
      };
    }
    if (trouble.kind === "ssh")
      lab.guests.drop = ({ script }) => (this.armed && script === trouble.script ? this.take(trouble.drop) : undefined);
    return ({ resOutputsEvent }) => {
      if (trouble.kind !== "kill" || !this.armed) return;
      if (!resOutputsEvent?.metadata.urn.endsWith(`::${trouble.resource}`)) return;
      this.take(true);
      this.killed = true;
      LabStack.kill();
    };
  }

  stop(): void {
    for (const system of ["proxmox", "rancher", "kubernetes"] as const) this.simulator(system).fault = () => undefined;
    this.lab.guests.drop = () => undefined;
  }

  private take<T>(fault: T, more = false): T {
    this.count += 1;
    this.armed = more;
    return fault;
  }

  private simulator(system: System): Simulator {
    return system === "proxmox" ? this.lab.proxmox : this.lab.cluster[system];
  }
}

function pointsOf(trouble: Trouble): number {
  if (trouble.kind === "request") return trouble.faults.length;
  return trouble.kind === "everywhere" ? trouble.requests.size : 1;
}

/** As the report names it. */
export function named(trouble: Trouble): string {
  if (trouble.kind === "kill") return `engine killed after ${trouble.resource}`;
  if (trouble.kind === "ssh") return `SSH dropped ${trouble.drop} ${trouble.script}`;
  if (trouble.kind === "everywhere") return `${trouble.requests.size} requests, each ${describe(trouble.fault)}`;
  const { system, request, nth, faults } = trouble;
  return `${system}: ${request} (${nth}): ${faults.map(describe).join(", then ")}`;
}

function describe(fault: Fault): string {
  if (fault.kind === "slow") return `${fault.milliseconds} ms late`;
  return `${fault.kind === "reset" ? "connection reset" : fault.status} ${fault.when} it was done`;
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

/**
 * The outputs that a second run would have the same: not what is drawn, not secrets, and not what a disk was made from: after a creation whose answer was lost
 * nobody can read that any more, and no later `up` sees a difference in it (tried).
 */
function known(outputs: Record<string, unknown> | undefined): unknown {
  if (!outputs || "stdin" in outputs) return undefined;
  const { disks, memory, name, tags, started } = outputs;
  const kept = Array.isArray(disks)
    ? disks.map((disk: object) => Object.fromEntries(Object.entries(disk).filter(([key]) => key !== "importFrom")))
    : undefined;
  return { disks: kept, memory, name, tags, started };
}

/** Where the two differ, place by place; undefined when nowhere. */
function difference(goal: unknown, found: unknown, place = ""): string | undefined {
  if (isDeepStrictEqual(goal, found)) return undefined;
  const entries = (value: unknown): Map<string, unknown> =>
    new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
  const [wanted, there] = [entries(goal), entries(found)];
  const inside = [...new Set([...wanted.keys(), ...there.keys()])].flatMap(
    (key) => difference(wanted.get(key), there.get(key), `${place}.${key}`) ?? [],
  );
  return inside.join("; ") || `${place}: ${JSON.stringify(found)} instead of ${JSON.stringify(goal)}`;
}
