import type { Layer } from "../environment/stack";
import { verbOf } from "./verb";
import type { Story } from "./story";

/** Something whose completion lets others go on, in its layer or the next, and when it did. */
export interface Gate {
  readonly layer: Layer;
  readonly name: string;
  /** What kind of gate: an operation's verb, a Job, a release … */
  readonly what: string;
  /** Milliseconds since the rehearsal's start. */
  readonly openedAt: number;
  /** How many resources of its own layer wait for it. */
  readonly waiting: number;
}

/** Types whose completion means something; other resources are merely there. */
const gateTypes: Readonly<Record<string, string>> = {
  "command:local:Command": "operation",
  "kubernetes:batch/v1:Job": "job",
  "kubernetes:helm.sh/v3:Release": "release",
  "kubernetes:core/v1:PersistentVolumeClaim": "claim",
};

/** Every gate of every layer, in the order in which they opened. */
export function gates(story: Story): readonly Gate[] {
  return story.layers
    .flatMap((run) => {
      const waiting = new Map<string, number>();
      for (const { registration } of run.steps)
        for (const urn of registration.dependencies) waiting.set(urn, (waiting.get(urn) ?? 0) + 1);
      const asked = run.asked.map(({ verb, at }) => ({
        layer: run.layer,
        name: verb,
        what: "check",
        openedAt: at,
        waiting: 0,
      }));
      const resources = run.steps
        .filter(({ registration }) => registration.type in gateTypes)
        .map(({ registration, finishedAt }) => ({
          layer: run.layer,
          name: registration.name,
          what: verbOf(registration.inputs.create) ?? gateTypes[registration.type] ?? "",
          openedAt: finishedAt,
          waiting: waiting.get(registration.urn) ?? 0,
        }));
      return [...asked, ...resources];
    })
    .sort((a, b) => a.openedAt - b.openedAt);
}
