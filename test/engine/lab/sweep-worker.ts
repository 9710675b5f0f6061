// One share of the fault sweep, in a namespace and a lab of its own: `sweep-worker <index> <count>`. Prints a line of JSON per trouble.
import type { EnvironmentFile } from "../../../environment/schema";
import type { Fault, Logged } from "../../../rehearsal/simulators/server";
import { Lab, worker } from "./lab";
import { named, reached, requestOf, survive, type System, type Trouble } from "./sweep";

/** A second host, which nothing uses until the fourth node comes: then its image is downloaded, too. */
function secondHost(file: EnvironmentFile): void {
  const [first] = file.proxmox.hosts;
  if (first) file.proxmox.hosts.push({ ...first, name: "pve-2", address: "192.168.10.3" });
}

const statuses = [500, 503, 596].map((status): Fault => ({ kind: "status", status, when: "before" }));
const lateOrLost: readonly Fault[] = [
  { kind: "slow", milliseconds: 700 },
  { kind: "reset", when: "before" },
];

/**
 * What can go wrong with a request, each list in one go. A read: three bad answers, one per command. What changes something: each alone, both before it was done
 * and after it, when whoever asked does not know.
 */
function faultsOf(system: System, request: string): (readonly Fault[])[] {
  if (system !== "proxmox")
    return [[{ kind: "status", status: 503, when: "before" }], [{ kind: "reset", when: "before" }]];
  if (request.startsWith("GET ")) return [statuses];
  const lost: Fault[] = [
    { kind: "reset", when: "before" },
    { kind: "reset", when: "after" },
    { kind: "status", status: 596, when: "after" },
  ];
  return [...statuses, ...lost].map((fault) => [fault]);
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
    const asked = numbered(lab.proxmox.log);
    const troubles = [
      ...lateOrLost.map((fault): Trouble => {
        const fits = asked.filter(({ request }) => fault.kind === "slow" || request.startsWith("GET "));
        return { kind: "everywhere", requests: new Set(fits.map(({ request, nth }) => `${request} ${nth}`)), fault };
      }),
      ...requests("proxmox", lab.proxmox.log),
      ...requests("rancher", lab.cluster.rancher.log),
      ...requests("kubernetes", lab.cluster.kubernetes.log),
      ...(["provision", "join-rke1"] as const).flatMap((script) =>
        (["before", "after"] as const).map((drop): Trouble => ({ kind: "ssh", script, drop })),
      ),
      ...resources.map((resource): Trouble => ({ kind: "kill", resource })),
      // Every worker counts the same troubles, in the same order, whatever order its own requests came in.
    ].sort((a, b) => named(b).localeCompare(named(a)));
    await back();
    const course = { lab, stack, back, start: await reached(lab, stack), goal };
    for (const [position, trouble] of troubles.entries())
      if (position % count === index) report(await survive(course, trouble));
  } finally {
    await lab.stop();
  }
}

/** Every request of a log with the faults that fit it. */
function requests(system: System, log: readonly Logged[]): Trouble[] {
  return numbered(log).flatMap(({ request, nth }) =>
    faultsOf(system, request).map((faults): Trouble => ({ kind: "request", system, request, nth, faults })),
  );
}

/** The requests of a log, each with how many of its kind there were up to it. */
function numbered(log: readonly Logged[]): { readonly request: string; readonly nth: number }[] {
  const seen = new Map<string, number>();
  // The nodes that are there are asked the same each: one of them stands for all.
  return log
    .filter(({ path }) => !/\/20[23]\b/.test(path))
    .map((logged) => {
      const request = requestOf(logged);
      const nth = (seen.get(request) ?? 0) + 1;
      seen.set(request, nth);
      return { request, nth };
    });
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
