import type { Danger, Report, StackChanges } from "../report";
import { details } from "./terminal";
import { count, headline, secretLines, sideName, summaryLine, symbols } from "./words";

/** By this line the comment is found again. Nothing that a change can write gets here unescaped. */
export const marker = "<!-- home-cluster diff -->";

/** GitHub takes 65,536 characters in a comment; the rest is for whatever stands around it. */
export const limit = 60_000;

/** Of the limit: what failures may take, and dangers in a row each. Beyond that dangers are grouped, which is shorter, and still all of them. */
const failureRoom = 12_000;
const dangerRoom = 36_000;

/** One comment: dangers and summary whole, details folded and as many as there is room for, `artifact` saying where the rest is. */
export function renderMarkdown(
  report: Report,
  artifact = "the html report (`npm run diff -- … --format html`)",
): string {
  const head = [
    marker,
    `### What this change would do`,
    `${code(sideName(report.base))} → ${code(sideName(report.head))}: **${summaryLine(report)}**`,
    ...failureLines(report, artifact),
    ...report.notes.map((note) => `*${text(note)}*`),
    ...dangerLines(report.dangers),
    ...secretLines(report).map((line) => `- 🔑 ${text(line)}`),
    ...summaryTable(report),
  ];
  let body = "";
  for (const [index, part] of head.entries()) {
    // Only for what no home has: a part that does not fit is left out as a whole, since half of one is no longer markup.
    if (body.length + part.length < limit - 1000) body += index === 0 ? part : `\n\n${part}`;
    else body += `\n\n**Something has no room here**; see ${artifact}.`;
  }
  const without: StackChanges[] = [];
  for (const stack of report.stacks.filter(({ resources }) => resources.length > 0)) {
    const block = folded(stack);
    if (body.length + block.length + 1000 <= limit) body += `\n\n${block}`;
    else without.push(stack);
  }
  return `${body}${leftOut(without, artifact)}\n`;
}

function leftOut(stacks: readonly StackChanges[], artifact: string): string {
  if (stacks.length === 0) return "";
  const names = stacks.map(({ stack }) => code(stack)).join(", ");
  return `\n\nWithout room here: ${names.length < 600 ? names : count(stacks.length, "stack")}; see ${artifact}.`;
}

function failureLines({ failures }: Report, artifact: string): readonly string[] {
  const lines: string[] = [];
  for (const [index, { side, stack, message }] of failures.entries()) {
    const line = `**The ${side} does not evaluate${stack === undefined ? "" : ` (${text(stack)})`}.** Nothing is said of it, which is not the same as nothing changing.\n\n${fenced(clipped(message, 4000))}`;
    if (lines.join("").length + line.length > failureRoom)
      return [...lines, `**${failures.length - index} more do not evaluate**; see ${artifact}.`];
    lines.push(line);
  }
  return lines;
}

/** One line each, since all of them have to be seen: what happens, where, and why that is dangerous. */
function dangerLines(dangers: readonly Danger[]): readonly string[] {
  if (dangers.length === 0) return [];
  const open = dangers.filter(({ acknowledged }) => !acknowledged);
  const row = ({ rule, stack, resource, says, reason, acknowledged }: Danger): string =>
    `| ${acknowledged ? "✓" : "⚠️"} ${code(rule)} | ${code(stack)}${resource === "" ? "" : ` ${code(resource)}`} | ${text(says)} | ${
      acknowledged ? `acknowledged in ${code(acknowledged.file)}: ${text(acknowledged.why)}` : text(reason)
    } |`;
  const rows = ["| danger | where | what | why |", "| --- | --- | --- | --- |", ...dangers.map(row)].join("\n");
  const table = rows.length <= dangerRoom ? rows : groupedDangers(dangers);
  const how =
    open.length === 0
      ? []
      : [
          `Take one on with a comment in the changed file: ${code(`# diff: accept ${open[0]?.rule ?? ""}: <why>`)}; it counts if this very change adds it.`,
        ];
  return [`**${count(dangers.length, "danger")}, ${open.length} not acknowledged**`, table, ...how];
}

/** By rule, each resource by name: for a change that meets so many dangers that the sentences have no room. */
function groupedDangers(dangers: readonly Danger[]): string {
  const keys = new Map<string, Danger[]>();
  for (const danger of dangers) {
    const key = JSON.stringify([danger.rule, danger.stack, danger.acknowledged !== undefined]);
    keys.set(key, [...(keys.get(key) ?? []), danger]);
  }
  const groups = [...keys.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const names = group.map(({ resource }) => resource).filter(Boolean);
    return [
      `- ${first.acknowledged ? "✓" : "⚠️"} ${code(first.rule)} ${code(first.stack)}, ${group.length} times (${text(first.reason)})${names.length > 0 ? `: ${code(names.join(" "))}` : ""}`,
    ];
  });
  return groups.join("\n");
}

function summaryTable({ stacks }: Report): readonly string[] {
  const rows = stacks
    .filter(({ resources, state }) => resources.length > 0 || state === "withheld")
    .map(({ stack, state, resources }) => {
      const counts = (["create", "update", "replace", "delete", "import", "same"] as const).map((operation) => {
        const number = resources.filter((change) => change.operation === operation).length;
        return number === 0 ? "" : String(number);
      });
      return `| ${code(stack)}${state === "compared" ? "" : ` (${state})`} | ${counts.join(" | ")} |`;
    });
  if (rows.length === 0) return [];
  return [
    [
      "| stack | create | update | replace | delete | take over | settings |",
      "| --- | --: | --: | --: | --: | --: | --: |",
      ...rows,
    ].join("\n"),
  ];
}

function folded({ stack, resources }: StackChanges): string {
  const lines = resources.flatMap((resource) => [
    `${symbols[resource.operation]} ${[...resource.within, ""].join(" / ")}${headline(resource)}`,
    ...details(resource).map((line) => `      ${line}`),
  ]);
  const summary = `${stack}: ${count(resources.length, "resource")}`;
  return `<details><summary>${text(summary)}</summary>\n\n${fenced(lines.join("\n"))}\n\n</details>`;
}

/** A block that nothing in it can end: its fence is longer than any in it. */
function fenced(content: string): string {
  const longest = Math.max(2, ...[...content.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${content}\n${fence}`;
}

/** Text as text: no markup, mention, reference or link, whatever a change put into it. */
function text(value: string): string {
  return value
    .replace(/\s+/g, " ")
    .replace(/[&<>"'|`*_[\]\\~!]|[@#](?=\w)|:(?=\/\/)/g, (character) =>
      /[@#:]/.test(character) ? `${character}&#8203;` : `&#${character.charCodeAt(0)};`,
    );
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

function clipped(value: string, length: number): string {
  return value.length <= length ? value : `${value.slice(0, length)}\n… (${value.length - length} more characters)`;
}
