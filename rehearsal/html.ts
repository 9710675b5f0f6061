import type { LayerRun, Step } from "./story";
import { minutes, type Rehearsal } from "./run";
import type { Report } from "./report";
import { topologyOf, type Topology } from "./topology";
import { verbOf } from "./verb";

/**
 * The report as one file: no script, no font, no picture from elsewhere, and a policy that would refuse them. Pictures are drawn 380 units wide, so that
 * their text is as large as the page's on a phone; a wide screen puts them side by side instead of enlarging them.
 */
export function html({ story }: Rehearsal, data: Report): string {
  const after = (story.destroy ?? story.layers.at(-1))?.home ?? story.before;
  const failed = data.checks.filter(({ holds }) => !holds).length;
  const verdict =
    data.fault !== undefined
      ? `with the fault “${text(data.fault.part)}”`
      : failed === 0
        ? `all ${data.checks.length} checks held`
        : `${failed} of ${data.checks.length} checks did not hold`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Rehearsal of ${text(data.environment)}</title>
<style>${style}</style>
</head>
<body>
<h1>Rehearsal of ${text(data.environment)}</h1>
<p class="verdict ${data.ok ? "ok" : "no"}">${verdict}</p>
<p>Offline: the unmodified program on a pretend home in memory. Durations are those of the rehearsal's clock, not of your machines.</p>
<h2>Before and after</h2>
<div class="pair">
<figure><figcaption>Before</figcaption>${topologyPicture(topologyOf(story.environment, story.before), "The home before")}</figure>
<figure><figcaption>After</figcaption>${topologyPicture(topologyOf(story.environment, after), "The home after")}</figure>
</div>
<h2>Timeline</h2>
<div class="pair">${story.layers.map((run) => timeline(run)).join("\n")}</div>
<h2>Checks</h2>
${list(data.checks.map(({ name, holds, detail }) => `<b class="${holds ? "ok" : "no"}">${holds ? "held" : "NOT held"}</b> ${text(name)}${detail === "" ? "" : `<small>${text(detail)}</small>`}`))}
${faultSection(data)}<h2>Gates, in the order in which they opened</h2>
${list(data.gates.map(({ layer, name, what, openedAt, waiting }) => `<b>${text(name)}</b> <small>${text(layer)}, ${text(what)}, after ${minutes(openedAt)}${waiting === 0 ? "" : `; ${waiting} waiting`}</small>`))}
${standIns(data)}<h2>What is not in it</h2>
<p>How long a workload stands still, and how many requests and retries it takes: the offline rehearsal does not measure them.</p>
</body>
</html>
`;
}

const style = `
:root { --page: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --box: #f6f8fa; --good: #1a7f37; --bad: #cf222e; --bar: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --box: #161b22; --good: #3fb950; --bad: #f85149; --bar: #4493f8; }
}
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2 { line-height: 1.2; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; }
svg { display: block; width: 100%; max-width: 34rem; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .soft { fill: var(--soft); }
svg .box { fill: var(--box); stroke: var(--line); }
svg .on { fill: var(--good); }
svg .off { fill: none; stroke: var(--soft); }
svg .bar { fill: var(--bar); }
svg .axis { stroke: var(--line); }
.ok { color: var(--good); }
.no { color: var(--bad); }
.verdict { font-size: 1.25rem; font-weight: 600; }
ol, ul { padding-left: 1.4rem; }
small { display: block; font-size: 0.875rem; color: var(--soft); }
`;

const width = 380;
/** Characters of 13 units that fit into a picture's width, measured on the widest common system font. */
const fits = 48;

function topologyPicture({ entry, hosts, classes, volumes }: Topology, title: string): string {
  const parts: string[] = [];
  let y = 16;
  const line = (words: string, x: number, kind = ""): void => {
    for (const part of wrapped(words, fits - Math.ceil(x / 7.5))) {
      parts.push(`<text x="${x}" y="${y}"${kind === "" ? "" : ` class="${kind}"`}>${text(part)}</text>`);
      y += 18;
    }
  };
  line(`clients → ${entry}`, 4);
  for (const { name, machines } of hosts) {
    const top = y - 6;
    const index = parts.length;
    y += 14;
    line(`Proxmox ${name}`, 12, "soft");
    for (const { vmId, name: machine, running, facts } of machines) {
      parts.push(`<circle cx="20" cy="${y - 4}" r="5" class="${running ? "on" : "off"}"/>`);
      line(`${machine} (${vmId})`, 32);
      line(facts.join(", "), 32, "soft");
    }
    parts.splice(index, 0, `<rect x="2" y="${top}" width="${width - 4}" height="${y - top - 6}" rx="6" class="box"/>`);
    y += 14;
  }
  line(`Storage classes: ${classes.join(", ")}`, 4);
  for (const { name, where } of volumes) {
    line(name, 12);
    line(where, 24, "soft");
  }
  return svg(y, title, parts);
}

/** What took time in a layer: a bar each, below its name, from its beginning to its end. */
function timeline({ stack, steps }: LayerRun): string {
  const from = Math.min(...steps.map(({ startedAt }) => startedAt));
  const long = steps.filter(({ startedAt, finishedAt }) => finishedAt - startedAt >= 1000);
  const to = Math.max(from + 1, ...steps.map(({ finishedAt }) => finishedAt));
  if (long.length === 0)
    return `<figure><figcaption>${text(stack)}</figcaption><p>Nothing in it takes time.</p></figure>`;
  const x = (at: number): number => Math.round(((at - from) / (to - from)) * (width - 8) * 10) / 10 + 4;
  const parts = [`<line x1="4" x2="${width - 4}" y1="20" y2="20" class="axis"/>`];
  parts.push(`<text x="4" y="14" class="soft">${minutes(from)}</text>`);
  parts.push(`<text x="${width - 4}" y="14" text-anchor="end" class="soft">${minutes(to)}</text>`);
  let y = 38;
  for (const { registration, startedAt, finishedAt } of long.sort((a, b) => a.startedAt - b.startedAt)) {
    const label = `${registration.name}, ${duration(finishedAt - startedAt)}`;
    parts.push(`<g><title>${text(`${label}: ${what({ registration })}`)}</title>`);
    parts.push(`<text x="4" y="${y}">${text(wrapped(label, fits)[0] ?? "")}</text>`);
    const length = Math.max(2, x(finishedAt) - x(startedAt));
    parts.push(`<rect x="${x(startedAt)}" y="${y + 5}" width="${length}" height="7" rx="2" class="bar"/></g>`);
    y += 30;
  }
  return `<figure><figcaption>${text(stack)}</figcaption>${svg(y - 8, `What took time in ${stack}`, parts)}</figure>`;
}

function duration(milliseconds: number): string {
  return milliseconds < 60_000 ? `${Math.round(milliseconds / 1000)} s` : minutes(milliseconds);
}

function what({ registration: { type, inputs } }: Pick<Step, "registration">): string {
  return verbOf(inputs.create) ?? type;
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${text(title)}">${parts.join("")}</svg>`;
}

function list(items: readonly string[]): string {
  return `<ol>${items.map((item) => `<li>${item}</li>`).join("\n")}</ol>`;
}

function faultSection({ fault }: Report): string {
  if (fault === undefined) return "";
  const part = (title: string, items: readonly string[]): string =>
    `<h3>${title} (${items.length})</h3><ul>${items.map((item) => `<li>${text(item)}</li>`).join("")}</ul>`;
  return `<h2>The fault</h2>${part("Failed", fault.failed)}${part("Therefore not registered", fault.notRegistered)}${part("Therefore not deleted", fault.notDeleted)}${part("Left standing", fault.leftStanding)}\n`;
}

function standIns({ standIns: names }: Report): string {
  return names.length === 0 ? "" : `<h2>Stood in for</h2><p>${text(names.join(", "))}</p>\n`;
}

/** In lines of at most so many characters, at spaces where there are some. */
function wrapped(words: string, most: number): string[] {
  const lines: string[] = [];
  let rest = words;
  while (rest.length > most) {
    const space = rest.lastIndexOf(" ", most);
    const end = space > 0 ? space : most;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

function text(value: string): string {
  return value.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
