import { environmentFile } from "../../environment/links";
import type { Commit, Repository } from "../git";
import type { Danger } from "../report";

/** A line of the change itself that takes a danger on: `diff: accept <rule> [<resource>]: <why>`, in a comment of the file that changes. */
export interface Acknowledgement {
  readonly file: string;
  readonly rule: string;
  /** Name of the resource; undefined for all that the rule finds. */
  readonly resource: string | undefined;
  readonly why: string;
}

const form = /(?:#|\/\/|\*|--)\s*diff: accept ([a-z-]+)(?: ([\w.-]+))?: (\S.{9,})$/;

/** Acknowledgements in a text, in the order of their lines. */
export function acknowledgementsIn(file: string, text: string): readonly Acknowledgement[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const [, rule, resource, why] = form.exec(line.trimEnd()) ?? [];
    return rule === undefined || why === undefined ? [] : [{ file, rule, resource, why: why.trim() }];
  });
}

/**
 * The acknowledgements that this change adds. One that stood anywhere in the files of the change before it was for another change, however it was moved: it counts
 * as often as it was added.
 */
export async function addedAcknowledgements(
  repository: Repository,
  base: string,
  head: Commit,
): Promise<readonly Acknowledgement[]> {
  const added: Acknowledgement[] = [];
  const there: Acknowledgement[] = [];
  for (const path of await repository.changed(base, head)) {
    there.push(...acknowledgementsIn(path, (await repository.file(base, path)) ?? ""));
    added.push(...acknowledgementsIn(path, (await repository.file(head, path)) ?? ""));
  }
  return newOnes(added, there);
}

/** Those of the head that the base does not have, the file aside. */
export function newOnes(
  head: readonly Acknowledgement[],
  base: readonly Acknowledgement[],
): readonly Acknowledgement[] {
  const text = ({ rule, resource, why }: Acknowledgement): string => JSON.stringify([rule, resource, why]);
  const left = base.map(text);
  return head.filter((one) => {
    const known = left.indexOf(text(one));
    if (known >= 0) left.splice(known, 1);
    return known < 0;
  });
}

/** The one that takes this danger on. In an environment's file it is for that environment; in code for all. */
export function acknowledgementOf(
  { rule, environment, resource }: Pick<Danger, "rule" | "environment" | "resource">,
  acknowledgements: readonly Acknowledgement[],
): Danger["acknowledged"] {
  const found = acknowledgements.find(
    (one) =>
      one.rule === rule &&
      (one.resource === undefined || one.resource === resource) &&
      (!/^Pulumi\..+\.yaml$/.test(one.file) || one.file === environmentFile(environment)),
  );
  return found && { file: found.file, why: found.why };
}
