import { readConfigFile } from "../../environment/file";
import { runLayer, type LayerRequest } from "../../rehearsal/layer";
import { rehearse, type Rehearsal } from "../../rehearsal/run";
import type { Story } from "../../rehearsal/story";
import { environment, root } from "./environment";
import { join } from "node:path";

const told = new Map<string, Promise<Rehearsal>>();

/** A rehearsal of a committed environment; told once per test run, since it takes seconds. Callers clone what they change. */
export function rehearsalOf(name: "home" | "lab", fail?: string): Promise<Rehearsal> {
  const key = `${name} ${fail ?? ""}`;
  const known = told.get(key);
  if (known) return known;
  const telling = tell(name, fail);
  told.set(key, telling);
  return telling;
}

async function tell(name: "home" | "lab", fail: string | undefined): Promise<Rehearsal> {
  const { config } = readConfigFile(join(root, `Pulumi.${name}.yaml`));
  return rehearse({
    environmentName: name,
    environment: environment(name),
    config: new Map([...(config ?? [])].map(([key, value]) => [key, value.text] as const)),
    fail,
    progress: () => undefined,
    // lab as `npm run rehearse` does it, in processes of their own; home and every fault here, where the program is loaded already.
    ...(name === "home" && { runLayer: (request: LayerRequest) => runLayer(structuredClone(request)) }),
    ...(fail !== undefined && { reference: (await rehearsalOf(name)).story }),
  });
}

/** The story of a rehearsal without a fault, free to be changed. */
export async function storyOf(name: "home" | "lab"): Promise<Story> {
  return structuredClone((await rehearsalOf(name)).story);
}
