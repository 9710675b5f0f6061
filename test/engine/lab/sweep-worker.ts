// One share of the fault sweep, in a namespace and a lab of its own: `sweep-worker <index> <count>`. Prints a line of JSON per point.
import { isDeepStrictEqual } from "node:util";
import type { EnvironmentFile } from "../../../environment/schema";
import type { Fault } from "../../../rehearsal/simulators/server";
import { Lab } from "./lab";
import { named, reached, requestOf, survive, type Point, type Reached, type Survived } from "./sweep";

/** The smallest layer in which everything happens that happens to a node: one worker beside the old nodes. */
function small(file: EnvironmentFile): void {
  file.nodes.length = 1;
  for (const node of file.nodes) Object.assign(node, { roles: ["worker"] });
  file.longhorn.replicas = 1;
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
  const lab = await Lab.start({ change: small });
  try {
    const stack = await lab.stack("nodes");
    const back = lab.snapshot();
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
  return log.flatMap((logged) => {
    const request = requestOf(logged);
    const nth = (seen.get(request) ?? 0) + 1;
    seen.set(request, nth);
    return faultsOf(system, request).map((fault): Point => ({ kind: "request", system, request, nth, fault }));
  });
}

function difference(goal: Reached, found: Reached): string | undefined {
  const parts = (Object.keys(goal) as (keyof Reached)[]).filter((part) => !isDeepStrictEqual(goal[part], found[part]));
  if (parts.length === 0) return undefined;
  return parts
    .map((part) => `${part}: ${JSON.stringify(found[part])} instead of ${JSON.stringify(goal[part])}`)
    .join("; ");
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
