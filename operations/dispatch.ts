import { z } from "zod";
import { requestSchema, type Access } from "./access";
import type { Clients } from "./clients";
import { keep } from "./keep";
import type { Operation } from "./operation";
import { Refusal } from "./refusal";
import { operations, type Operations } from "./verbs";

/** Makes the clients for one request; the real ones in production, in-memory ones in the rehearsal. */
export type Connect = (access: Access, needs: Operation["needs"]) => Clients | Promise<Clients>;

/**
 * Runs the operation that `verb` names on a request as it stands on standard input, and returns what goes to standard output: one line of JSON.
 * The only way in, for `operations/run` and for the rehearsal alike. `previous` is what the resource's last run printed; only `keep` repeats it.
 * `known` is the table of operations; only tests give another.
 */
export async function dispatch(
  verb: string,
  request: string,
  connect: Connect,
  previous = "{}",
  known: Operations = operations,
): Promise<string> {
  const load = Object.hasOwn(known, verb) ? known[verb] : undefined;
  if (!load) {
    throw new Refusal({
      what: `operations/run ${verb}: no such operation`,
      why: `this checkout knows ${Object.keys(known).join(", ")}`,
      next: "check out the version of this project that wrote the stack's state, or newer",
    });
  }
  const operation = await load();
  const { access, input } = parse(verb, requestSchema, fromJson(verb, request));
  const missing = operation.needs.filter((system) => access[system] === undefined);
  if (missing.length > 0) {
    throw new Refusal({
      what: `operations/run ${verb}: no access to ${missing.join(", ")}`,
      why: "the request on standard input does not carry it",
      next: "set the missing secret (`pulumi config set --secret`) and run `pulumi up` once, which records it",
    });
  }
  if (operation.verb === keep.verb) return previous.trim();
  const result = await operation.run(parse(verb, operation.schema, input), await connect(access, operation.needs));
  return JSON.stringify(result ?? {});
}

function fromJson(verb: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes the text, and the text carries secrets.
    throw new Refusal({
      what: `operations/run ${verb}: standard input is not JSON`,
      why: "a request is one JSON object { version, access, input }",
      next: "run it through `pulumi up`, or see docs/operations.md for the request's form",
    });
  }
}

function parse<T>(verb: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal({
    what: `operations/run ${verb}: the request does not fit`,
    // zod's messages name paths and expected types, never the value.
    why: z.prettifyError(parsed.error),
    next: "run `pulumi up` with the checkout that this stack was last updated with, then with this one",
  });
}
