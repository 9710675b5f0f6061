import { fork } from "node:child_process";
import { join } from "node:path";
import type { Environment } from "../environment/schema";
import { layers } from "../environment/stack";
import { destroyLayer } from "./destroy";
import { switchVolumes } from "./cutover-stand-in";
import { matchesFault } from "./fault";
import { buildHome } from "./home/build";
import type { HomeState } from "./home/state";
import type { LayerRequest } from "./layer";
import type { Properties } from "./record";
import { standInSecrets, standInVersions } from "./stand-ins";
import type { LayerRun, Story } from "./story";

export interface RehearsalOptions {
  readonly environmentName: string;
  readonly environment: Environment;
  /** The file's configuration as Pulumi hands it on: by full key, structures as JSON; secrets left out. */
  readonly config: ReadonlyMap<string, string>;
  /** Part of a name, a URN or `<verb>:<resource>` that is made to fail. */
  readonly fail?: string | undefined;
  readonly progress: (line: string) => void;
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
  options.progress("first without the fault, to know what it prevents");
  const reference = await tell({ ...options, fail: undefined });
  options.progress(`now with --fail ${options.fail}`);
  return { story: await tell(options, reference), reference };
}

/** `reference` spares the processes of layers that the fault does not touch. */
async function tell(options: RehearsalOptions, reference?: Story): Promise<Story> {
  const { environment, environmentName, fail, progress } = options;
  const before = buildHome(environment);
  const runs: LayerRun[] = [];
  const stackOutputs: Record<string, Properties> = {};
  let home: HomeState = structuredClone(before);
  let stopped = false;
  for (const layer of layers) {
    const known = reference?.layers.find((run) => run.layer === layer);
    const run =
      known && !touches(known, fail)
        ? structuredClone(known)
        : await inOwnProcess({
            stack: `${environmentName}-${layer}`,
            layer,
            config: options.config,
            home,
            start: before.now,
            stackOutputs,
            fail,
          });
    runs.push(run);
    home = run.home;
    stackOutputs[`organization/home-cluster/${run.stack}`] = run.outputs;
    progress(
      `${run.stack}: ${run.steps.length} resources, ${minutes(home.now - before.now)} since the start${run.failed.length > 0 || run.error !== undefined ? ", FAILED" : ""}`,
    );
    if (run.failed.length > 0 || run.error !== undefined) {
      stopped = true;
      break;
    }
  }
  const story = {
    environmentName,
    environment,
    standIns: [...standInVersions(), ...Object.keys(standInSecrets())],
    before,
    layers: runs,
    secrets: Object.values(standInSecrets()),
  };
  const rancheros = runs.find((run) => run.layer === "rancheros");
  if (stopped || !rancheros) return { ...story, refusedDestroy: undefined, destroy: undefined };

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

/** Whether the fault makes anything of this layer's `up` fail. */
function touches(run: LayerRun, fail: string | undefined): boolean {
  const candidates = [
    ...run.steps.flatMap(({ registration }) => [
      registration.name,
      registration.urn,
      `${String(registration.inputs.create).replace("operations/run ", "")}:${registration.name}`,
    ]),
    ...run.asked.map((asked) => `${asked.verb}:`),
  ];
  return matchesFault(fail, candidates);
}

function inOwnProcess(request: LayerRequest): Promise<LayerRun> {
  return new Promise((resolve, reject) => {
    const child = fork(join(__dirname, "layer-process.js"), {
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.once("message", (run: LayerRun) => resolve(run));
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`${request.stack}: its process ended with code ${code} and no result\n${output}`)),
    );
    child.send(request);
  });
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
