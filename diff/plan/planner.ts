import { unknown } from "./unknown";
import { type Answer, isUnknown, reveal, type Properties } from "../../rehearsal/record";
import type { OperationName, PlannedStep, RecordedResource, ReplacementReason } from "../format";
import {
  differences,
  formatPath,
  hasUnknown,
  isWithin,
  parsePath,
  unknownPaths,
  valueAt,
  withValueAt,
  type Difference,
} from "../values";
import { plannedOutputs } from "./outputs";
import { replacementReasons } from "./replacement";

const stackType = "pulumi:pulumi:Stack";

/** The stack's own resource says nothing of what changes. */
export function withoutStack({ type }: { readonly type: string }): boolean {
  return type !== stackType;
}

/**
 * Decides for one stack, resource by resource as the program registers them, what the engine would: the same steps that `pulumi preview` names where the old
 * resources are deployed. Rules of the engine: sdk pkg/resource/deploy/step_generator.go; test/engine/diff.test.ts holds the two against each other.
 */
export class Planner {
  private readonly old: ReadonlyMap<string, RecordedResource>;
  private readonly steps = new Map<string, PlannedStep>();
  private readonly now = new Map<string, RecordedResource>();
  /** Old URNs that go along because they were made from something that is deleted first, and why. */
  private readonly dragged = new Map<string, ReplacementReason>();

  constructor(old: readonly RecordedResource[]) {
    this.old = new Map(old.map((resource) => [resource.urn, resource]));
  }

  /** One step, and what the program gets to see of the resource while nothing has happened yet. */
  register(resource: RecordedResource): Answer {
    if (!withoutStack(resource)) return { id: "", outputs: {} };
    const old = [resource.urn, ...resource.aliases]
      .map((urn) => this.old.get(urn))
      .find((known) => known !== undefined);
    this.now.set(resource.urn, resource);
    const ignoring = old ? withIgnored(resource, old) : { inputs: resource.inputs, ignored: [] };
    const found = old ? differences(old.inputs, ignoring.inputs).filter((difference) => matters(difference)) : [];
    const replacedBy = old ? this.replacement(resource, old, found) : [];
    const operation = this.operation(resource, old, found, replacedBy);
    const deletesFirst = operation === "replace" && old !== undefined && deletesBefore(resource, old);
    const step: PlannedStep = {
      urn: resource.urn,
      operation,
      before: old && old.urn !== resource.urn ? old.urn : undefined,
      replacedBy: operation === "replace" ? replacedBy : [],
      deletesFirst,
      unknown: operation === "same" ? [] : unknownPaths(ignoring.inputs).map(formatPath),
      ignored: ignoring.ignored,
      refused:
        operation === "replace" && old?.options.protect === true && resource.options.protect
          ? "the engine does not replace what is protected"
          : undefined,
    };
    this.steps.set(resource.urn, step);
    if (deletesFirst && old) this.drag(old);
    if (!resource.custom) return { id: "", outputs: {} };
    if (operation === "same") return { id: old?.id ?? "", outputs: old?.outputs ?? {} };
    const stays = operation === "update" ? old : undefined;
    return { id: stays?.id ?? "", outputs: plannedOutputs({ ...resource, inputs: ignoring.inputs }, stays) };
  }

  /** All steps, deletions of what was not registered again at their end. */
  finish(): readonly PlannedStep[] {
    const kept = new Set([...this.steps.values()].map(({ urn, before }) => before ?? urn));
    const deleted = [...this.old.values()]
      .filter(({ urn }) => !kept.has(urn))
      .reverse()
      .map((old): PlannedStep => ({
        urn: old.urn,
        operation: "delete",
        before: undefined,
        replacedBy: [],
        deletesFirst: false,
        unknown: [],
        ignored: [],
        refused: old.options.protect ? "the engine does not delete what is protected" : undefined,
      }));
    return [...this.steps.values(), ...deleted];
  }

