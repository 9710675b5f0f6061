import type { z } from "zod";
import type { Access } from "./access";
import type { Clients } from "./clients";

/** A system that an operation needs a way into. */
export type System = keyof Access;

/**
 * What must happen outside a resource's own lifecycle. The input comes from standard input (or the rehearsal, as the same text), is checked by `schema`,
 * and never carries a secret: those are in `access`. `run` gets clients for exactly the systems named in `needs`. A method and not a property, so that the
 * table of all operations can hold every input type.
 */
export interface Operation<Input = unknown, Result = unknown> {
  readonly verb: string;
  readonly needs: readonly System[];
  readonly schema: z.ZodType<Input>;
  run(input: Input, clients: Clients): Promise<Result>;
}

/** Gives an operation its types from its schema. */
export function defineOperation<Input, Result>(operation: Operation<Input, Result>): Operation<Input, Result> {
  return operation;
}
