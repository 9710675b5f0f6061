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

/** What a rule reports; the check adds the rule's name, and `error` where nothing else is said. */
export type Finding = Omit<Problem, "severity" | "rule"> & { readonly severity?: Problem["severity"] };

/** `path: value: why: remedy`, the one form in which problems are shown. */
export function formatProblem(problem: Problem): string {
  return `${problem.severity === "warning" ? "warning: " : ""}${withoutMark(problem)}`;
}

/** The same for places that mark warnings themselves. */
export function withoutMark({ path, value, why, remedy }: Problem): string {
  return `${path}: ${value}: ${why}: ${remedy}`;
}

/** Whether anything in the list refuses the file. */
export function refuses(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === "error");
}

/** What a value is, in words: for values that are of the wrong kind, and for those that must not be shown. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  if (typeof value === "boolean") return "true or false";
  return typeof value === "number" ? "a number" : "text";
}

/** Short text of any value for `Problem.value`, on one line. What looks like a secret in the wrong place is not shown. */
export function show(value: unknown): string {
  if (value === undefined) return "(missing)";
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") return `(${kindOf(value)})`;
  const text = conceal(String(value)).replace(/\s+/g, " ").trim();
  if (text === "") return '""';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * Secrets get pasted beside their place: the private key for the public one, `https://user:password@host`, a token for an id. The problem that
 * refuses such a value must not be what prints it into a log.
 */
function conceal(text: string): string {
  if (text.includes("PRIVATE KEY")) return "(a private key, not shown)";
  if (/^(token|kubeconfig)-[\w-]+:\w+$/.test(text) || /![^=\s]+=[0-9a-f-]{36}/.test(text))
    return "(a token, not shown)";
  return text.replace(/^(https?:\/\/)[^/]*@|^([a-z][\w+.-]*:\/\/)[^@]*:.*@/i, "$1$2***@");
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