  private operation(
    resource: RecordedResource,
    old: RecordedResource | undefined,
    found: readonly Difference[],
    replacedBy: readonly ReplacementReason[],
  ): OperationName {
    const { importId } = resource.options;
    if (!old) return importId === "" ? "create" : "import";
    // An import of something else than what is in the state.
    if (importId !== "" && importId !== old.options.importId && importId !== old.id) return "replace";
    if (replacedBy.length > 0) return "replace";
    const versioned = resource.type.startsWith("pulumi:providers:") && resource.version !== old.version;
    return found.length > 0 || versioned ? "update" : "same";
  }

  private replacement(
    resource: RecordedResource,
    old: RecordedResource,
    found: readonly Difference[],
  ): readonly ReplacementReason[] {
    if (!resource.custom || !old.custom) {
      if (resource.custom === old.custom) return [];
      return [
        { path: "", why: "a component takes the place of a resource, or the other way round", source: "the engine" },
      ];
    }
    const provider = this.steps.get(resource.provider);
    const providerReasons: ReplacementReason[] =
      provider?.operation === "replace"
        ? [
            {
              path: "provider",
              why: "its provider is replaced",
              source: "the engine, step_generator.go, providerChanged",
            },
          ]
        : [];
    const dragged = this.dragged.get(old.urn);
    const settings = reveal(this.now.get(resource.provider)?.inputs ?? {}) as Properties;
    const own = [...replacementReasons(resource, found, settings), ...providerReasons];
    // What it is made from is named only where nothing of its own says it already.
    return own.length > 0 || !dragged ? own : [dragged];
  }

  /**
   * What is deleted before it is made anew takes along everything that was made from it and could not stay with that unknown, since it has to be deleted earlier
   * still (step_generator.go, calculateDependentReplacements).
   */
  private drag(root: RecordedResource): void {
    const gone = new Set([root.urn]);
    for (const candidate of this.old.values()) {
      if (!candidate.custom || gone.has(candidate.urn)) continue;
      const from = Object.entries(candidate.propertyDependencies)
        .filter(([, urns]) => urns.some((urn) => gone.has(urn)))
        .map(([property]) => property);
      const guessed = { ...candidate.inputs, ...Object.fromEntries(from.map((property) => [property, unknown])) };
      const settings = reveal(this.old.get(candidate.provider)?.inputs ?? {}) as Properties;
      const [reason] = replacementReasons(candidate, differences(candidate.inputs, guessed), settings);
      if (!reason && !gone.has(candidate.provider)) continue;
      gone.add(candidate.urn);
      this.dragged.set(candidate.urn, {
        path: reason?.path ?? "provider",
        why: `made from ${root.name}, which is deleted first`,
        source: "the engine, step_generator.go, calculateDependentReplacements",
      });
    }
  }
}

/** Inputs with the old values where `ignoreChanges` says so, and the paths at which that hides a difference. */
function withIgnored(
  { inputs, options }: RecordedResource,
  old: RecordedResource,
): { readonly inputs: Properties; readonly ignored: readonly string[] } {
  const paths = options.ignoreChanges.map(parsePath);
  const ignored = differences(old.inputs, inputs).filter(
    ({ path, after }) => !hasUnknown(after) && paths.some((pattern) => isWithin(path, pattern)),
  );
  const kept = paths.reduce<unknown>((all, path) => withValueAt(all, path, valueAt(old.inputs, path)), inputs);
  return { inputs: kept as Properties, ignored: ignored.map(({ path }) => formatPath(path)) };
}

/** A list's or map's end that is there on one side as nothing is no difference to any provider. */
function matters({ before, after }: Difference): boolean {
  return !(isNothing(before) && isNothing(after));
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null;
}

function deletesBefore({ type, inputs, options }: RecordedResource, old: RecordedResource): boolean {
  if (options.deleteBeforeReplace !== undefined) return options.deleteBeforeReplace;
  if (!type.startsWith("kubernetes:") || type.includes(":helm.sh/")) return false;
  // A name and namespace that stay can exist only once (pulumi-kubernetes provider.go, Diff, deleteBeforeReplace).
  return ["name", "namespace"].every((key) => {
    const [before, after] = [old.inputs, inputs].map((side) => reveal(valueAt(side, ["metadata", key])));
    return before === after && !isUnknown(after);
  });
}
