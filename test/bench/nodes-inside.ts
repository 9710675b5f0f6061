// The part of `npm run bench -- nodes` that runs in namespaces of its own: exit 0 at or below the bar, 1 above it.
import { cpus } from "node:os";
import Table from "cli-table3";
import { Lab } from "../engine/lab/lab";
import { grownNodes } from "./scale";

const runs = 3;

/** What the time is measured against, in milliseconds: imports happen one after another on the host, everything else beside them. */
const workload = { nodes: 30, import: 3000, start: 5000, scale: 0.05 };
/** Milliseconds of the pretend home's own time, as rehearsal/home has them: a first provisioning; registering, until Ready and active. */
const pretend = { provision: 60_000, join: 5_000 + 75_000 + 15_000 };

/** At most this many times what cannot be avoided. */
const bar = 1.3;

async function main(): Promise<boolean> {
  const { nodes, scale } = workload;
  const lab = await Lab.start({
    scale,
    proxmox: { durations: { import: workload.import, start: workload.start } },
    change: (file) => {
      file.proxmox.hosts.length = 1;
      for (const host of file.proxmox.hosts) Object.assign(host, { memory: 2048 });
      file.nodes = grownNodes(nodes);
      for (const [index, old] of (file.oldNodes ?? []).entries()) old.mac = `BC:24:11:01:10:0${index}`;
    },
  });
  try {
    const stack = await lab.stack("nodes");
    const back = lab.snapshot();
    const seconds: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      process.stderr.write(`up of ${nodes} nodes: run ${run + 1} of ${runs}\n`);
      await back();
      const start = process.hrtime.bigint();
      const outcome = await stack.up({ parallel: 40 });
      seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
      if (!outcome.ok) throw new Error(outcome.text);
      const there = lab.home.rancher.nodes.filter(({ state, vmId }) => state === "active" && vmId > 200).length;
      if (there !== nodes) throw new Error(`${there} of ${nodes} nodes are active`);
    }
    const needed = (nodes * workload.import + workload.start + (pretend.provision + pretend.join) * scale) / 1000;
    const sorted = [...seconds].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? Infinity;
    const ratio = median / needed;
    const table = new Table({
      head: ["workload", "cannot be less", `up --parallel 40, median of ${runs}`, "min – max", "ratio", "bar"],
      style: { head: [], border: [] },
    });
    table.push([
      `${nodes} nodes (3 with etcd), an import ${workload.import / 1000} s, a boot ${workload.start / 1000} s`,
      `${needed.toFixed(1)} s`,
      `${median.toFixed(1)} s`,
      `${(sorted[0] ?? 0).toFixed(1)} – ${(sorted.at(-1) ?? 0).toFixed(1)} s`,
      `${ratio.toFixed(2)}${ratio > bar ? "  ABOVE" : ""}`,
      String(bar),
    ]);
    process.stdout.write(`${cpus().length} cores, Node ${process.version}\n${table.toString()}\n`);
    return ratio <= bar;
  } finally {
    await lab.stop();
  }
}

main().then(
  (below) => process.exit(below ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
