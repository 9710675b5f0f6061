import type { Problem } from "./problem";
import type { Environment } from "./schema";

/** A cross-field rule: a pure function that names everything it finds wrong. */
export type Rule = (environment: Environment) => readonly Problem[];

/** All of them, in the order in which they report. */
export const rules: readonly Rule[] = [];
