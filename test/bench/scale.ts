import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import Table from "cli-table3";
import { parse, stringify } from "yaml";
import type { EnvironmentFile } from "../../environment/schema";

const root = join(__dirname, "..", "..");
const runs = 3;

/** Bars: what the README promises on two cores, and that ten times the size costs at most ten times as much. */
const bars = { rehearseHome: 10, validateHome: 2, tenfold: 10 };

interface Measured {
  readonly workload: string;
  /** Seconds of each run. */
  readonly seconds: readonly number[];
  /** MiB of the largest process. */
  readonly memory: number;
}

/** Prints time and memory of rehearsal and validation as environments grow. False above a bar. */
export async function scale(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "home-cluster-bench-"));
  try {
    const file = (volumes: number, nodes: number): string => {
      const path = join(folder, `Pulumi.bench-${volumes}-volumes-${nodes}-nodes.yaml`);
      writeFileSync(path, stringify({ config: grown(volumes, nodes) }));
      return path;
    };
    const home = await measure("rehearse home (3 nodes, 5 volumes)", ["rehearse", "home", "--json"]);
    const validate = await measure("validate home", ["validate", "home"]);
    const small = await measure("rehearse 3 nodes, 5 volumes", ["rehearse", file(5, 3), "--json"]);
    const volumes = await measure("rehearse 3 nodes, 50 volumes", ["rehearse", file(50, 3), "--json"]);
    const nodes = await measure("rehearse 30 nodes, 5 volumes", ["rehearse", file(5, 30), "--json"]);

    const judged: [string, number, number, string][] = [
      ["rehearse home", median(home.seconds), bars.rehearseHome, "s"],
      ["validate home", median(validate.seconds), bars.validateHome, "s"],
      ["time, 50 over 5 volumes", median(volumes.seconds) / median(small.seconds), bars.tenfold, "×"],
      ["memory, 50 over 5 volumes", volumes.memory / small.memory, bars.tenfold, "×"],
      ["time, 30 over 3 nodes", median(nodes.seconds) / median(small.seconds), bars.tenfold, "×"],
      ["memory, 30 over 3 nodes", nodes.memory / small.memory, bars.tenfold, "×"],
    ];
    const times = new Table({
      head: ["workload", `seconds, median of ${runs}`, "min – max", "largest process"],
      style: { head: [], border: [] },
    });
    for (const { workload, seconds, memory } of [home, validate, small, volumes, nodes]) {
      times.push([
        workload,
        median(seconds).toFixed(2),
        `${Math.min(...seconds).toFixed(2)} – ${Math.max(...seconds).toFixed(2)}`,
        memory > 0 ? `${memory.toFixed(0)} MiB` : "–",
      ]);
    }
    const table = new Table({ head: ["", "measured", "bar"], style: { head: [], border: [] } });
    for (const [name, value, bar, unit] of judged)
      table.push([name, `${value.toFixed(2)} ${unit}${value > bar ? "  ABOVE" : ""}`, `${bar} ${unit}`]);
    process.stdout.write(`${cpus().length} cores, Node ${process.version}\n${times.toString()}\n${table.toString()}\n`);
    return judged.every(([, value, bar]) => value <= bar);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs one of our commands several times; its wall time, and the largest process that it reports. */
async function measure(workload: string, args: readonly string[]): Promise<Measured> {
  const seconds: number[] = [];
  let memory = 0;
  for (let run = 0; run < runs; run += 1) {
    process.stderr.write(`${workload}: run ${run + 1} of ${runs}\n`);
    const start = process.hrtime.bigint();
    const output = await command(args);
    seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
    if (output.startsWith("{")) memory = Math.max(memory, (JSON.parse(output) as { peakMemory: number }).peakMemory);
  }
  return { workload, seconds, memory };
}

function command(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "commands", "run"), ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0
        ? resolve(output)
        : reject(new Error(`${args.join(" ")}: exit ${code}\n${errors}${output.slice(-2000)}`)),
    );
  });
}

/** The committed home with other numbers of volumes and nodes; three control-plane nodes, the rest workers. */
function grown(volumes: number, nodes: number): Record<string, unknown> {
  const { config } = parse(readFileSync(join(root, "Pulumi.home.yaml"), "utf8")) as { config: Record<string, unknown> };
  const hosts = [
    { name: "pve", address: "192.168.10.2", memory: 2048, imageDatastore: "local", diskDatastore: "local-lvm" },
  ];
  return {
    ...config,
    "home-cluster:proxmox": { ...(config["home-cluster:proxmox"] as object), hosts },
    "home-cluster:nodes": grownNodes(nodes),
    "home-cluster:oldNodes": (config["home-cluster:oldNodes"] as object[]).map((old, index) => ({
      ...old,
      mac: `BC:24:11:01:10:${hex(index)}`,
    })),
    "home-cluster:volumes": grownVolumes(volumes),
  };
}

/** That many small volumes in seven namespaces. */
export function grownVolumes(count: number): EnvironmentFile["volumes"] {
  return Array.from({ length: count }, (_, index) => ({
    namespace: `team-${index % 7}`,
    claim: `data-${index}`,
    oldSize: "1Gi",
    size: "2Gi",
  }));
}

/** That many nodes on home's first host: three control-plane nodes, the rest workers. */
export function grownNodes(count: number): EnvironmentFile["nodes"] {
  return Array.from({ length: count }, (_, index) => ({
    name: `debian-${index + 1}`,
    host: "pve",
    vmId: 201 + index,
    cores: 4,
    memory: 12,
    systemDisk: 40,
    dataDisk: 400,
    roles: index < 3 ? ["controlplane", "etcd", "worker"] : ["worker"],
    cards: [
      { network: "servers", address: `192.168.10.${21 + index}`, mac: `BC:24:11:00:10:${hex(index)}` },
      { network: "dmz", address: `192.168.40.${21 + index}`, mac: `BC:24:11:00:40:${hex(index)}` },
    ],
  }));
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, "0");
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
