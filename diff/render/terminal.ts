import type { Report, ResourceChange, StackChanges } from "../report";
import { count, headline, propertyLine, secretLines, sideName, summaryLine, symbols } from "./words";

/** Written by hand: Node's styleText leaves colours out by what its standard output is, and whoever calls decides that here. */
const styles = { bold: 1, red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36, gray: 90 } as const;
type Style = keyof typeof styles;

const colours: Readonly<Record<ResourceChange["operation"], Style>> = {
  create: "green",
  update: "yellow",
  replace: "magenta",
  delete: "red",
  import: "cyan",
  same: "gray",
};

/** For a terminal: dangers first, then a tree per stack. `colour` false leaves plain text. */
export function renderTerminal(report: Report, colour: boolean): string {
  const paint = (style: Style, text: string): string => (colour ? `\u001b[${styles[style]}m${text}\u001b[0m` : text);
  const { dangers, failures, notes, stacks } = report;
  const lines = [
    `${sideName(report.base)} → ${sideName(report.head)}: ${summaryLine(report)}`,
    ...failures.flatMap(({ side, stack, message }) => [
      paint("red", `✗ the ${side} does not evaluate${stack === undefined ? "" : ` (${stack})`}:`),
      ...message.split("\n").map((line) => `    ${line}`),
    ]),
    ...notes.map((note) => paint("gray", `note: ${note}`)),
    ...dangers.flatMap(({ rule, stack, resource, says, reason, acknowledged }) => [
      acknowledged
        ? paint("gray", `✓ ${rule}: ${says} [${[stack, resource].filter(Boolean).join(" ")}]`)
        : paint("red", `! ${rule}: ${says} [${[stack, resource].filter(Boolean).join(" ")}]`),
      paint("gray", `    ${acknowledged ? `acknowledged in ${acknowledged.file}: ${acknowledged.why}` : reason}`),
    ]),
    ...secretLines(report).map((line) => paint("yellow", line)),
    ...stacks.flatMap((stack) => stackLines(stack, paint)),
  ];
  if (dangers.length > 0)
    lines.push(
      `${count(dangers.length, "danger")}, ${report.summary.unacknowledged} not acknowledged (docs/decisions/diff.md)`,
    );
  return lines.join("\n");
}

function stackLines(
  { stack, state, resources }: StackChanges,
  paint: (style: Style, text: string) => string,
): readonly string[] {
  if (state === "withheld") return [paint("red", `${stack}: withheld, one side of it does not evaluate`)];
  if (resources.length === 0) return [];
  const lines = [paint("bold", `${stack}${state === "compared" ? "" : `: ${state}`}`)];
  let open: readonly string[] = [];
  for (const resource of resources) {
    const shared = resource.within.findIndex((name, index) => open[index] !== name);
    const from = shared < 0 ? resource.within.length : shared;
    for (const [index, name] of resource.within.entries())
      if (index >= from) lines.push(`${"  ".repeat(index + 1)}${name}`);
    open = resource.within;
    const depth = "  ".repeat(resource.within.length + 1);
    lines.push(`${depth}${paint(colours[resource.operation], `${symbols[resource.operation]} ${headline(resource)}`)}`);
    lines.push(...details(resource).map((line) => `${depth}    ${line}`));
  }
  return lines;
}

/** Everything that is said of a resource below its headline. Of a new one its values are left to `--format json` and html. */
export function details(resource: ResourceChange): readonly string[] {
  const { operation, properties, replacedBy, ignored, settings, gates } = resource;
  return [
    ...replacedBy.map(({ path, why, source }) => `because of ${path === "" ? "what it is" : path}: ${why} (${source})`),
    ...(operation === "create" || operation === "import" ? [] : properties.map(propertyLine)),
    ...settings.map((change) => `setting ${propertyLine(change)}`),
    ...(ignored.length > 0 ? [`differs and is left as it is (ignoreChanges): ${ignored.join(", ")}`] : []),
    ...gates.removed.map((name) => `waits no longer for ${name}`),
    ...gates.added.map((name) => `waits for ${name}, too`),
  ];
}
