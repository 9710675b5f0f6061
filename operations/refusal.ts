/**
 * An error an operator can act on: what happened, to what, why, and the one next command. Everything the program refuses is one of these; any
 * other exception is a bug.
 */
export class Refusal extends Error {
  constructor(readonly parts: { readonly what: string; readonly why: string; readonly next: string }) {
    super(`${parts.what}\n  why:  ${parts.why}\n  next: ${parts.next}`);
    this.name = "Refusal";
  }
}
