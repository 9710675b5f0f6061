import program from "../index";
import { dispatch } from "../operations/dispatch";
import { layers, type Layer } from "../environment/stack";
import { creationNames, injected, matchesFault } from "./fault";
import { pretendClients } from "./home/clients";
import { VirtualClock } from "./home/clock";
import type { HomeState } from "./home/state";
import { answerResource } from "./models";
import { record, reveal, type Properties, type RecordOptions } from "./record";
import { standInSecrets, withVersions } from "./stand-ins";
import type { Asked, LayerRun, Step } from "./story";
import { verbOf } from "./verb";

/** What the process of one layer is told. */
export interface LayerRequest {
  readonly stack: string;
  readonly layer: Layer;
  /** The stack's configuration by full key, as Pulumi hands it on. */
  readonly config: ReadonlyMap<string, string>;
  readonly home: HomeState;
  /** When the rehearsal began, for relative times. */
  readonly start: number;
  /** Outputs of the stacks that are up, by full name. */
  readonly stackOutputs: Readonly<Record<string, Properties>>;
  readonly fail: string | undefined;
}

/** Runs `up` of one layer: the unmodified program under the mock runtime, every operation for real on the pretend home. */
export async function runLayer(request: LayerRequest): Promise<LayerRun> {
  const { home, fail } = request;
  const clock = new VirtualClock(home.now);
  const clients = pretendClients(home, clock);
  const steps: Step[] = [];
  const asked: Asked[] = [];
  const failedInvokes: [string, string][] = [];

  const options: RecordOptions = {
    stack: request.stack,
    config: Object.fromEntries<string>([
      ...request.config,
      ...Object.entries(standInSecrets()).map(([key, value]) => [`home-cluster:${key}`, value] as const),
    ]),
    secretKeys: Object.keys(standInSecrets()).map((key) => `home-cluster:${key}`),
    stackOutputs: request.stackOutputs,
    answer: async (registration) => {
      const startedAt = clock.now() - request.start;
      if (matchesFault(fail, creationNames(registration))) throw injected(fail ?? "", registration.name);
      const answer = await answerResource(registration, home, clock, clients);
      steps.push({ registration, startedAt, finishedAt: clock.now() - request.start });
      return answer;
    },
    call: async (token, args) => {
      if (token !== "command:local:run") throw new Error(`${token}: the rehearsal knows no such invoke`);
      const verb = verbOf(args.command) ?? "";
      try {
        if (matchesFault(fail, [`${verb}:`])) throw injected(fail ?? "", verb);
        const stdout = await dispatch(verb, String(reveal(args.stdin)), () => clients);
        asked.push({ verb, at: clock.now() - request.start });
        return { ...args, stdout, stderr: "" };
      } catch (error) {
        failedInvokes.push([`invoke ${verb}`, error instanceof Error ? error.message : String(error)]);
        throw error;
      }
    },
  };
  const recording = await withVersions(() => record(() => program, options));
  await clock.idle();
  home.now = clock.now();
  return {
    layer: request.layer,
    stack: request.stack,
    steps,
    registered: recording.registrations
      .filter((registration) => !isStack(registration.type))
      .map((registration) => registration.urn),
    asked,
    failed: [...recording.failed, ...failedInvokes],
    error: recording.error?.message,
    outputs: recording.outputs,
    peakMemory: process.resourceUsage().maxRSS / 1024,
    home,
  };
}

function isStack(type: string): boolean {
  return type === "pulumi:pulumi:Stack";
}

/** The entry of a layer's own process: one request in, one run out. */
export function serve(): void {
  process.once("message", (request: LayerRequest) => {
    if (!layers.includes(request.layer)) throw new Error(`${request.layer}: not a layer`);
    void runLayer(request).then((run) => {
      process.send?.(run, () => process.disconnect());
    });
  });
}
