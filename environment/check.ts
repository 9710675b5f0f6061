import type { z } from "zod";
import { environmentSchema, type Environment } from "./schema";
import { show, type Problem } from "./problem";
import { rules } from "./rules";

/** What checking a file gave: the environment when nothing is wrong with its form, and every problem. */
export interface Checked {
  readonly environment: Environment | undefined;
  readonly problems: readonly Problem[];
}

/** Checks the form, then how the values fit together. Never throws for bad input. */
export function checkEnvironment(raw: unknown): Checked {
  const parsed = environmentSchema.safeParse(raw);
  if (!parsed.success) {
    return { environment: undefined, problems: parsed.error.issues.flatMap((issue) => fromIssue(raw, issue)) };
  }
  const environment = parsed.data;
  return { environment, problems: rules.flatMap((rule) => rule(environment)) };
}

function fromIssue(raw: unknown, issue: z.core.$ZodIssue): Problem[] {
  return [
    {
      severity: "error",
      rule: "schema",
      path: issue.path.join("."),
      value: show(
        issue.path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], raw),
      ),
      why: issue.message,
      remedy: "see environment/schema.ts for the form",
    },
  ];
}
