import type { Danger, Report, ResourceChange, StackChanges } from "../report";
import { details } from "./terminal";
import { count, headline, propertyLine, secretLines, sideName, summaryLine, symbols } from "./words";

/** Readable on a phone and in the dark; nothing is loaded from anywhere, and nothing in it runs. */
const style = `
:root { color-scheme: light dark; --line: #8884; --add: #1a7f37; --change: #9a6700; --gone: #cf222e; --made: #8250df; }
@media (prefers-color-scheme: dark) { :root { --add: #3fb950; --change: #d29922; --gone: #f85149; --made: #a371f7; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; }
ul { list-style: none; margin: 0; padding: 0; }
.danger { border-left: .3rem solid var(--gone); margin: .5rem 0; padding: .2rem .7rem; }
.danger.acknowledged { border-color: var(--add); }
.failure { border: 1px solid var(--gone); padding: .5rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .3rem .6rem; }
details details { border: 0; border-left: 2px solid var(--line); border-radius: 0; margin: .2rem 0; }
summary { cursor: pointer; }
pre, code { font: .85rem/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { margin: .3rem 0; }
.create, .import { color: var(--add); } .update { color: var(--change); } .delete { color: var(--gone); } .replace { color: var(--made); }
small { opacity: .75; }
`;

/** The whole report as one file. */
export function renderHtml(report: Report): string {
  const { failures, notes, dangers, stacks } = report;
  const title = `${sideName(report.base)} → ${sideName(report.head)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p><strong>${escape(summaryLine(report))}</strong></p>
${failures
  .map(
    ({ side, stack, message }) =>
      `<div class="failure"><strong>The ${side} does not evaluate${stack === undefined ? "" : ` (${escape(stack)})`}</strong><pre>${escape(message)}</pre></div>`,
  )
  .join("\n")}
${notes.map((note) => `<p><small>${escape(note)}</small></p>`).join("\n")}
${dangers.length > 0 ? `<h2>${count(dangers.length, "danger")}, ${report.summary.unacknowledged} not acknowledged</h2>` : ""}
<ul>${dangers.map(dangerItem).join("\n")}</ul>
<ul>${secretLines(report)
    .map((line) => `<li>${escape(line)}</li>`)
    .join("\n")}</ul>
${stacks.map(stackBlock).join("\n")}
</body>
</html>
`;
}

function dangerItem({ rule, stack, resource, says, reason, acknowledged }: Danger): string {
  const where = [stack, resource].filter(Boolean).join(" ");
  const why = acknowledged ? `acknowledged in ${acknowledged.file}: ${acknowledged.why}` : reason;
  return `<li class="danger${acknowledged ? " acknowledged" : ""}"><strong>${escape(rule)}</strong>: ${escape(says)} <code>${escape(where)}</code><br><small>${escape(why)}</small></li>`;
}

function stackBlock({ stack, state, resources }: StackChanges): string {
  if (state === "withheld") return `<p>${escape(stack)}: withheld, one side of it does not evaluate</p>`;
  if (resources.length === 0) return "";
  const said =
    state === "compared" ? count(resources.length, "resource") : `${state}, ${count(resources.length, "resource")}`;
  return `<details open><summary><strong>${escape(stack)}</strong>: ${said}</summary>${resources.map(resourceBlock).join("\n")}</details>`;
}

function resourceBlock(resource: ResourceChange): string {
  const { operation, within, properties } = resource;
  const values = operation === "create" || operation === "import" ? properties.map(propertyLine) : [];
  const lines = [...details(resource), ...values];
  const path = within.length > 0 ? `<small>${escape(within.join(" / "))} / </small>` : "";
  const line = `${path}<span class="${operation}">${symbols[operation]} ${escape(headline(resource))}</span>`;
  return lines.length === 0
    ? `<div>${line}</div>`
    : `<details><summary>${line}</summary><pre>${escape(lines.join("\n"))}</pre></details>`;
}

function escape(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
