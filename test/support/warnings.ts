/** Runs `body` and keeps what it warns of, which without an engine goes to the console. */
export async function keepingWarnings<T>(
  body: () => Promise<T>,
): Promise<{ readonly result: T; readonly warnings: readonly string[] }> {
  const warnings: string[] = [];
  const warn = console.warn;
  console.warn = (line: string) => warnings.push(line.replace(/^warning: \[runtime\] /, ""));
  try {
    return { result: await body(), warnings };
  } finally {
    console.warn = warn;
  }
}
