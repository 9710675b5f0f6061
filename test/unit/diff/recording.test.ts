import assert from "node:assert/strict";
import type { Recording } from "../../../diff/format";
import { recordSide } from "../../../diff/recorder/record-side";
import { layers } from "../../../environment/stack";
import { reveal } from "../../../rehearsal/record";
import { root } from "../../support/environment";
import { committed, recordLayer } from "../../support/program";
import { keepingWarnings } from "../../support/warnings";

/** Keys and kinds of a value, requests of operations taken apart. */
function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(form);
  if (typeof value === "string" && value.startsWith('{"version":1')) return form(JSON.parse(value));
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      // The rehearsal's Helm gives none; the provider does.
      .filter(([key]) => key !== "revision")
      .map(([key, child]) => [key, form(child)] as const)
      .sort(([one], [other]) => one.localeCompare(other)),
  );
}

describe("diff: a recorded side (with stand-ins for every answer; that a live system would give them is not proved)", () => {
  let recorded: Promise<Recording> | undefined;
  const once = async (): Promise<Recording> =>
    (recorded ??= keepingWarnings(() => recordSide(root, {})).then(({ result }) => result));

  for (const { name } of committed) {
    for (const layer of layers) {
      it(`${name}-${layer}: registers what the rehearsal registers, with inputs of the same form`, async () => {
        const side = (await once()).layers.find(({ stack }) => stack === `${name}-${layer}`);
        const { registrations } = await recordLayer(name, layer);
        const expected = registrations.filter(({ type }) => type !== "pulumi:pulumi:Stack");
        const forms = (all: readonly { urn: string; inputs: unknown }[]): Record<string, unknown> =>
          Object.fromEntries(all.map(({ urn, inputs }) => [urn, form(reveal(inputs))] as const).sort());
        assert.deepEqual(forms(side?.resources ?? []), forms(expected));
      });
    }
  }

  it("is the same however often it is made", async () => {
    const again = await keepingWarnings(() => recordSide(root, {}));
    const sorted = (recording: Recording): unknown =>
      recording.layers.map((layer) => [...layer.resources].sort((a, b) => a.urn.localeCompare(b.urn)));
    assert.deepEqual(sorted(await once()), sorted(again.result));
  });
});
