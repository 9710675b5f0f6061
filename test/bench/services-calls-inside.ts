// The part of `npm run bench -- services` that counts objects and API calls, in namespaces of its own: exit 0 at or below the bar, 1 above it.
import Table from "cli-table3";
import type { EnvironmentFile } from "../../environment/schema";
import { ControlPlane } from "../cluster/lab/control-plane";
import { LiveUp, type Calls, type Measured } from "../cluster/lab/live-up";
import { longhornNote } from "../cluster/lab/longhorn-kinds";
import { grownVolumes } from "./scale";

const volumes = { few: 5, many: 50 };

async function main(): Promise<boolean> {
  const table = new Table({
    head: ["environment", "layer", "objects", "preview", "update", "API calls of `pulumi up`", "discovery beside"],
    style: { head: [], border: [] },
  });
  for (const name of ["home", "lab"] as const) {
    for (const [layer, measured] of await measure(`up of ${name}`, name, ["services", "volumes"]))
      table.push([name, layer, ...row(measured)]);
  }
  const [few, many] = [await scaled(volumes.few), await scaled(volumes.many)];
  const growth = new Table({
    head: ["volumes", "objects", "API calls", "a volume", "bar"],
    style: { head: [], border: [] },
  });
  growth.push(
    [volumes.few, few.objects, sum(few), (sum(few) / volumes.few).toFixed(1), ""],
    [
      volumes.many,
      many.objects,
      sum(many),
      (sum(many) / volumes.many).toFixed(1),
      `${(sum(few) / volumes.few).toFixed(1)}`,
    ],
  );
  const below = sum(many) / volumes.many <= sum(few) / volumes.few;
  process.stdout.write(
    `Requests for objects, by the API server's audit log: the provider's (without its waiting) + our operations', every gate open at the first look; ${longhornNote}\n` +
      `${table.toString()}\n${growth.toString()}${below ? "" : "\ncalls a volume grow with the number of volumes: ABOVE"}\n`,
  );
  return below;
}

async function scaled(count: number): Promise<Measured> {
  const [found] = await measure(
    `up of ${count} volumes`,
    "home",
    ["volumes"],
    (file) => (file.volumes = grownVolumes(count)),
  );
  if (!found) throw new Error("nothing was measured");
  return found[1];
}

async function measure(
  what: string,
  name: "home" | "lab",
  layers: readonly ("services" | "volumes")[],
  change: (file: EnvironmentFile) => void = () => undefined,
): Promise<[string, Measured][]> {
  const plane = await ControlPlane.start();
  try {
    const up = await LiveUp.prepare(plane, "newest", name, change);
    const found: [string, Measured][] = [];
    for (const layer of layers) {
      process.stderr.write(`${what}: ${layer}\n`);
      found.push([layer, await up.up(layer)]);
    }
    await up.stop();
    return found;
  } finally {
    await plane.stop();
  }
}

function row(measured: Measured): string[] {
  const { objects, preview, update } = measured;
  const both = ({ provider, operations }: Calls): string => `${provider} + ${operations}`;
  return [
    String(objects),
    both(preview),
    both(update),
    String(sum(measured)),
    String(preview.discovery + update.discovery),
  ];
}

function sum({ preview, update }: Measured): number {
  return preview.provider + preview.operations + update.provider + update.operations;
}

main().then(
  (below) => process.exit(below ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
