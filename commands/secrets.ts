import { spawnSync } from "node:child_process";
import { project } from "../environment/config";
import type { SecretKey } from "../environment/schema";

/** Secrets in the memory of one of our commands, and nowhere else: never written, printed or put into an argument. */
export type PlainSecrets = Readonly<Partial<Record<SecretKey, string>>>;

/** `proxmoxToken` is `HOME_CLUSTER_PROXMOX_TOKEN`. */
export function variableOf(key: SecretKey): string {
  return `HOME_CLUSTER_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Asks the Pulumi CLI for a stack's configuration, decrypted; returns its JSON, or why there is none. */
export type AskPulumi = (stack: string) => { readonly json: string } | { readonly why: string };

/** `pulumi config --show-secrets --json`, read from a pipe. */
export const askPulumi: AskPulumi = (stack) => {
  const child = spawnSync("pulumi", ["config", "--show-secrets", "--json", "--stack", stack], { encoding: "utf8" });
  if (child.error) return { why: "the Pulumi CLI is not on PATH" };
  // Its standard error names files and keys, never values.
  return child.status === 0 ? { json: child.stdout } : { why: child.stderr.trim().split("\n")[0] ?? "" };
};

/**
 * The wanted secrets, from HOME_CLUSTER_* variables first (where there is no CLI), else from the configuration of the environment's `nodes` stack. Throws with
 * every missing one and how to give it.
 */
export function readSecrets(
  environment: string,
  wanted: readonly SecretKey[],
  variables: Readonly<Record<string, string | undefined>> = process.env,
  ask: AskPulumi = askPulumi,
): PlainSecrets {
  const given = pick(wanted, (key) => variables[variableOf(key)]);
  const open = wanted.filter((key) => given[key] === undefined);
  if (open.length === 0) return given;
  const stack = `${environment}-nodes`;
  const answer = ask(stack);
  const config = "json" in answer ? (JSON.parse(answer.json) as Record<string, { value?: string }>) : {};
  const found = { ...given, ...pick(open, (key) => config[`${project}:${key}`]?.value) };
  const missing = wanted.filter((key) => found[key] === undefined);
  if (missing.length === 0) return found;
  const because = "why" in answer ? ` (${answer.why})` : "";
  throw new Error(
    `no secret ${missing.join(", ")} for ${environment}${because}: set ${missing.map(variableOf).join(", ")}, ` +
      `or run \`pulumi config set --secret --stack ${stack} ${missing[0]}\``,
  );
}

function pick(keys: readonly SecretKey[], read: (key: SecretKey) => string | undefined): PlainSecrets {
  const entries = keys.flatMap((key) => {
    const value = read(key);
    return value === undefined || value === "" ? [] : [[key, value] as const];
  });
  return Object.fromEntries(entries);
}
