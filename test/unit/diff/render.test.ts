import assert from "node:assert/strict";
import { summarize } from "../../../diff/compare";
import { findDangers } from "../../../diff/danger/rules";
import { renderHtml } from "../../../diff/render/html";
import { renderJson } from "../../../diff/render/json";
import { limit, marker, renderMarkdown } from "../../../diff/render/markdown";
import { renderTerminal } from "../../../diff/render/terminal";
import type { Danger, Report, ResourceChange, StackChanges } from "../../../diff/report";
import { compareHome, type Edit } from "../../support/diff";
import { emptyReport } from "../../support/report";

async function reportOf(...edits: readonly Edit[]): Promise<Report> {
  const { stacks, compared } = await compareHome(edits);
  const dangers = findDangers(compared, [
    { file: "Pulumi.home.yaml", rule: "node-address", resource: undefined, why: "the router knows it" },
  ]);
  return { ...emptyReport, stacks, dangers, summary: summarize(stacks, dangers) };
}

const change: ResourceChange = {
  urn: "urn:pulumi:home-nodes::home-cluster::a:b:C::name",
  type: "a:b:C",
  name: "name",
  within: ["outer"],
  operation: "update",
  movedFrom: undefined,
  replacedBy: [],
  deletesFirst: false,
  conditional: false,
  refused: undefined,
  properties: [],
  ignored: [],
  settings: [],
  gates: { added: [], removed: [] },
};

function stack(name: string, resources: readonly ResourceChange[]): StackChanges {
  return { stack: name, environment: "home", layer: "nodes", state: "compared", resources };
}

const danger: Danger = {
  rule: "quorum",
  environment: "home",
  stack: "home-nodes",
  resource: "",
  says: "two of three leave",
  reason: "etcd stops",
  acknowledged: undefined,
};

