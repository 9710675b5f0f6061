import { isSecret, isUnknown, reveal, type Properties } from "../rehearsal/record";
import type { PlannedLayer, PlannedStep, Plan, RecordedLayer, RecordedResource, Recording } from "./format";
import type { Danger, Failure, PropertyChange, ResourceChange, StackChanges, Summary } from "./report";
import { standInPrefix } from "./secrets";
import { differences, formatPath, isMap, parsePath, touches, type Difference } from "./values";

/** One stack on both sides, as the comparison and the rules about danger read it. */
export interface ComparedStack {
  readonly stack: string;
  readonly environment: string;
  readonly before: RecordedLayer | undefined;
  readonly after: RecordedLayer | undefined;
  readonly steps: readonly PlannedStep[];
}

/** Puts both sides of each stack together with the plan; stacks of which a side failed are left out. */
export function pairStacks(base: Recording, head: Recording, plan: Plan): readonly ComparedStack[] {
  const failed = failedStacks(base, head, plan);
  const names = new Set([...head.layers, ...base.layers].map(({ stack }) => stack));
  return [...names]
    .filter((stack) => !failed.has(stack))
    .map((stack) => {
      const [before, after] = [base, head].map(({ layers }) => layers.find((layer) => layer.stack === stack));
      const planned = plan.layers.find((layer) => layer.stack === stack);
      const environment = (after ?? before)?.environment ?? "";
      return { stack, environment, before, after, steps: planned?.steps ?? deletedSteps(before) };
    });
}

/** The layers that did not evaluate, the first of each environment only: what comes behind it fails for want of it. */
export function evaluationFailures(base: Recording, head: Recording, plan?: Plan): readonly Failure[] {
  const first = (side: Failure["side"], layers: readonly (RecordedLayer | PlannedLayer)[]): Failure[] => {
    const failing = layers.filter(({ error }) => error !== undefined);
    return failing
      .filter(({ stack }, index) => failing.findIndex((other) => sameEnvironment(other.stack, stack)) === index)
      .map(({ stack, error = "" }) => ({ side, stack, message: error }));
  };
  const ofHead = first("head", head.layers);
  return [...first("base", base.layers), ...(ofHead.length > 0 ? ofHead : first("head", plan?.layers ?? []))];
}

function sameEnvironment(one: string, other: string): boolean {
  return one.slice(0, one.lastIndexOf("-")) === other.slice(0, other.lastIndexOf("-"));
}

function failedStacks(base: Recording, head: Recording, plan: Plan): ReadonlySet<string> {
  const layers = [...base.layers, ...head.layers, ...plan.layers];
  return new Set(layers.filter(({ error }) => error !== undefined).map(({ stack }) => stack));
}

/** A stack whose environment is gone: the head has no program for it, so all of it goes with the environment, if somebody destroys it. */
function deletedSteps(before: RecordedLayer | undefined): readonly PlannedStep[] {
  return (before?.resources ?? []).toReversed().map(({ urn, options }) => ({
    urn,
    operation: "delete" as const,
    before: undefined,
    replacedBy: [],
    deletesFirst: false,
    unknown: [],
    ignored: [],
    refused: options.protect ? "the engine does not delete what is protected" : undefined,
  }));
}

/** What changes in each stack, in the order in which the engine would do it. */
export function stackChanges(
  compared: readonly ComparedStack[],
  base: Recording,
  head: Recording,
): readonly StackChanges[] {
  const names = [...new Set([...head.layers, ...base.layers].map(({ stack }) => stack))];
  return names.flatMap((stack): StackChanges[] => {
    const layer = [...head.layers, ...base.layers].find((one) => one.stack === stack);
    const found = compared.find((one) => one.stack === stack);
    if (!layer) return [];
    const { environment, layer: name } = layer;
    if (!found) return [{ stack, environment, layer: name, state: "withheld", resources: [] }];
    const state = !found.before ? "new" : !found.after ? "gone" : "compared";
    return [{ stack, environment, layer: name, state, resources: resourceChanges(found) }];
  });
}

