// One share of the fault sweep, in a namespace and a lab of its own: `sweep-worker <index> <count>`. Prints a line of JSON per point.
import { isDeepStrictEqual } from "node:util";
import type { EnvironmentFile } from "../../../environment/schema";
import type { Fault } from "../../../rehearsal/simulators/server";
import { Lab, worker } from "./lab";
import { named, reached, requestOf, survive, type Point, type Survived } from "./sweep";

/** A second host, which nothing uses until the fourth node comes: then its image is downloaded, too. */
function secondHost(file: EnvironmentFile): void {
  const [first] = file.proxmox.hosts;
  if (first) file.proxmox.hosts.push({ ...first, name: "pve-2", address: "192.168.10.3" });
}

/** What can go wrong with a request: before it was done, and where it changes something after it, too. */
function faultsOf(system: string, request: string): Fault[] {
  const failing = (status: number): Fault => ({ kind: "status", status, when: "before" });
  if (system !== "proxmox") return [failing(503), { kind: "reset", when: "before" }];
  const faults: Fault[] = [
    ...[500, 503, 596].map(failing),
    { kind: "reset", when: "before" },
    { kind: "slow", milliseconds: 1500 },
  ];
  if (request.startsWith("GET ")) return faults;
  return [...faults, { kind: "status", status: 596, when: "after" }, { kind: "reset", when: "after" }];
}

async function main(index: number, count: number): Promise<void> {
  const lab = await Lab.start({ change: secondHost });
  try {
    const stack = await lab.stack("nodes");
    const three = await stack.up({ parallel: 40 });
    if (!three.ok) throw new Error(three.text);
    // Every point adds a node to a layer that is up: everything that happens to a node happens to this one, and the others must not notice.
    lab.edit((file) => file.nodes.push({ ...worker(file), host: "pve-2" }));
    const back = lab.snapshot();
    for (const { log } of [lab.proxmox, lab.cluster.rancher, lab.cluster.kubernetes]) log.length = 0;
    const resources: string[] = [];
    const first = await stack.up({ parallel: 40 }, ({ resOutputsEvent }) => {
      const { urn = "", op } = resOutputsEvent?.metadata ?? {};
      if (op === "create") resources.push(urn.split("::").at(-1) ?? "");
    });
    if (!first.ok) throw new Error(first.text);
    const goal = await reached(lab, stack);
    const points = [
      ...requests("proxmox", lab.proxmox.log),
      ...requests("rancher", lab.cluster.rancher.log),
      ...requests("kubernetes", lab.cluster.kubernetes.log),
      ...(["provision", "join-rke1"] as const).flatMap((script) =>
        (["before", "after"] as const).map((drop): Point => ({ kind: "ssh", script, drop })),
      ),
      ...resources.map((resource): Point => ({ kind: "kill", resource })),
    ].sort((a, b) => named(a).localeCompare(named(b)));
    report({ points: points.length });
    for (const [position, point] of points.entries()) {
      if (position % count !== index) continue;
      await back();
      const survived = await survive(lab, stack, point);
      const problem = survived.commands.at(-1)?.startsWith("still")
        ? "never done"
        : difference(goal, await reached(lab, stack));
      report({ ...survived, problem } satisfies Survived);
    }
  } finally {
    await lab.stop();
  }
}

/** Every request of a log with every fault that fits it. */
function requests(
  system: "proxmox" | "rancher" | "kubernetes",
  log: readonly { method: string; path: string }[],
): Point[] {
  const seen = new Map<string, number>();
  // The nodes that are there are asked the same each: one of them stands for all.
  return log
    .filter(({ path }) => !/\/20[23]\b/.test(path))
    .flatMap((logged) => {
      const request = requestOf(logged);
      const nth = (seen.get(request) ?? 0) + 1;
      seen.set(request, nth);
      return faultsOf(system, request).map((fault): Point => ({ kind: "request", system, request, nth, fault }));
    });
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

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const [index, count] = process.argv.slice(2).map(Number);
main(index ?? 0, count ?? 1).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  },
);
