import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { findDangers } from "../../../diff/danger/rules";
import { environmentSchema } from "../../../environment/schema";
import { compareHome } from "../../support/diff";
import { root } from "../../support/environment";
import { mutations, secretTextsOf, type Mutation } from "../../support/mutations";

/** What the diff says of a mutation; what is empty is left out. */
interface Expectation {
  /** By stack and operation: names of resources. `settings` are those of which only settings or gates change. */
  readonly operations?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Named by a preview only because something is known afterwards. */
  readonly conditional?: readonly string[];
  /** The engine refuses these. */
  readonly refused?: readonly string[];
  /** `rule resource` */
  readonly dangers?: readonly string[];
}

const file = join(root, "test", "fixtures", "diff", "mutations.yaml");

/** `WRITE_EXPECTATIONS=1` stores what the diff says now; whoever commits that has read what changed in it. */
const writing = process.env.WRITE_EXPECTATIONS === "1";

describe("diff: mutations of the home environment (test/engine/diff-agreement.test.ts holds the same ones against the engine)", () => {
  const stored = (existsSync(file) ? parse(readFileSync(file, "utf8")) : {}) as Readonly<Record<string, Expectation>>;
  const now: Record<string, Expectation> = {};
  after(() => {
    if (writing) writeFileSync(file, stringify(now, { lineWidth: 120, flowCollectionPadding: false }));
  });

  it("are at least 60, each with a title of its own, of every section of the file, and nothing else is stored", () => {
    const titles = mutations.map(({ title }) => title);
    assert.ok(titles.length >= 60, String(titles.length));
    assert.equal(new Set(titles).size, titles.length);
    const edited = new Set(mutations.flatMap(({ edits }) => edits.map(([[section]]) => section)));
    assert.deepEqual(
      Object.keys(environmentSchema.shape).filter((section) => !edited.has(section)),
      [],
    );
    if (!writing) assert.deepEqual(Object.keys(stored).sort(), titles.sort());
  });

  for (const mutation of mutations) {
    it(mutation.title, async () => {
      now[mutation.title] = await expectationOf(mutation);
      if (!writing) assert.deepEqual(now[mutation.title], stored[mutation.title]);
    });
  }
});

async function expectationOf(mutation: Mutation): Promise<Expectation> {
  const { stacks, compared } = await compareHome(mutation.edits, secretTextsOf(mutation));
  const operations: Record<string, Record<string, string[]>> = {};
  for (const { stack, resources } of stacks)
    for (const { name, operation } of resources) {
      const called = operation === "same" ? "settings" : operation;
      ((operations[stack] ??= {})[called] ??= []).push(name);
    }
  const all = stacks.flatMap(({ resources }) => resources);
  const sorted = (names: readonly string[]): string[] => [...names].sort();
  return withoutEmpty({
    operations: Object.fromEntries(
      Object.entries(operations).map(([stack, by]) => [
        stack,
        Object.fromEntries(Object.entries(by).map(([called, names]) => [called, sorted(names)])),
      ]),
    ),
    conditional: sorted(all.filter(({ conditional }) => conditional).map(({ name }) => name)),
    refused: sorted(all.filter(({ refused }) => refused !== undefined).map(({ name }) => name)),
    dangers: sorted(findDangers(compared, []).map(({ rule, resource }) => `${rule} ${resource}`)),
  });
}

function withoutEmpty(expectation: Required<Expectation>): Expectation {
  return Object.fromEntries(Object.entries(expectation).filter(([, value]) => Object.keys(value).length > 0));
}
