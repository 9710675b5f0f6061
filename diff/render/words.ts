import type { PropertyChange, Report, ResourceChange, SideName } from "../report";

/** What all forms of output say in the same words. */

/** One character per operation, as Pulumi's own, and for what it has none. */
export const symbols = {
  create: "+",
  update: "~",
  replace: "±",
  delete: "-",
  import: "=",
  same: "·",
} as const satisfies Record<ResourceChange["operation"], string>;

/** A resource in one line, without its symbol. */
export function headline({
  operation,
  type,
  name,
  movedFrom,
  refused,
  deletesFirst,
  conditional,
  settings,
  gates,
}: ResourceChange): string {
  const what =
    operation === "same"
      ? [settings.length > 0 && "settings", gates.added.length + gates.removed.length > 0 && "order"]
          .filter(Boolean)
          .join(", ")
      : operation;
  return [
    `${name} (${shortType(type)})`,
    what === "" ? "" : `: ${what}`,
    operation === "replace" ? (deletesFirst ? ", the old one deleted first" : ", the new one made first") : "",
    conditional ? ", if what it is made from comes out different" : "",
    movedFrom === undefined ? "" : `, was ${movedFrom.split("::").slice(2).join("::")}`,
    refused === undefined ? "" : ` (REFUSED: ${refused})`,
  ].join("");
}

/** `kubernetes:core/v1:Service` as it is; `proxmoxve:index/vmLegacy:VmLegacy` without the module that repeats the class. */
function shortType(type: string): string {
  return type.replace(/:(?:index|\w+)\/(\w+):(\w+)$/, (whole, module: string, kind: string) =>
    module.toLowerCase() === kind.toLowerCase() ? `:${kind}` : whole,
  );
}

/** A value on one line, long ones cut in their middle. */
export function oneLine(value: unknown, limit = 160): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const flat = text.replaceAll("\n", "⏎");
  return flat.length <= limit ? flat : `${flat.slice(0, limit - 40)} … ${flat.slice(-37)}`;
}

/** `path: before → after`. */
export function propertyLine({ path, before, after, secret, unknown, replaces }: PropertyChange): string {
  const mark = replaces ? " (replaces)" : "";
  if (unknown) return `${path}: known only after the update${mark}`;
  if (secret && before !== undefined && after !== undefined && oneLine(before) === oneLine(after))
    return `${path}: secret, changed${mark}`;
  if (before === undefined) return `${path}: ${oneLine(after)}${mark}`;
  if (after === undefined) return `${path}: ${oneLine(before)} → gone${mark}`;
  return `${path}: ${oneLine(before)} → ${oneLine(after)}${mark}`;
}

export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** `2 to create, 1 to replace`. */
export function summaryLine({ summary, failures }: Report): string {
  const { create, update, replace, delete: deleted, import: imported, moved, settings, conditional } = summary;
  const parts = [
    [create, "to create"],
    [update, "to update"],
    [replace, "to replace"],
    [deleted, "to delete"],
    [imported, "to take over"],
    [moved, "moved"],
    [settings, "with other settings or another order"],
  ] as const;
  const said = parts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  if (said.length > 0)
    return `${said.join(", ")}${conditional > 0 ? ` (${conditional} of them only if something comes out different)` : ""}`;
  return failures.length > 0 ? "nothing to compare" : "nothing changes";
}

export function sideName({ ref, commit }: SideName): string {
  return commit === undefined || commit.startsWith(ref) ? ref : `${ref} (${commit.slice(0, 8)})`;
}

/** What is said of the secrets, a line each. */
export function secretLines({ secrets }: Report): readonly string[] {
  return [
    ...secrets.encryptedAnew.map(
      (environment) =>
        `${environment}: every secret was encrypted anew, with another passphrase or key; whether a value changed cannot be told`,
    ),
    ...secrets.changes.map(({ environment, key, change }) => `${environment}: secret ${key} ${change}`),
  ];
}
