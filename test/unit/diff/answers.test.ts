import assert from "node:assert/strict";
import { operationResult } from "../../../diff/recorder/results";
import { layers } from "../../../environment/stack";
import { isSecret, reveal } from "../../../rehearsal/record";
import { verbOf } from "../../../rehearsal/verb";
import { committed, recordLayer } from "../../support/program";

/** The form of a value: keys and kinds, without what stands there. Of a list its first entry counts. */
function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(form);
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, child]) => [key, form(child)] as const)
      .sort(([one], [other]) => one.localeCompare(other)),
  );
}

/** What nobody reads of a result while layers are registered, so that any stand-in does. */
const unread: Readonly<Record<string, readonly string[]>> = {
  "observe-consumers": ["consumers"],
  "conclude-copy": ["first"],
  "record-ingress-service": ["original"],
};

describe("diff: stand-ins for what operations answer (form alone: that a live system would answer so is not proved)", () => {
  for (const { name } of committed) {
    for (const layer of layers) {
      it(`${name}-${layer}: every declared operation's real answer has the fields of its stand-in, or more`, async () => {
        const seen: string[] = [];
        await recordLayer(name, layer, {
          answer: async (registration, usual) => {
            const answer = await usual();
            const verb = verbOf(registration.inputs.create);
            if (verb === undefined) return answer;
            const stdin = registration.inputs.stdin;
            assert.ok(isSecret(stdin));
            const standIn = JSON.parse(operationResult(verb, String(stdin.value))) as Record<string, unknown>;
            const real = JSON.parse(String(reveal(answer.outputs?.stdout))) as Record<string, unknown>;
            for (const [key, value] of Object.entries(real)) {
              if (unread[verb]?.includes(key)) continue;
              assert.deepEqual(form(standIn[key]), form(value), `${verb}: ${key}`);
            }
            seen.push(verb);
            return answer;
          },
        });
        assert.ok(seen.length > 0);
      });
    }
  }
});
