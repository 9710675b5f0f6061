import { reveal, type Properties } from "../../rehearsal/record";
import type { ComparedStack } from "../compare";
import { isConditional } from "../compare";
import type { OperationName, RecordedOptions, RecordedResource } from "../format";
import { isMap, parsePath } from "../values";

/** A resource on both sides, as the rules read it: secrets unmarked, requests of operations taken apart. Never shown as it is. */
export interface Subject {
  readonly name: string;
  readonly type: string;
  /** What happens to it for certain: what a preview only names because something is not known yet counts as `same`. */
  readonly operation: OperationName;
  readonly before: Properties | undefined;
  readonly after: Properties | undefined;
  readonly optionsBefore: RecordedOptions | undefined;
  readonly optionsAfter: RecordedOptions | undefined;
  readonly refused: string | undefined;
}

/** A stack on both sides. */
export interface Scene {
  readonly stack: string;
  readonly state: "compared" | "new" | "gone";
  readonly subjects: readonly Subject[];
  readonly before: readonly RecordedResource[];
  readonly after: readonly RecordedResource[];
}

/** What a rule found: the resource's name ("" for the stack as a whole) and what would happen, in one sentence. */
export interface Finding {
  readonly resource: string;
  readonly says: string;
}

/** A resource of an example. */
export interface Sketch {
  readonly type: string;
  readonly name: string;
  readonly inputs?: Properties;
  readonly options?: Partial<RecordedOptions>;
  /** Names of what it waits for. */
  readonly waitsFor?: readonly string[];
}

/** A change on which the rule must speak up, or must not. */
export interface Example {
  readonly title: string;
  readonly before: readonly Sketch[];
  readonly after: readonly Sketch[];
}

export interface Rule {
  /** What an acknowledgement names. */
  readonly name: string;
  /** Why it is dangerous. */
  readonly reason: string;
  readonly find: (stage: Scene) => readonly Finding[];
  /** Changes that are fine. */
  readonly good: readonly Example[];
  /** Changes that it finds. */
  readonly bad: readonly Example[];
}

/** A compared stack as the rules read it. Components are no subjects: nothing happens to them. */
export function sceneOf({ stack, before, after, steps }: ComparedStack): Scene {
  const old = new Map((before?.resources ?? []).map((resource) => [resource.urn, resource]));
  const now = new Map((after?.resources ?? []).map((resource) => [resource.urn, resource]));
  const subjects = steps.flatMap((step): Subject[] => {
    const [one, other] = [old.get(step.before ?? step.urn), now.get(step.urn)];
    const resource = other ?? one;
    if (!resource?.custom) return [];
    return [
      {
        name: resource.name,
        type: resource.type,
        operation: isConditional(step, one, other) ? "same" : step.operation,
        before: one && plain(one),
        after: other && plain(other),
        optionsBefore: one?.options,
        optionsAfter: other?.options,
        refused: step.refused,
      },
    ];
  });
  return {
    stack,
    state: !before ? "new" : !after ? "gone" : "compared",
    subjects,
    before: before?.resources ?? [],
    after: after?.resources ?? [],
  };
}

/** Inputs without marks, a request in the place of its text. */
export function plain({ inputs }: Pick<RecordedResource, "inputs">): Properties {
  const revealed = reveal(inputs) as Properties;
  if (typeof revealed.stdin !== "string") return revealed;
  try {
    return { ...revealed, stdin: JSON.parse(revealed.stdin) as unknown };
  } catch {
    return revealed;
  }
}

/** The value at a path of a subject's inputs. */
export function at(inputs: Properties | undefined, path: string): unknown {
  return parsePath(path).reduce<unknown>(
    (inner, key) => (Array.isArray(inner) ? inner[Number(key)] : isMap(inner) ? inner[String(key)] : undefined),
    inputs,
  );
}

/** A rule that looks at each resource by itself. */
export function each(
  types: RegExp,
  look: (subject: Subject, stage: Scene) => string | undefined,
): (stage: Scene) => readonly Finding[] {
  return (stage) =>
    stage.subjects
      .filter(({ type }) => types.test(type))
      .flatMap((subject) => {
        const says = look(subject, stage);
        return says === undefined ? [] : [{ resource: subject.name, says }];
      });
}

/** Whether it was there and goes, for good or to be made anew. */
export function goes({ operation }: Subject): boolean {
  return operation === "delete" || operation === "replace";
}

/** The verb of an operation that is declared as a resource. */
export function verbIn(inputs: Properties | undefined): string | undefined {
  return typeof inputs?.create === "string" ? /^operations\/run (\S+)$/.exec(inputs.create)?.[1] : undefined;
}

/** Entries of a list that are maps. */
export function maps(value: unknown): readonly Properties[] {
  return Array.isArray(value) ? value.filter(isMap) : [];
}
