import * as pulumi from "@pulumi/pulumi";
import { checkConfig, project } from "./config";
import { EnvironmentRefused, refuses, withoutMark } from "./problem";
import { secretKeys, type Environment, type SecretKey } from "./schema";

export { project } from "./config";

/** Secrets of an environment: outputs from the moment they are read, so that none is ever a plain string in this program. */
export type Secrets = { readonly [key in SecretKey]: pulumi.Output<string> };

/**
 * The environment of the selected stack. The only reader of Pulumi's configuration. Throws EnvironmentRefused with every problem before any resource is
 * registered.
 */
export function loadEnvironment(): Environment {
  const secret = secretCheck(pulumi.runtime);
  const { environment, problems } = checkConfig(
    new Map(
      Object.entries(pulumi.runtime.allConfig()).map(([key, text]) => [key, { text, encrypted: secret(key) }] as const),
    ),
  );
  if (!environment || refuses(problems)) throw new EnvironmentRefused(`stack ${pulumi.getStack()}`, problems);
  for (const problem of problems) void pulumi.log.warn(withoutMark(problem));
  return environment;
}

/** The secrets, each required only when something uses it: a missing one names the command that sets it. */
export function loadSecrets(): Secrets {
  const config = new pulumi.Config(project);
  const entries = secretKeys.map((key) => [key, { get: () => config.requireSecret(key), enumerable: true }] as const);
  return Object.defineProperties({}, Object.fromEntries(entries)) as Secrets;
}

/** What the SDK exports and leaves out of its types. */
interface SecretAware {
  isConfigSecret(key: string): boolean;
}

function isSecretAware(runtime: object): runtime is SecretAware {
  return "isConfigSecret" in runtime && typeof runtime.isConfigSecret === "function";
}

/** Which keys were encrypted in the file. Should the SDK lose the function, every value counts as plain text: refusing is the safe side. */
function secretCheck(runtime: object): (key: string) => boolean {
  return (key) => isSecretAware(runtime) && runtime.isConfigSecret(key);
}
