import type { ComparedStack } from "../compare";
import type { Danger } from "../report";
import { accessRules } from "./access";
import { acknowledgementOf, type Acknowledgement } from "./acknowledge";
import { dataRules } from "./data";
import { networkRules } from "./network";
import { nodeRules } from "./nodes";
import { sceneOf, type Rule } from "./rule";
import { stepRules } from "./steps";

/** Every rule, the worst first: that is the order in which dangers are shown. */
export const rules: readonly Rule[] = [...dataRules, ...nodeRules, ...networkRules, ...accessRules, ...stepRules];

/** What is dangerous about a change, those that nobody acknowledged first. */
export function findDangers(
  compared: readonly ComparedStack[],
  acknowledgements: readonly Acknowledgement[],
): readonly Danger[] {
  const scenes = compared.map((stack) => ({ environment: stack.environment, scene: sceneOf(stack) }));
  const found = rules.flatMap(({ name, reason, find }) =>
    scenes.flatMap(({ environment, scene }) =>
      find(scene).map(({ resource, says }): Danger => {
        const danger = { rule: name, environment, stack: scene.stack, resource, says, reason };
        return { ...danger, acknowledged: acknowledgementOf(danger, acknowledgements) };
      }),
    ),
  );
  return [...found.filter(({ acknowledged }) => !acknowledged), ...found.filter(({ acknowledged }) => acknowledged)];
}
