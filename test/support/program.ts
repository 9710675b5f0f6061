import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "yaml";
import program from "../../index";
import { parseConfigFile, readConfigFile } from "../../environment/file";
import { secretKeys, type Environment } from "../../environment/schema";
import { layers, type Layer } from "../../environment/stack";
import { dispatch } from "../../operations/dispatch";
import { buildHome } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import type { HomeState } from "../../rehearsal/home/state";
import { answerResource } from "../../rehearsal/models";
import {
  record,
  reveal,
  type Answer,
  type Properties,
  type Recording,
  type Registration,
} from "../../rehearsal/record";
import { withVersions } from "../../rehearsal/stand-ins";
import { verbOf } from "../../rehearsal/verb";
import { environment, root } from "./environment";
import { keepingWarnings } from "./warnings";

/** A recognisable text for every secret; each is nowhere else, so that finding one means that it leaked. */
export const sentinels: Readonly<Record<string, string>> = Object.fromEntries(
  secretKeys.map((key) => [key, `sentinel-${key}-must-not-show`]),
);

/** The configuration of a committed environment as Pulumi hands it to the program, with the sentinels for secrets. */
export function configOf(name: string): { config: Record<string, string>; secretKeys: string[] } {
  return withSecrets(readConfigFile(join(root, `Pulumi.${name}.yaml`)).config);
}

/** The same for an environment that a test made. */
export function configFrom(file: object): { config: Record<string, string>; secretKeys: string[] } {
  const keys = Object.fromEntries(
    Object.entries(file).map(([key, value]) => [`home-cluster:${key}`, value as unknown]),
  );
  return withSecrets(parseConfigFile("test.yaml", stringify({ config: keys })).config);
}

function withSecrets(plain: ReturnType<typeof readConfigFile>["config"]): ReturnType<typeof configOf> {
  assert.ok(plain, "the environment file cannot be read");
  const secrets = Object.entries(sentinels).map(([key, value]) => [`home-cluster:${key}`, value] as const);
  const config = Object.fromEntries([...[...plain].map(([key, { text }]) => [key, text] as const), ...secrets]);
  return { config, secretKeys: secrets.map(([key]) => key) };
}

/** How a layer is recorded. */
export interface LayerOptions {
  /** Default false. */
  readonly preview?: boolean;
  /**
   * Answers a resource in the place of its model; `usual` is the model's answer. Throw to make it fail. In a preview nothing is asked: every computed output
   * is unknown.
   */
  readonly answer?: (registration: Registration, usual: () => Promise<Answer>) => Answer | Promise<Answer>;
}

/** A recorded layer, and the pretend home after it. */
export interface LayerRecording extends Recording {
  readonly home: HomeState;
}

/**
 * Runs one layer of a committed environment through the unmodified program, behind the layers before it: every operation is the real one, on the pretend
 * home; what is unresolved in versions.ts has stand-ins.
 */
export async function recordLayer(
  name: "home" | "lab",
  layer: Layer,
  options: LayerOptions = {},
): Promise<LayerRecording> {
  const before = await homeBefore(name, layer);
  return run(name, layer, structuredClone(before.home), before.stackOutputs, options);
}

interface Before {
  readonly home: HomeState;
  readonly stackOutputs: Readonly<Record<string, Properties>>;
}

const known = new Map<string, Promise<Before>>();

/** The home as the layers before this one leave it, with their outputs; recorded once and shared. */
function homeBefore(name: "home" | "lab", layer: Layer): Promise<Before> {
  const key = `${name}-${layer}`;
  const found = known.get(key) ?? advance(name, layer);
  known.set(key, found);
  return found;
}

async function advance(name: "home" | "lab", layer: Layer): Promise<Before> {
  const previous = layers[layers.indexOf(layer) - 1];
  if (previous === undefined) return { home: buildHome(environment(name)), stackOutputs: {} };
  const before = await homeBefore(name, previous);
  const recording = await run(name, previous, structuredClone(before.home), before.stackOutputs, {});
  assert.deepEqual([recording.error, [...recording.failed]], [undefined, []], `${name}-${previous} must come up first`);
  return {
    home: recording.home,
    stackOutputs: { ...before.stackOutputs, [`organization/home-cluster/${name}-${previous}`]: recording.outputs },
  };
}

async function run(
  name: string,
  layer: Layer,
  home: HomeState,
  stackOutputs: Before["stackOutputs"],
  { preview = false, answer }: LayerOptions,
): Promise<LayerRecording> {
  const clock = new VirtualClock(home.now);
  const clients = pretendClients(home, clock);
  const { result: recording } = await keepingWarnings(() =>
    withVersions(() =>
      record(() => program, {
        ...configOf(name),
        stack: `${name}-${layer}`,
        preview,
        stackOutputs,
        answer: (registration) => {
          if (preview) return {};
          const usual = (): Promise<Answer> => answerResource(registration, home, clock, clients);
          return answer ? answer(registration, usual) : usual();
        },
        call: async (token, args) => {
          assert.equal(token, "command:local:run");
          return {
            ...args,
            stdout: await dispatch(verbOf(args.command) ?? "", String(reveal(args.stdin)), () => clients),
          };
        },
      }),
    ),
  );
  await clock.idle();
  home.now = clock.now();
  return { ...recording, home };
}

/** Every environment that is committed, and what it declares. */
export const committed: readonly { readonly name: "home" | "lab"; readonly file: Environment }[] = [
  { name: "home", file: environment("home") },
  { name: "lab", file: environment("lab") },
];
