import { isMap as isYamlMap, parseDocument } from "yaml";
import { environmentFile } from "../environment/links";
import { secretKeys } from "../environment/schema";
import { project } from "../environment/config";
import type { SecretTexts } from "./format";
import { isMap } from "./values";

/** What is encrypted in an environment file: by path, the text that stands there, and what it is encrypted with. Nothing is ever decrypted. */
export interface Encrypted {
  readonly texts: ReadonlyMap<string, string>;
  /** Salt, key or provider of the secrets, as they stand there. */
  readonly with: string;
}

export interface SecretChange {
  readonly environment: string;
  /** The configuration's key, and the path below it where the secret is a part of a structure. */
  readonly key: string;
  readonly change: "changed" | "added" | "removed";
}

/** How the secrets of all environments differ. */
export interface SecretChanges {
  readonly changes: readonly SecretChange[];
  /** Environments whose secrets were all encrypted anew with another passphrase or key: whether their values changed cannot be told. */
  readonly encryptedAnew: readonly string[];
}

/** Reads what is encrypted in the text of an environment file. */
export function encryptedIn(text: string): Encrypted {
  const document = parseDocument(text, { prettyErrors: false, merge: true });
  if (document.errors.length > 0 || !isYamlMap(document.contents)) return { texts: new Map(), with: "" };
  const file: unknown = document.toJS();
  if (!isMap(file)) return { texts: new Map(), with: "" };
  const { encryptionsalt, encryptedkey, secretsprovider } = file;
  const texts = Object.entries(isMap(file.config) ? file.config : {}).flatMap(([key, value]) =>
    secureWithin(value, key),
  );
  return { texts: new Map(texts), with: JSON.stringify([encryptionsalt, encryptedkey, secretsprovider]) };
}

function secureWithin(value: unknown, path: string): [string, string][] {
  if (Array.isArray(value)) return value.flatMap((entry, index) => secureWithin(entry, `${path}[${index}]`));
  if (!isMap(value)) return [];
  if (typeof value.secure === "string" && Object.keys(value).length === 1) return [[path, value.secure]];
  return Object.entries(value).flatMap(([key, entry]) => secureWithin(entry, `${path}.${key}`));
}

/** Compares environment by environment; of one that is there on one side only there is nothing to say. */
export function secretChanges(
  base: ReadonlyMap<string, Encrypted>,
  head: ReadonlyMap<string, Encrypted>,
): SecretChanges {
  const encryptedAnew: string[] = [];
  const changes = [...base].flatMap(([environment, before]) => {
    const after = head.get(environment);
    if (!after) return [];
    const both = [...before.texts.keys()].filter((key) => after.texts.has(key));
    const differing = both.filter((key) => before.texts.get(key) !== after.texts.get(key));
    const anew = both.length > 0 && differing.length === both.length && before.with !== after.with;
    if (anew) encryptedAnew.push(environment);
    const of = (keys: Iterable<string>, change: SecretChange["change"]): SecretChange[] =>
      [...keys].map((key) => ({ environment, key, change }));
    return [
      ...(anew ? [] : of(differing, "changed")),
      ...of(
        [...after.texts.keys()].filter((key) => !before.texts.has(key)),
        "added",
      ),
      ...of(
        [...before.texts.keys()].filter((key) => !after.texts.has(key)),
        "removed",
      ),
    ];
  });
  return { changes, encryptedAnew };
}

/** Stand-ins of the head for what was changed, so that whatever uses it differs as it would for the engine. */
export function changedTexts({ changes }: SecretChanges): SecretTexts {
  const environments = [...new Set(changes.map(({ environment }) => environment))];
  return Object.fromEntries(
    environments.map((environment) => [
      environment,
      Object.fromEntries(
        secretKeys
          .filter((key) => changes.some((one) => isChangeOf(one, environment, key)))
          .map((key) => [key, `${standInPrefix}${key}-changed`]),
      ),
    ]),
  );
}

function isChangeOf({ environment, key, change }: SecretChange, where: string, name: string): boolean {
  return change === "changed" && environment === where && key === `${project}:${name}`;
}

/** How every stand-in for a secret starts; a text that holds it is not shown. */
export const standInPrefix = "secret-stand-in-";

/** The files of these environments, read from wherever `read` finds them. */
export async function encryptedFiles(
  environments: Iterable<string>,
  read: (path: string) => Promise<string | undefined>,
): Promise<ReadonlyMap<string, Encrypted>> {
  const found: [string, Encrypted][] = [];
  for (const name of environments) {
    const text = await read(environmentFile(name));
    if (text !== undefined) found.push([name, encryptedIn(text)]);
  }
  return new Map(found);
}
