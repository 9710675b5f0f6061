import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { volumeName } from "../environment/volume-name";
import { connect } from "../operations/connect";
import { dispatch, type Connect } from "../operations/dispatch";
import type { VolumeRef } from "../operations/volumes/ledger";
import type { RolledBack } from "../operations/volumes/rollback-volume";
import { readSecrets } from "./secrets";
import { findEnvironment } from "./subject";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run rollback -- <environment> <volume> [--yes]
  Takes a volume's workload back to its old volume with its replicas, from any point of a cutover before finalize; again after any failure.
  Says first what it does, and asks. Deletes no data. <volume> is <namespace>/<claim>, or the volume's name in resource names.
  Exit 0: back, or nothing to take back; 1: refused, failed or not agreed to; 2: wrong usage.`;

/** What a test puts in place of the terminal and the live systems. */
export interface RollbackParts {
  /** The operator's answer. */
  readonly ask: (question: string) => Promise<string>;
  readonly secrets: typeof readSecrets;
  readonly connect: Connect;
}

const live: RollbackParts = { ask, secrets: readSecrets, connect };

/** `npm run rollback`: what every message in the middle of a cutover names. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  parts: RollbackParts = live,
): Promise<number> {
  const options = read(args);
  if (!options) {
    where.error(usage);
    return 2;
  }
  const { environment, yes } = options;
  const volume = refOf(environment, options.volume, where);
  if (!volume) {
    where.error(`${environment} has no volume ${options.volume}; write it as <namespace>/<claim>\n${usage}`);
    return 2;
  }
  const { kubeconfig = "" } = parts.secrets(environment, ["kubeconfig"]);
  const request = JSON.stringify({
    version: 1,
    access: { kubernetes: { kubeconfig } },
    input: { environment, namespace: volume.namespace, claim: volume.claim },
  });
  const run = async (verb: string): Promise<RolledBack> =>
    JSON.parse(await dispatch(verb, request, parts.connect)) as RolledBack;
  const { state, steps } = await run("plan-rollback");
  const name = `${volume.namespace}/${volume.claim}`;
  if (state === "nothing") {
    where.out(`${name}: nothing to roll back: its workload is on the old volume`);
    return 0;
  }
  where.out(`${name}: this will`);
  for (const step of steps) where.out(`  - ${step}`);
  if (!yes && (await parts.ask('Go on? Only "yes" does: ')).trim() !== "yes") {
    where.error("nothing was done");
    return 1;
  }
  await run("rollback-volume");
  where.out(
    `${name}: back on its old volume. \`pulumi up\` of the volumes layer refuses until the file agrees: write stage: copy to stay here, ` +
      "or a higher attempt to cut over again",
  );
  return 0;
}

function read(
  args: readonly string[],
): { readonly environment: string; readonly volume: string; readonly yes: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { yes: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [environment, volume, ...rest] = positionals;
    if (environment === undefined || volume === undefined || rest.length > 0) return undefined;
    return { environment, volume, yes: values.yes };
  } catch {
    return undefined;
  }
}

/** A volume in full needs no file: the way back must not wait until an edit of it is right. */
function refOf(environment: string, volume: string, where: Surroundings): VolumeRef | undefined {
  const [, namespace, claim] = /^([^/]+)\/([^/]+)$/.exec(volume) ?? [];
  if (namespace !== undefined && claim !== undefined) return { namespace, claim };
  const { volumes } = findEnvironment(environment, where).environment;
  return volumes.find((other) => volumeName(other, volumes) === volume);
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}
