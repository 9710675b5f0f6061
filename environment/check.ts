import { explain } from "./explain";
import { remember, usable } from "./origin";
import type { Problem } from "./problem";
import { rules, type Rule } from "./rules";
import { salvage } from "./salvage";
import { environmentSchema, type Environment } from "./schema";

/** What checking a file gave: the environment when nothing is wrong with its form, and every problem. */
export interface Checked {
  readonly environment: Environment | undefined;
  readonly problems: readonly Problem[];
}

/**
 * Checks the form, then how the values fit together, and reports everything at once: where the form is wrong, the rules still run on what can be used.
 * Never throws for bad input.
 */
export function checkEnvironment(raw: unknown, applied: readonly Rule[] = rules): Checked {
  const parsed = environmentSchema.safeParse(raw);
  if (parsed.success) {
    const environment = remember(parsed.data, []);
    return { environment, problems: applied.flatMap((rule) => apply(rule, environment)) };
  }
  // Typed as a whole environment although parts may be missing: reading one throws Unusable, which `apply` expects.
  const rest = salvage(environmentSchema, raw) as Environment | undefined;
  return {
    environment: undefined,
    problems: [
      ...parsed.error.issues.flatMap((issue) => explain(environmentSchema, raw, issue)),
      ...(rest ? applied.flatMap((rule) => apply(rule, rest)) : []),
    ],
  };
}

function apply(rule: Rule, environment: Environment): Problem[] {
  return usable(() => rule(environment), []).map((finding) => ({ severity: "error", rule: rule.name, ...finding }));
}
