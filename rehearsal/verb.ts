/** The verb of an operation's command line, as `operations/declare.ts` writes it. */
export function verbOf(command: unknown): string | undefined {
  return typeof command === "string" ? /^operations\/run (\S+)$/.exec(command)?.[1] : undefined;
}
