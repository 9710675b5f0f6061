import { join } from "node:path";
import type { Alias } from "@pulumi/pulumi/proto/alias_pb";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb";
import { project } from "../../environment/config";
import { readConfigFile } from "../../environment/file";
import { environmentFile, environmentNames } from "../../environment/links";
import { layers, type Layer } from "../../environment/stack";
import program from "../../index";
import { record, type Properties, type RecordOptions, type Registration } from "../../rehearsal/record";
import { standInSecrets, withVersions } from "../../rehearsal/stand-ins";
import {
  recordingVersion,
  type Plan,
  type RecordedLayer,
  type RecordedResource,
  type Recording,
  type SecretTexts,
} from "../format";
import { Planner, withoutStack } from "../plan/planner";
import { answerInvoke, answerOnceThere } from "./answers";

/** Records every layer of every environment in the folder, as it is once it is up. `secretTexts` are stand-ins in the place of the usual ones. */
export async function recordSide(folder: string, secretTexts: SecretTexts): Promise<Recording> {
  const recorded: RecordedLayer[] = [];
  for (const environment of environmentNames(folder))
    for (const layer of layers) recorded.push(await recordLayer(folder, environment, layer, recorded, secretTexts));
  return { version: recordingVersion, layers: recorded };
}

async function recordLayer(
  folder: string,
  environment: string,
  layer: Layer,
  before: readonly RecordedLayer[],
  secretTexts: SecretTexts,
): Promise<RecordedLayer> {
  const resources: RecordedResource[] = [];
  const { error, outputs } = await run(configured(folder, environment, layer, before, secretTexts), {
    respond: (registration, request) => {
      const answer = registration.custom ? answerOnceThere(registration) : { id: "", outputs: {} };
      resources.push(recordedResource(registration, request, answer.id, answer.outputs));
      return answer;
    },
  });
  const stack = `${environment}-${layer}`;
  return { environment, layer, stack, resources: resources.filter(withoutStack), outputs, error };
}

/** What a preview of each layer would say where `base` is deployed, each layer behind those before it. */
export async function planSide(
  folder: string,
  base: Recording,
  head: Recording,
  secretTexts: SecretTexts,
): Promise<Plan> {
  const plan: Plan["layers"][number][] = [];
  for (const { environment, layer, stack } of head.layers) {
    const deployed = base.layers.find((other) => other.stack === stack);
    const planner = new Planner(deployed?.resources ?? []);
    // The layers before this one are up as the head has them: that is the order in which they go up.
    const { error } = await run(configured(folder, environment, layer, head.layers, secretTexts), {
      preview: true,
      respond: (registration, request) => planner.register(recordedResource(registration, request, "", {})),
    });
    plan.push({ stack, steps: error === undefined ? planner.finish() : [], error });
  }
  return { version: recordingVersion, layers: plan };
}

function configured(
  folder: string,
  environment: string,
  layer: Layer,
  before: readonly RecordedLayer[],
  secretTexts: SecretTexts,
): RecordOptions {
  const { config } = readConfigFile(join(folder, environmentFile(environment)));
  const written = [...(config ?? [])];
  // What stands in clear is left as it is: the program refuses a secret in clear, and what is encrypted without need.
  const secrets = Object.entries({ ...standInSecrets(), ...secretTexts[environment] })
    .map(([key, text]) => [`${project}:${key}`, text] as const)
    .filter(([key]) => written.every(([name, { encrypted }]) => name !== key || encrypted));
  const encrypted = written.filter(([, value]) => value.encrypted).map(([key]) => key);
  return {
    project,
    stack: `${environment}-${layer}`,
    config: Object.fromEntries([...written.map(([key, { text }]) => [key, text] as const), ...secrets]),
    secretKeys: [...secrets.map(([key]) => key), ...encrypted],
    stackOutputs: Object.fromEntries(
      before
        .filter((other) => other.environment === environment)
        .map(({ stack, outputs }) => [`organization/${project}/${stack}`, outputs]),
    ),
    call: answerInvoke,
  };
}

async function run(
  options: RecordOptions,
  how: Pick<RecordOptions, "answer" | "respond" | "preview">,
): Promise<{ readonly error: string | undefined; readonly outputs: Properties }> {
  const { error, failed, outputs } = await withVersions(() => record(() => program, { ...options, ...how }));
  const [failure] = failed.values();
  return { error: error ? error.message : failure, outputs };
}

function recordedResource(
  registration: Registration,
  request: RegisterResourceRequest,
  id: string,
  outputs: Properties,
): RecordedResource {
  const { urn, type, name, custom, parent, provider, inputs, dependencies, options } = registration;
  const { protect, retainOnDelete, deletedWith, ignoreChanges, importId, customTimeouts } = options;
  const properties = request
    .getPropertydependenciesMap()
    .toArray()
    .map(([property]) => [
      property,
      [...(request.getPropertydependenciesMap().get(property)?.getUrnsList() ?? [])].sort(),
    ]);
  return {
    urn,
    type,
    name,
    custom,
    parent,
    provider: provider.split("::").slice(0, 4).join("::"),
    version: request.getVersion(),
    inputs,
    id,
    outputs,
    dependencies: [...dependencies].sort(),
    propertyDependencies: Object.fromEntries(properties) as Record<string, string[]>,
    aliases: request.getAliasesList().map((alias) => aliasUrn(alias, registration)),
    options: {
      protect,
      retainOnDelete,
      deleteBeforeReplace: request.getDeletebeforereplacedefined() ? options.deleteBeforeReplace : undefined,
      deletedWith,
      ignoreChanges,
      replaceOnChanges: request.getReplaceonchangesList(),
      importId,
      customTimeouts,
    },
  };
}

/** An alias is a URN, or says what was different: name, type, project, stack or parent. */
function aliasUrn(alias: Alias, { urn, type, name, parent }: Registration): string {
  const spec = alias.getSpec();
  if (alias.getUrn() !== "" || !spec) return alias.getUrn();
  const [stackPart = "", projectPart = ""] = urn.slice("urn:pulumi:".length).split("::");
  const owner = spec.getNoparent() ? "" : spec.getParenturn() || parent;
  const ownerType = owner.split("::")[2] ?? "";
  const own = spec.getType() || type;
  const qualified = ownerType === "" || ownerType === "pulumi:pulumi:Stack" ? own : `${ownerType}$${own}`;
  const [inStack, inProject] = [spec.getStack() || stackPart, spec.getProject() || projectPart];
  return `urn:pulumi:${inStack}::${inProject}::${qualified}::${spec.getName() || name}`;
}
