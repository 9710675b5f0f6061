import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { checkEnvironment } from "../../environment/check";
import { formatProblem } from "../../environment/problem";
import type { Environment, EnvironmentFile } from "../../environment/schema";

export const root = join(__dirname, "..", "..");

/** What stands under `home-cluster:` in a committed environment file, as plain data to change and check again. */
export function rawEnvironment(name: "home" | "lab"): EnvironmentFile {
  const { config } = parse(readFileSync(join(root, `Pulumi.${name}.yaml`), "utf8")) as {
    config: Record<string, unknown>;
  };
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => key.startsWith("home-cluster:"))
      .map(([key, value]) => [key.slice("home-cluster:".length), value]),
  ) as unknown as EnvironmentFile;
}

/** A committed environment, checked, after an optional change. Throws on a problem: a test means to start from something valid. */
export function environment(
  name: "home" | "lab",
  change: (file: EnvironmentFile) => void = () => undefined,
): Environment {
  const raw = structuredClone(rawEnvironment(name));
  change(raw);
  const { environment: checked, problems } = checkEnvironment(raw);
  const errors = problems.filter((problem) => problem.severity === "error");
  if (!checked || errors.length > 0) throw new Error(errors.map(formatProblem).join("\n"));
  return checked;
}