function resourceChanges({ before, after, steps }: ComparedStack): readonly ResourceChange[] {
  const old = byUrn(before);
  const now = byUrn(after);
  const moved = new Map(steps.flatMap((step) => (step.before === undefined ? [] : [[step.before, step.urn] as const])));
  const changes = steps.flatMap((step) => {
    const [one, other] = [old.get(step.before ?? step.urn), now.get(step.urn)];
    const resource = other ?? one;
    if (!resource?.custom) return [];
    const changed = step.operation === "delete" ? [] : properties(step, one, other);
    const change: ResourceChange = {
      urn: step.urn,
      type: resource.type,
      name: resource.name,
      within: ancestors(resource, other ? now : old),
      operation: step.operation,
      movedFrom: step.before,
      replacedBy: step.replacedBy,
      deletesFirst: step.deletesFirst,
      refused: step.refused,
      conditional: isConditional(step, one, other),
      properties: changed,
      ignored: step.ignored,
      settings: one && other ? settings(one, other) : [],
      gates: one && other ? gates(one, other, old, now, moved) : { added: [], removed: [] },
    };
    return isChange(change) ? [change] : [];
  });
  return inTree(changes);
}

/** Whether it is only named because something is known afterwards: in the recordings, where everything is known, it stays as it is. */
export function isConditional(
  step: PlannedStep,
  before: RecordedResource | undefined,
  after: RecordedResource | undefined,
): boolean {
  return (
    (step.operation === "update" || step.operation === "replace") &&
    properties(step, before, after).every(({ unknown }) => unknown === true) &&
    step.replacedBy.every(({ path }) => step.unknown.includes(path))
  );
}

/** By component, each where its first resource stands: what runs side by side is registered in any order. */
function inTree(changes: readonly ResourceChange[], depth = 0): readonly ResourceChange[] {
  const groups = new Map<string | undefined, ResourceChange[]>();
  for (const change of changes) {
    // A resource without a further component is a group of its own.
    const key = change.within[depth] ?? change.urn;
    groups.set(key, [...(groups.get(key) ?? []), change]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return group.length > 1 && first?.within[depth] !== undefined ? inTree(group, depth + 1) : group;
  });
}

function isChange({ operation, movedFrom, settings: set, gates: waits }: ResourceChange): boolean {
  return operation !== "same" || movedFrom !== undefined || set.length + waits.added.length + waits.removed.length > 0;
}

function byUrn(layer: RecordedLayer | undefined): ReadonlyMap<string, RecordedResource> {
  return new Map((layer?.resources ?? []).map((resource) => [resource.urn, resource]));
}

function ancestors(resource: RecordedResource, all: ReadonlyMap<string, RecordedResource>): readonly string[] {
  const parent = all.get(resource.parent);
  return parent ? [...ancestors(parent, all), parent.name] : [];
}

function properties(
  step: PlannedStep,
  before: RecordedResource | undefined,
  after: RecordedResource | undefined,
): readonly PropertyChange[] {
  if (!after || step.operation === "same") return [];
  const ignored = step.ignored.map(parsePath);
  const from = expanded(before?.inputs ?? {});
  const to = expanded(after.inputs);
  const found = before ? differences(from, to) : leaves(to);
  const replacing = step.replacedBy.filter(({ path }) => path !== "").map(({ path }) => parsePath(path));
  const changes = found
    .filter(({ path }) => !ignored.some((pattern) => touches(path, pattern)))
    .map((difference) => propertyChange(difference, replacing));
  // What is known only afterwards and shows no difference in what would most likely be there.
  const late = before
    ? step.unknown
        .filter((path) => !changes.some((change) => touches(parsePath(change.path), parsePath(path))))
        .map((path) => ({ path, unknown: true as const }))
    : [];
  const versioned: PropertyChange[] =
    before && before.version !== after.version && after.type.startsWith("pulumi:providers:")
      ? [{ path: "version", before: before.version, after: after.version }]
      : [];
  return [...changes, ...late, ...versioned];
}

/** Every value of something new, as deep as there are maps. */
function leaves(value: unknown, path: Difference["path"] = []): readonly Difference[] {
  if (!isMap(value)) return [{ path, before: undefined, after: value }];
  return Object.entries(value).flatMap(([key, entry]) => leaves(entry, [...path, key]));
}

