import { connect } from "./connect";
import { dispatch } from "./dispatch";
import { Refusal } from "./refusal";

/** The whole of standard input, as UTF-8. */
async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString("utf8");
}

/** `operations/run <verb>`: result on standard output, progress and refusals on standard error; exit 1 when refused. */
export async function main(verb: string): Promise<number> {
  try {
    process.stdout.write(
      `${await dispatch(verb, await readStandardInput(), connect, process.env.PULUMI_COMMAND_STDOUT)}\n`,
    );
    return 0;
  } catch (error) {
    process.stderr.write(`${describe(verb, error)}\n`);
    return 1;
  }
}

/**
 * What may be printed of an error. The engine shows a failing command's whole output in clear, and error objects of HTTP and SSH libraries carry
 * requests with their headers: so only messages of our own kinds pass, of any other error only its name and message's first line.
 */
function describe(verb: string, error: unknown): string {
  if (error instanceof Refusal) return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message.split("\n")[0]}` : "unknown error";
  return `operations/run ${verb} failed: ${text}`;
}
