import { Refusal } from "../refusal";

/** One thing that stands against a leave: which, and what to do about it. */
export interface Finding {
  readonly what: string;
  readonly remedy: string;
}

/** Refuses with all findings in one report; nothing when there are none. */
export function refuseFindings(what: string, findings: readonly Finding[], next: string): void {
  if (findings.length === 0) return;
  const count = findings.length === 1 ? "1 thing stands" : `${findings.length} things stand`;
  throw new Refusal({
    what,
    why: [`${count} against it:`, ...findings.map((found) => `- ${found.what}: ${found.remedy}`)].join("\n        "),
    next,
  });
}
