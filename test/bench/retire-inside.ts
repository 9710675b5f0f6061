// The part of `npm run bench -- retire` that runs in namespaces of its own: exit 0 at or below the bar, 1 above it.
import { cpus } from "node:os";
import Table from "cli-table3";
import { ControlPlane } from "../cluster/lab/control-plane";
import { RetirementLab } from "../cluster/lab/retirement";
import { LabStack } from "../engine/lab/stack";
import { Engine, secretsFor } from "../engine/support";

const workloads = [
  { nodes: 3, runs: 3 },
  { nodes: 10, runs: 2 },
] as const;
/** On each node: pods that take the whole of Kubernetes' own default to shut down, all of a Deployment whose budget lets two go at a time. */
const pods = { count: 4, available: 2, graceSeconds: 30 };
/** At most this many times what the pods take. */
const bar = 1.2;

/** Who the program is towards the API server. */
const program = "program";

interface Measured {
  readonly seconds: number;
  /** Requests that the API server, Rancher and Proxmox answered, but for the Lease's. */
  readonly requests: number;
  readonly lease: number;
}

async function main(): Promise<boolean> {
  const plane = await ControlPlane.start();
  try {
    const table = new Table({
      head: [
        "old nodes",
        "their pods' grace",
        "pulumi destroy, median",
        "min – max",
        "ratio",
        "bar",
        "requests a node",
        "of the Lease, all",
      ],
      style: { head: [], border: [] },
    });
    let below = true;
    for (const { nodes, runs } of workloads) {
      const measured: Measured[] = [];
      for (let run = 0; run < runs; run += 1) {
        process.stderr.write(`retiring ${nodes} nodes: run ${run + 1} of ${runs}\n`);
        measured.push(await once(plane, nodes));
      }
      const seconds = measured.map((one) => one.seconds).sort((a, b) => a - b);
      const median = seconds[Math.floor((seconds.length - 1) / 2)] ?? Infinity;
      const grace = nodes * graceOfNode();
      const ratio = median / grace;
      below &&= ratio <= bar;
      const spread = (values: readonly number[], digits: number): string =>
        [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits)).join(" – ");
      table.push([
        nodes,
        `${grace} s`,
        `${median.toFixed(1)} s of ${runs}`,
        `${spread(seconds, 1)} s`,
        `${ratio.toFixed(2)}${ratio > bar ? "  ABOVE" : ""}`,
        String(bar),
        spread(
          measured.map((one) => one.requests / nodes),
          1,
        ),
        spread(
          measured.map((one) => one.lease),
          0,
        ),
      ]);
    }
    process.stdout.write(
      `${cpus().length} cores, Node ${process.version}, Kubernetes ${plane.version}; each node with ${pods.count} pods that take ${pods.graceSeconds} s to shut down, ` +
        `${pods.count - pods.available} at a time by their budget; Rancher and Proxmox are simulated and take no time of their own\n${table.toString()}\n`,
    );
    return below;
  } finally {
    await plane.stop();
  }
}

/** Seconds that the evictions of one node take by themselves: a replacement is ready at once, so the budget lets all go within the grace of the first. */
function graceOfNode(): number {
  return pods.graceSeconds;
}

/** `up` and then `destroy` of a new cluster's old nodes. */
async function once(plane: ControlPlane, nodes: number): Promise<Measured> {
  const lab = await RetirementLab.start(plane, "rke1", nodes);
  const engine = new Engine();
  try {
    const { proxmox, rancher } = lab.access;
    const checkout = engine.copy();
    checkout.standInForPins();
    Object.assign(lab.file.proxmox, { endpoint: `${proxmox.endpoint}/`, caCertificate: proxmox.caCertificate });
    Object.assign(lab.file.cluster.rancher, { url: rancher.url, caCertificate: rancher.caCertificate });
    checkout.set("home", ...Object.entries(lab.file).map(([key, value]) => [[`home-cluster:${key}`], value] as const));
    const secrets = {
      ...secretsFor(plane.server),
      ...{ proxmoxToken: proxmox.token, rancherToken: rancher.token },
      kubeconfig: plane.kubeconfigFor(program, ["system:masters"]),
    };
    const stack = await LabStack.create("home-rancheros", checkout.folder, engine.environment(), secrets);
    for (const { node } of lab.inputs)
      await lab.deploy(node, `on-${node}`, pods.count, [pods.available], pods.graceSeconds);
    const recorded = await stack.up();
    if (!recorded.ok) throw new Error(recorded.text);

    const asked = (): number[] => [
      plane.audit().filter(({ user }) => user.username === program).length,
      lab.rancher.log.length,
      lab.proxmox.log.length,
    ];
    const ofLease = (): number =>
      plane.audit().filter(({ user, objectRef }) => user.username === program && objectRef?.resource === "leases")
        .length;
    const [before, leaseBefore] = [asked(), ofLease()];
    const start = process.hrtime.bigint();
    const outcome = await stack.destroy();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    if (!outcome.ok) throw new Error(outcome.text);
    const left = (await lab.standing()).machines.filter((name) => name.startsWith("rancheros"));
    if (left.length > 0) throw new Error(`still there: ${left.join(", ")}`);
    const lease = ofLease() - leaseBefore;
    const requests = asked().reduce((sum, count, index) => sum + count - (before[index] ?? 0), 0) - lease;
    return { seconds, requests, lease };
  } finally {
    engine.dispose();
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
