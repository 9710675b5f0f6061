import { checkEnvironment, type Checked } from "./check";
import { encrypted } from "./explain";
import { kindOf, type Problem } from "./problem";
import { secretKeys, type SecretKey } from "./schema";

/**
 * From the configuration of a stack to an environment, the same way for the file (`npm run validate`) and for what Pulumi hands to the program (`pulumi up`): what one lets
 * through, the other does.
 */

/** The project's name, which is also the namespace of its configuration keys. */
export const project = "home-cluster";

/** One configuration value: as Pulumi hands it on, text, with structures as JSON. */
export interface ConfigValue {
  readonly text: string;
  /** Whether it, or anything in it, is encrypted in the file. The text then says nothing, or too much. */
  readonly encrypted: boolean;
}

/** Checks a configuration, keys in full (`home-cluster:nodes`). Keys of other namespaces are somebody else's. */
export function checkConfig(config: ReadonlyMap<string, ConfigValue>): Checked {
  const own = ownValues(config);
  if (own.length === 0) return { environment: undefined, problems: [nothingThere] };
  const plain = own.filter(({ name, value }) => isSecretKey(name) && !value.encrypted);
  const checked = checkEnvironment(rawEnvironment(config));
  if (plain.length === 0) return checked;
  return { environment: undefined, problems: [...plain.map(({ name }) => plainSecret(name)), ...checked.problems] };
}

/** What the configuration says about the environment, as plain data and unchecked; secrets are no part of it. */
export function rawEnvironment(config: ReadonlyMap<string, ConfigValue>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    ownValues(config)
      .filter(({ name }) => !isSecretKey(name))
      .map(({ name, value }) => [name, value.encrypted ? encrypted : fromConfigText(value.text)]),
  );
}

function ownValues(config: ReadonlyMap<string, ConfigValue>): readonly { name: string; value: ConfigValue }[] {
  const prefix = `${project}:`;
  return [...config].flatMap(([key, value]) =>
    key.startsWith(prefix) ? [{ name: key.slice(prefix.length), value }] : [],
  );
}

const nothingThere: Problem = {
  severity: "error",
  rule: "schema",
  path: project,
  value: "(missing)",
  why: `no key of the configuration starts with ${project}:`,
  remedy: `write the environment under config, as in Pulumi.home.yaml: \`${project}:cluster: …\``,
};

function plainSecret(name: string): Problem {
  return {
    severity: "error",
    rule: "plainSecret",
    path: name,
    value: `(${kindOf("")}, not shown)`,
    why: "is a secret in plain text, readable by everybody who sees the file",
    remedy: `take it out, make a new one, and set that with \`pulumi config set --secret ${name}\``,
  };
}

function isSecretKey(name: string): name is SecretKey {
  return (secretKeys as readonly string[]).includes(name);
}

/**
 * Structures reach the program as JSON text, everything else as the text in the file: a domain `1.30` is not the number 1.3, and a version stays as it was typed.
 * A key without a value is empty text to Pulumi.
 */
export function fromConfigText(text: string): unknown {
  if (text === "") return null;
  if (!/^[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
