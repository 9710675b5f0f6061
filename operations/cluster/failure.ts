import { ApiRefusal } from "../clients";
import { NotYet } from "../poll";
import { Refusal } from "../refusal";

/** What, why and the next command of anything thrown. */
export interface Failure {
  readonly what: string;
  readonly why: string;
  /** Absent when the error was not ours and so names none. */
  readonly next: string | undefined;
}

/**
 * What may be said of an error: our own words as they are, of any other its name and its message's first line, because error objects of HTTP
 * libraries carry requests with their headers.
 */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) return error.parts;
  if (error instanceof ApiRefusal)
    return { what: "the Kubernetes API", why: `${error.reason}: ${firstLine(error)}`, next: undefined };
  return {
    what: "it failed",
    why: error instanceof Error ? `${error.name}: ${firstLine(error)}` : "unknown error",
    next: undefined,
  };
}

/** The same as one line, for a record. */
export function oneLine(error: unknown): string {
  const { what, why } = failureOf(error);
  return `${what} (${why})`.replace(/\s+/g, " ");
}

/**
 * A probe whose errors only mean "not yet": for waits during which an API may rightly fall silent, such as while a control plane node leaves. The
 * wait's own deadline still ends it, and then names the error.
 */
export function patiently<T>(probe: () => Promise<T | undefined>): () => Promise<T | undefined> {
  return async () => {
    try {
      return await probe();
    } catch (error) {
      throw error instanceof NotYet ? error : new NotYet(oneLine(error));
    }
  };
}

function firstLine(error: Error): string {
  return error.message.split("\n")[0] ?? "";
}