function propertyChange({ path, before, after }: Difference, replacing: readonly Difference["path"][]): PropertyChange {
  return {
    path: formatPath(path),
    ...(before !== undefined && { before: shown(before) }),
    ...(after !== undefined && { after: shown(after) }),
    ...((holdsSecret(before) || holdsSecret(after)) && { secret: true as const }),
    ...(replacing.some((pattern) => touches(path, pattern)) && { replaces: true as const }),
  };
}

/** In the place of what is not shown. */
export const secretWord = "[secret]";
export const unknownWord = "[known after apply]";

/** A value as anybody may see it. */
export function shown(value: unknown): unknown {
  if (isSecret(value)) return secretWord;
  if (isUnknown(value)) return unknownWord;
  if (typeof value === "string") return value.includes(standInPrefix) ? secretWord : value;
  if (Array.isArray(value)) return value.map(shown);
  return isMap(value) ? Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shown(entry)])) : value;
}

function holdsSecret(value: unknown): boolean {
  if (isSecret(value)) return true;
  if (typeof value === "string") return value.includes(standInPrefix);
  if (Array.isArray(value)) return value.some(holdsSecret);
  return isMap(value) && Object.values(value).some(holdsSecret);
}

/**
 * Inputs with the texts that carry structure taken apart, so that one changed value is shown and not two long lines: the request of an operation, and YAML inside of
 * an object. A request is a secret for the sake of its access; its input never holds one (operations/operation.ts), and stand-ins are told by their text.
 */
function expanded(inputs: Properties): Properties {
  const stdin = reveal(inputs.stdin);
  if (typeof stdin !== "string" || !/^operations\/run \S+$/.test(String(inputs.create))) return inputs;
  try {
    return { ...inputs, stdin: JSON.parse(stdin) as unknown };
  } catch {
    return inputs;
  }
}

const settingNames = [
  "protect",
  "retainOnDelete",
  "deleteBeforeReplace",
  "deletedWith",
  "ignoreChanges",
  "replaceOnChanges",
  "importId",
  "customTimeouts",
] as const;

function settings(before: RecordedResource, after: RecordedResource): readonly PropertyChange[] {
  return settingNames.flatMap((name) =>
    differences(before.options[name], after.options[name], [name]).map((difference) => propertyChange(difference, [])),
  );
}

/** Only what is there on both sides: that something waits for what is new goes without saying. */
function gates(
  before: RecordedResource,
  after: RecordedResource,
  old: ReadonlyMap<string, RecordedResource>,
  now: ReadonlyMap<string, RecordedResource>,
  moved: ReadonlyMap<string, string>,
): ResourceChange["gates"] {
  const then = new Set(before.dependencies.map((urn) => moved.get(urn) ?? urn));
  const later = new Set(after.dependencies);
  const newNames = new Set(moved.values());
  const name = (urn: string): string => now.get(urn)?.name ?? urn;
  const onBoth = (urn: string): boolean => now.has(urn) && (old.has(urn) || newNames.has(urn));
  return {
    added: [...later].filter((urn) => !then.has(urn) && onBoth(urn)).map(name),
    removed: [...then].filter((urn) => !later.has(urn) && onBoth(urn)).map(name),
  };
}

export function summarize(stacks: readonly StackChanges[], dangers: readonly Danger[]): Summary {
  const all = stacks.flatMap(({ resources }) => resources);
  const count = (operation: ResourceChange["operation"]): number =>
    all.filter((change) => change.operation === operation).length;
  return {
    create: count("create"),
    update: count("update"),
    replace: count("replace"),
    delete: count("delete"),
    import: count("import"),
    moved: all.filter(({ movedFrom }) => movedFrom !== undefined).length,
    conditional: all.filter(({ conditional }) => conditional).length,
    settings: all.filter(({ operation, movedFrom }) => operation === "same" && movedFrom === undefined).length,
    dangers: dangers.length,
    unacknowledged: dangers.filter(({ acknowledged }) => acknowledged === undefined).length,
  };
}

/** Whether anything at all differs. */
export function hasChanges(stacks: readonly StackChanges[]): boolean {
  return stacks.some(({ resources }) => resources.length > 0);
}
