/** One thing wrong with an environment file. */
export interface Problem {
  /** `error` refuses the file; `warning` is printed and let through. */
  readonly severity: "error" | "warning";
  /** The rule that found it, as its function is named; `schema` for the shape itself. */
  readonly rule: string;
  /** Where: `nodes[0].networks[1].address`. */
  readonly path: string;
  /** What stands there, as text; never a secret. */
  readonly value: string;
  readonly why: string;
  readonly remedy: string;
}

/** `path: value: why: remedy`, the one form in which problems are shown. */
export function formatProblem(problem: Problem): string {
  const mark = problem.severity === "warning" ? "warning: " : "";
  return `${mark}${problem.path}: ${problem.value}: ${problem.why}: ${problem.remedy}`;
}

/** Short text of any value for `Problem.value`. */
export function show(value: unknown): string {
  if (value === undefined) return "(missing)";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The environment was refused; the message lists every problem. */
export class EnvironmentRefused extends Error {
  constructor(
    readonly source: string,
    readonly problems: readonly Problem[],
  ) {
    super(
      `${source}: refused, nothing was touched\n${problems.map((problem) => `  ${formatProblem(problem)}`).join("\n")}`,
    );
    this.name = "EnvironmentRefused";
  }
}
