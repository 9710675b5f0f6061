import * as pulumi from "@pulumi/pulumi";

/** An error of the program that the engine shows as `message` and nothing else. */
export function readableError(message: string): Error {
  return readably(new pulumi.RunError(message), message);
}

/**
 * Makes the SDK show of an error what `message` says. A RunError is printed without its stack trace, but still inspected with it, in colours and for a line that
 * nobody sees: 15 s of a refused preview (tried), none without a stack. And the SDK puts before the message the name of every property that waited for the
 * failed value, each time one more; it keeps the error object on purpose, so what is done to it here stays.
 */
export function readably(error: Error, message: string): Error {
  Object.defineProperty(error, "message", { get: () => message, set: () => undefined });
  return Object.assign(error, { __pulumiRunError: true, stack: undefined });
}
