import { requestSchema } from "./access";
import { connect } from "./connect";
import { dispatch, type Connect } from "./dispatch";
import { Refusal } from "./refusal";
import { operations, type Operations } from "./verbs";

/** What surrounds one run; a process of its own in production. */
export interface Surroundings {
  readonly stdin: AsyncIterable<unknown>;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** What the resource's last run printed, as @pulumi/command hands it on. */
  readonly previous: string | undefined;
  readonly connect: Connect;
  readonly known: Operations;
}

/** `operations/run <verb>`: result on standard output, progress and refusals on standard error; exit 1 when refused. */
export async function main(verb: string, given: Partial<Surroundings> = {}): Promise<number> {
  const { stdin, stdout, stderr, previous, ...rest }: Surroundings = {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    previous: process.env.PULUMI_COMMAND_STDOUT,
    connect,
    known: operations,
    ...given,
  };
  const request = await readAll(stdin);
  try {
    await write(stdout, await dispatch(verb, request, rest.connect, previous, rest.known));
    return 0;
  } catch (error) {
    await write(stderr, withoutSecrets(describe(verb, error), request));
    return 1;
  }
}

/** The whole of a stream, as UTF-8. */
async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks).toString("utf8");
}

/** Waits until the line is out: the process exits next, and where pipes are asynchronous (macOS) that would cut a long result short. */
function write(stream: NodeJS.WritableStream, line: string): Promise<void> {
  return new Promise((resolve) => stream.write(`${line}\n`, () => resolve()));
}

/**
 * What may be printed of an error. The engine shows a failing command's whole output in clear, and error objects of HTTP and SSH libraries carry
 * requests with their headers: so only messages of our own kinds pass, of any other error only its name and message's first line. Parsers quote the start
 * of what they could not read (`Unexpected token 'e', "eyJhbGci"...`), which may be a secret's.
 */
function describe(verb: string, error: unknown): string {
  if (error instanceof Refusal) return error.message;
  if (!(error instanceof Error)) return `operations/run ${verb} failed: unknown error`;
  const line = error.message.split("\n")[0] ?? "";
  return `operations/run ${verb} failed: ${error.name}: ${error instanceof SyntaxError ? line.replace(/".*"/, '"…"') : line}`;
}

/**
 * Takes out whatever the request's secrets hold. A net below the rule that no message carries one, not instead of it. Words under 12 characters are left,
 * since they may be ordinary ones, and so are addresses.
 */
function withoutSecrets(text: string, request: string): string {
  return secretWords(request)
    .filter((word) => word.length >= 12 && !word.includes("://"))
    .sort((one, other) => other.length - one.length)
    .reduce((shown, word) => shown.replaceAll(word, "[secret]"), text);
}

/** Every word of the request's tokens, kubeconfig (YAML or JSON) and private key. */
function secretWords(request: string): string[] {
  try {
    const { access } = requestSchema.parse(JSON.parse(request));
    const secrets = [
      access.proxmox?.token,
      access.rancher?.token,
      access.kubernetes?.kubeconfig,
      access.ssh?.privateKey,
    ];
    return secrets.flatMap((secret) => secret?.split(/[\s"',{}]+/) ?? []);
  } catch {
    // Nothing was dispatched then, and what `dispatch` says of such a request quotes none of it.
    return [];
  }
}
