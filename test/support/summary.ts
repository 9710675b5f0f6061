import { writeFileSync } from "node:fs";
import Mocha from "mocha";
import type { Skippable } from "./needs";

/** What one run of mocha came to. */
export interface Summary {
  readonly passed: number;
  readonly failed: number;
  /** With the first line of its error: the rest stands where the test ran, far above when other tiers follow. */
  readonly failures: readonly { readonly title: string; readonly message: string }[];
  readonly skipped: readonly { readonly title: string; readonly reason: string }[];
}

/** Stands for the reason that a skipping test did not give. */
export const noReason = "no reason given";

/** A reporter that shows what mocha's own shows (option `shows`) and writes the summary as JSON into the file of option `summary`. */
class SummaryReporter extends Mocha.reporters.Base {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const { shows, summary } = options.reporterOptions as { readonly shows: "dot" | "spec"; readonly summary: string };
    new Mocha.reporters[shows](runner, options);
    let passed = 0;
    const failures: { title: string; message: string }[] = [];
    const skipped: { title: string; reason: string }[] = [];
    runner.on("pass", () => (passed += 1));
    runner.on("fail", (test, error: unknown) =>
      failures.push({
        title: test.fullTitle(),
        message: firstLineOf(error instanceof Error ? error.message : String(error)),
      }),
    );
    runner.on("pending", (test) => skipped.push({ title: test.fullTitle(), reason: reasonOf(test) }));
    runner.once("end", () => {
      const found: Summary = { passed, failed: failures.length, failures, skipped };
      writeFileSync(summary, JSON.stringify(found));
    });
  }
}

function firstLineOf(text: string): string {
  return (text.split("\n").find((line) => line.trim() !== "") ?? "").slice(0, 300);
}

/** Its own, or that of the suite around it. */
function reasonOf(test: Skippable): string {
  return test.skipReason ?? (test.parent ? reasonOf(test.parent) : noReason);
}

export { SummaryReporter as default };