describe("diff: forms of output (that GitHub and browsers render them so is not proved)", () => {
  it("every form says the dangers first, acknowledged ones with who took them on, and then what changes", async () => {
    const report = await reportOf(
      [["oldNodes", 0, "retired"], true],
      [["nodes", 0, "cards", 0, "address"], "192.168.10.31"],
    );
    for (const form of [renderTerminal(report, false), renderMarkdown(report), renderHtml(report)]) {
      const [open, accepted, changed] = ["old-node-retired", "the router knows it", "rancheros-1-machine (command"].map(
        (part) => form.indexOf(part),
      );
      assert.ok(open !== undefined && accepted !== undefined && changed !== undefined);
      assert.ok(0 <= open && open < accepted && accepted < changed, form.slice(0, 2000));
    }
    assert.deepEqual(JSON.parse(renderJson(report)), JSON.parse(JSON.stringify(report)));
  });

  it("replacements, moves, settings, gates, what is ignored and what is known only later are all said", () => {
    const resources: ResourceChange[] = [
      {
        ...change,
        operation: "replace",
        deletesFirst: true,
        replacedBy: [{ path: "vmId", why: "known by its id", source: "tried" }],
        properties: [{ path: "vmId", before: 1, after: 2, replaces: true }],
      },
      { ...change, operation: "same", movedFrom: "urn:pulumi:home-nodes::home-cluster::a:b:C::old-name" },
      { ...change, operation: "same", settings: [{ path: "protect", before: true, after: false }] },
      { ...change, operation: "same", gates: { added: ["new"], removed: ["ready"] } },
      { ...change, conditional: true, properties: [{ path: "stdin", unknown: true }], ignored: ["spec"] },
      { ...change, operation: "delete", refused: "it is protected" },
      {
        ...change,
        properties: [
          { path: "token", before: "[secret]", after: "[secret]", secret: true },
          { path: "a", before: "x" },
        ],
      },
    ];
    const report = { ...emptyReport, stacks: [stack("home-nodes", resources)] };
    for (const form of [renderTerminal(report, false), renderMarkdown(report), renderHtml(report)]) {
      for (const said of [
        "because of vmId: known by its id (tried)",
        "vmId: 1 → 2 (replaces)",
        "the old one deleted first",
        "was a:b:C::old-name",
        "setting protect: true → false",
        "waits no longer for ready",
        "waits for new, too",
        "if what it is made from comes out different",
        "stdin: known only after the update",
        "ignoreChanges): spec",
        "REFUSED: it is protected",
        "token: secret, changed",
        "a: x → gone",
      ])
        assert.ok(form.includes(said), `${said}\n${form}`);
    }
  });

  describe("markdown", () => {
    it("starts with the line by which the comment is found again", () => {
      assert.ok(renderMarkdown(emptyReport).startsWith(`${marker}\n`));
    });

    it("stays below the limit, with dangers and summary whole, and names what is left out and where it is", () => {
      const long = {
        ...change,
        properties: Array.from({ length: 400 }, (_, index) => ({
          path: `p${index}`,
          before: "x".repeat(150),
          after: "y",
        })),
      };
      const report: Report = {
        ...emptyReport,
        dangers: Array.from({ length: 60 }, (_, index) => ({ ...danger, resource: `resource-${index}` })),
        stacks: [stack("home-nodes", [change]), stack("home-services", [long]), stack("home-volumes", [change])],
      };
      const text = renderMarkdown(report, "the artifact `diff`");
      assert.ok(text.length <= limit, String(text.length));
      for (let index = 0; index < 60; index += 1) assert.ok(text.includes(`resource-${index}<`));
      assert.match(text, /Without room here: <code>home-services<\/code>; see the artifact `diff`\./);
      assert.match(text, /<details><summary>home-volumes/);
      assert.match(text, /\| <code>home-services<\/code> \| {2}\| 1 \|/);
    });

    it("names every danger even where their sentences have no room", () => {
      const dangers = Array.from({ length: 400 }, (_, index) => ({
        ...danger,
        resource: `resource-${index}-`,
        says: "x".repeat(200),
      }));
      const text = renderMarkdown({ ...emptyReport, dangers });
      assert.ok(text.length <= limit);
      assert.match(text, /\*\*400 dangers, 400 not acknowledged\*\*/);
      for (let index = 0; index < 400; index += 1) assert.ok(text.includes(`resource-${index}-`), String(index));
    });

    it("stays below it whatever there is", () => {
      const dangers = Array.from({ length: 1000 }, (_, index) => ({
        ...danger,
        rule: `rule-${index}`,
        says: "&".repeat(200),
      }));
      const failures = [{ side: "head" as const, stack: undefined, message: "`".repeat(90_000) }];
      const stacks = Array.from({ length: 60 }, (_, index) => stack(`environment-${index}-nodes`, [change]));
      assert.ok(renderMarkdown({ ...emptyReport, dangers, failures, stacks }).length <= limit);
    });

    it("shows what a change wrote as text: no markup, mention, reference, link or marker of its own", () => {
      const nasty = `<img src=x> @everyone #1 https://example.org | [a](b) \`\`\` ${marker} **b**`;
      const report: Report = {
        ...emptyReport,
        notes: [nasty],
        dangers: [{ ...danger, says: nasty, reason: nasty, acknowledged: { file: nasty, why: nasty } }],
        stacks: [
          stack(nasty, [
            { ...change, name: nasty, properties: [{ path: "p", before: nasty, after: "````\n</details>" }] },
          ]),
        ],
        failures: [{ side: "base", stack: nasty, message: `${nasty}\n\`\`\`\`\`` }],
      };
      const whole = renderMarkdown(report);
      // What stands between fences is text already; each fence is longer than any inside.
      const outside = whole.replace(/^(`{3,})\n[\s\S]*?\n\1$/gm, "");
      assert.equal(outside.split(marker).length, 2);
      assert.doesNotMatch(outside, /<img|@everyone|#1\b|https:\/\/|\[a\]|\*\*b\*\*|`{3}/);
      // Every entity is whole: `&#60;` and never `&#&#8203;60;`.
      assert.doesNotMatch(outside, /&(?!#\d+;)/);
      assert.equal(outside.split("<details>").length, outside.split("</details>").length);
    });
  });

  describe("html", () => {
    it("loads nothing, runs nothing, has a phone's width and the dark in mind, and escapes everything", () => {
      const nasty = `<script>alert("1")</script>&'`;
      const html = renderHtml({
        ...emptyReport,
        notes: [nasty],
        dangers: [{ ...danger, says: nasty, resource: nasty }],
        failures: [{ side: "base", stack: nasty, message: nasty }],
        stacks: [
          stack(nasty, [{ ...change, name: nasty, properties: [{ path: nasty, before: nasty }] }]),
          { ...stack("w", []), state: "withheld" },
        ],
      });
      assert.doesNotMatch(html, /<script|src=|href=|@import|url\(/);
      assert.match(html, /<meta name="viewport" content="width=device-width, initial-scale=1">/);
      assert.match(html, /prefers-color-scheme: dark/);
      assert.match(html, /Content-Security-Policy" content="default-src 'none'/);
    });

    it("shows the values of what is new, too", async () => {
      const html = renderHtml(
        await reportOf([["volumes", 5], { namespace: "wiki", claim: "pages", oldSize: "1Gi", size: "2Gi" }]),
      );
      assert.match(html, /spec\.resources\.requests\.storage: 2Gi/);
    });
  });
});
