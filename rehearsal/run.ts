import { fork } from "node:child_process";
import { join } from "node:path";
import type { Environment } from "../environment/schema";
import { layers, type Layer } from "../environment/stack";
import { unresolvedPaths } from "../versions";
import { destroyLayer } from "./destroy";
import { switchVolumes } from "./cutover-stand-in";
import { creationNames, matchesFault } from "./fault";
import { buildHome } from "./home/build";
import type { HomeState } from "./home/state";
import type { LayerRequest } from "./layer";
import { standInSecrets } from "./stand-ins";
import type { LayerRun, Story } from "./story";

export interface RehearsalOptions {
  readonly environmentName: string;
  readonly environment: Environment;
  /** The file's configuration as Pulumi hands it on: by full key, structures as JSON; secrets left out. */
  readonly config: ReadonlyMap<string, string>;
  /** Part of a name, a URN or `<verb>:<resource>` that is made to fail. */
  readonly fail?: string | undefined;
  readonly progress: (line: string) => void;
  /** The story of the same file without the fault, where it was told already. Default: told first. */
  readonly reference?: Story;
  /** Runs a layer. Default: in a process of its own. Tests that have the program loaded run it in theirs. */
  readonly runLayer?: (request: LayerRequest) => Promise<LayerRun>;
}

/** A rehearsal, and with a fault also the same one without it, to tell exactly what the fault prevented. */
export interface Rehearsal {
  readonly story: Story;
  /** The same story without the fault; undefined when none was asked for. */
  readonly reference: Story | undefined;
}

/** The whole way of one environment, from the home as it is to the old nodes retired. */
export async function rehearse(options: RehearsalOptions): Promise<Rehearsal> {
  if (options.fail === undefined) return { story: await tell(options), reference: undefined };
  if (!options.reference) options.progress("first without the fault, to know what it prevents");
  const reference = options.reference ?? (await tell({ ...options, fail: undefined }));
  options.progress(`now with --fail ${options.fail}`);
  return { story: await tell(options, reference), reference };
}

/** `reference` spares the processes of layers that the fault does not touch. */
async function tell(options: RehearsalOptions, reference?: Story): Promise<Story> {
  const { environment, environmentName, fail, progress } = options;
  const before = buildHome(environment);
  const processes = new Map<Layer, LayerProcess>();
  for (const layer of layers) {
    const known = reference?.layers.find((run) => run.layer === layer);
    if (known && !touches(known, fail)) continue;
    processes.set(layer, options.runLayer ? { run: options.runLayer, end: () => undefined } : startProcess());
  }
  const runs: LayerRun[] = [];
  try {
    for (const layer of layers) {
      const run = await up(layer, options, before, runs, processes.get(layer), reference);
      runs.push(run);
      const failed = run.failed.length > 0 || run.error !== undefined;
      progress(
        `${run.stack}: ${run.steps.length} resources, ${minutes(run.home.now - before.now)} since the start${failed ? ", FAILED" : ""}`,
      );
      if (failed) break;
    }
  } finally {
    for (const process of processes.values()) process.end();
  }
  const home = runs.at(-1)?.home ?? before;
  const story = {
    environmentName,
    environment,
    standIns: [...unresolvedPaths(), ...Object.keys(standInSecrets())],
    before,
    layers: runs,
    secrets: Object.values(standInSecrets()),
  };
  const rancheros = runs.find((run) => run.layer === "rancheros");
  if (!rancheros || rancheros.failed.length > 0 || rancheros.error !== undefined)
    return { ...story, refusedDestroy: undefined, destroy: undefined };

  const refusedDestroy = await destroyLayer(rancheros, structuredClone(home), undefined);
  progress(
    `${rancheros.stack}: destroy before any volume is switched: ${refusedDestroy.failed.length > 0 ? "refused, as it must be" : "NOT refused"}`,
  );
  const switched = await switchVolumes(environment, structuredClone(home));
  progress("stand-in: the volumes are marked as switched (cutover is not built yet)");
  const destroy = await destroyLayer(rancheros, switched, fail);
  progress(
    `${rancheros.stack}: destroy: ${destroy.deleted.length} deleted, ${destroy.failed.length} failed, ${minutes(destroy.home.now - before.now)} since the start`,
  );
  return { ...story, refusedDestroy, destroy };
}

/** One layer: as the reference had it where the fault does not touch it, else in its process, on the home that the layers before left. */
async function up(
  layer: Layer,
  options: RehearsalOptions,
  before: HomeState,
  runs: readonly LayerRun[],
  process: LayerProcess | undefined,
  reference: Story | undefined,
): Promise<LayerRun> {
  const known = reference?.layers.find((run) => run.layer === layer);
  if (!process && known) return structuredClone(known);
  return (process ?? startProcess()).run({
    stack: `${options.environmentName}-${layer}`,
    layer,
    config: options.config,
    home: structuredClone(runs.at(-1)?.home ?? before),
    start: before.now,
    stackOutputs: Object.fromEntries(runs.map((run) => [`organization/home-cluster/${run.stack}`, run.outputs])),
    fail: options.fail,
  });
}

/** Whether the fault makes anything of this layer's `up` fail. */
function touches(run: LayerRun, fail: string | undefined): boolean {
  const candidates = [
    ...run.steps.flatMap(({ registration }) => creationNames(registration)),
    ...run.asked.map((asked) => `${asked.verb}:`),
  ];
  return matchesFault(fail, candidates);
}

/** A process that has the program loaded and waits for its layer's turn. */
interface LayerProcess {
  readonly run: (request: LayerRequest) => Promise<LayerRun>;
  readonly end: () => void;
}

/** Started for all layers at once: loading the program is most of a layer's time, and can happen while another layer runs. */
function startProcess(): LayerProcess {
  const child = fork(join(__dirname, "layer-process.js"), {
    serialization: "advanced",
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return {
    run: (request) =>
      new Promise((resolve, reject) => {
        child.once("message", (run: LayerRun) => resolve(run));
        child.once("error", reject);
        child.once("exit", (code) => reject(new Error(`${request.stack}: its process ended with ${code}\n${output}`)));
        child.send(request);
      }),
    end: () => void (child.connected && child.disconnect()),
  };
}

/** `1 h 05 min` of the rehearsal's own time. */
export function minutes(milliseconds: number): string {
  const total = Math.round(milliseconds / 60_000);
  return total < 60 ? `${total} min` : `${Math.floor(total / 60)} h ${String(total % 60).padStart(2, "0")} min`;
}

/** URNs of a layer's run that the same run without the fault registered. */
export function notRegistered(faulted: Story, reference: Story): readonly string[] {
  return reference.layers.flatMap((run) => {
    const other = faulted.layers.find((candidate) => candidate.layer === run.layer);
    const registered = new Set(other?.registered ?? []);
    return run.registered.filter((urn) => !registered.has(urn));
  });
}
