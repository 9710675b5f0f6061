// The part of `npm run bench -- services` that measures time, in namespaces of its own: exit 0 at or below the bar, 1 above it.
import { cpus } from "node:os";
import Table from "cli-table3";
import { EngineLab } from "../cluster/lab/engine-lab";
import type { Pace } from "../cluster/lab/others";

const runs = 3;

/**
 * Seconds that others take, which `up` waits out. Both chains are equally long, so that one that waits for the other shows as twice the time: that would be
 * far above the bar, while starting engine, Helm and operations is below it.
 */
const pace: Pace = { pods: 30, webhook: 40, disks: 45, chart: 5, address: 5 };

/** At most this many times what cannot be avoided. */
const bar = 1.3;

/** From the first pod on: Longhorn's way to its class, driver and disks, and MetalLB's to the ingress address, with the Service that the distribution's chart makes. */
const chains = {
  longhorn: pace.pods + pace.disks,
  home: pace.pods + pace.webhook + pace.address,
  lab: pace.pods + pace.webhook + pace.chart + pace.address,
};

async function main(): Promise<boolean> {
  const table = new Table({
    head: [
      "environment",
      "longest chain of gates",
      "cannot be less",
      `up, median of ${runs}`,
      "min – max",
      "ratio",
      "bar",
    ],
    style: { head: [], border: [] },
  });
  let below = true;
  for (const name of ["home", "lab"] as const) {
    const seconds: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      process.stderr.write(`up of ${name}-services: run ${run + 1} of ${runs}\n`);
      seconds.push(await wallTime(name));
    }
    const longest = Math.max(chains.longhorn, chains[name]);
    const sorted = [...seconds].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? Infinity;
    const ratio = median / longest;
    below &&= ratio <= bar;
    table.push([
      name,
      longest === chains.longhorn ? "Longhorn's pods and disks" : "MetalLB's pods and webhook, Service, address",
      `${longest} s`,
      `${median.toFixed(1)} s`,
      `${(sorted[0] ?? 0).toFixed(1)} – ${(sorted.at(-1) ?? 0).toFixed(1)} s`,
      `${ratio.toFixed(2)}${ratio > bar ? "  ABOVE" : ""}`,
      String(bar),
    ]);
  }
  const { pods, webhook, disks, chart, address } = pace;
  process.stdout.write(
    `${cpus().length} cores, Node ${process.version}; a first \`up\` of the layer services on a real API server, made-up charts, others simulated: pods ready after ${pods} s, ` +
      `then MetalLB's webhook after ${webhook} s, an address after ${address} s, a chart's Service after ${chart} s; Longhorn's class, driver and disks after ${disks} s\n` +
      `${table.toString()}\n`,
  );
  return below;
}

async function wallTime(name: "home" | "lab"): Promise<number> {
  const lab = await EngineLab.start({ name, minor: "newest", pace });
  try {
    const stack = await lab.stack("services");
    const start = process.hrtime.bigint();
    const outcome = await stack.up();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    if (!outcome.ok) throw new Error(outcome.text);
    return seconds;
  } finally {
    await lab.stop();
  }
}

main().then(
  (below) => process.exit(below ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
