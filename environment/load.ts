import * as pulumi from "@pulumi/pulumi";
import { checkEnvironment } from "./check";
import { EnvironmentRefused, formatProblem } from "./problem";
import { secretKeys, type Environment, type SecretKey } from "./schema";

/** The project's name, which is also the namespace of its configuration keys. */
export const project = "home-cluster";

/** Secrets of an environment: outputs from the moment they are read, so that none is ever a plain string in this program. */
export type Secrets = { readonly [key in SecretKey]: pulumi.Output<string> };

/**
 * The environment of the selected stack. The only reader of Pulumi's configuration. Throws EnvironmentRefused with every problem before any resource is
 * registered.
 */
export function loadEnvironment(): Environment {
  const prefix = `${project}:`;
  const raw: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(pulumi.runtime.allConfig())) {
    const name = key.slice(prefix.length);
    if (key.startsWith(prefix) && !isSecretKey(name)) raw[name] = fromConfigText(text);
  }
  const { environment, problems } = checkEnvironment(raw);
  if (!environment || problems.some((problem) => problem.severity === "error")) {
    throw new EnvironmentRefused(`stack ${pulumi.getStack()}`, problems);
  }
  for (const problem of problems) void pulumi.log.warn(formatProblem(problem));
  return environment;
}

/** The secrets, each required only when something uses it: a missing one names the command that sets it. */
export function loadSecrets(): Secrets {
  const config = new pulumi.Config(project);
  const entries = secretKeys.map((key) => [key, { get: () => config.requireSecret(key), enumerable: true }] as const);
  return Object.defineProperties({}, Object.fromEntries(entries)) as Secrets;
}

function isSecretKey(name: string): name is SecretKey {
  return (secretKeys as readonly string[]).includes(name);
}

/** Structured values reach the program as JSON text, plain strings as they are. */
function fromConfigText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
