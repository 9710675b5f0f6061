import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** A program that a lab started: its output is in a file, and it ends with this process, however this process ends. */
export class Program {
  private failure: Error | undefined;
  private readonly ended: Promise<void>;

  private constructor(
    readonly name: string,
    readonly log: string,
    private readonly child: ChildProcess,
  ) {
    this.ended = new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", (error) => {
        this.failure = error;
        resolve();
      });
    });
  }

  /** `around` stands before the command, such as `["ip", "netns", "exec", "node-1"]`: it has to become the program, as `exec` does. */
  static start(
    name: string,
    log: string,
    command: readonly string[],
    {
      around = [],
      env = {},
    }: { readonly around?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {},
  ): Program {
    const output = openSync(log, "a");
    try {
      const [first = "", ...rest] = [...around, "setpriv", "--pdeathsig", "KILL", ...command];
      const environment = { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...env };
      const child = spawn(first, rest, { stdio: ["ignore", output, output], env: environment });
      return new Program(name, log, child);
    } finally {
      closeSync(output);
    }
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get running(): boolean {
    return this.failure === undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** What it wrote last. */
  lastLines(count = 20): string {
    return readFileSync(this.log, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  }

  /** Asks until `look` no longer throws; its last error, with the program's last words, when the program ends or the time is up. */
  async ready(look: () => Promise<void>, seconds = 60): Promise<void> {
    try {
      await until(`${this.name} is ready`, look, { seconds, unless: () => this.end() });
    } catch (error) {
      throw new Error(`${messageOf(error)}\nlast lines of ${this.log}:\n${this.lastLines()}`);
    }
  }

  /** How it ended; undefined while it runs. */
  end(): string | undefined {
    if (this.running) return undefined;
    return `${this.name} ended with ${this.failure?.message ?? this.child.signalCode ?? `exit code ${this.child.exitCode}`}`;
  }

  /** At once: nothing of a lab is worth an orderly end. `signal` for those whose orderly end is what a test is about. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.running) this.child.kill(signal);
    await this.ended;
  }
}

/** Looks until `look` returns without throwing, and returns what it returned; its last error when the time is up or `unless` says why there is no use. */
export async function until<T>(
  what: string,
  look: () => Promise<T> | T,
  {
    seconds = 60,
    every = 50,
    unless = () => undefined,
  }: { readonly seconds?: number; readonly every?: number; readonly unless?: () => string | undefined } = {},
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      const why = unless() ?? (Date.now() > deadline ? `not within ${seconds} s` : undefined);
      if (why !== undefined) throw new Error(`${what}: ${why}; last seen: ${messageOf(error)}`, { cause: error });
    }
    await pause(every);
  }
}

/** Throws unless a GET of the address is answered with 200. */
export async function answers(url: string, tls: { ca: string; cert?: string; key?: string }): Promise<void> {
  const [status, text] = await new Promise<[number, string]>((resolve, reject) => {
    const asked = request(url, { ...tls, agent: false, timeout: 5000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.once("end", () => resolve([response.statusCode ?? 0, body]));
    });
    asked
      .once("timeout", () => asked.destroy(new Error("no answer within 5 s")))
      .once("error", reject)
      .end();
  });
  if (status !== 200) throw new Error(`${url}: ${status} ${text.slice(0, 2000)}`);
}

/** Ports of loopback at which nobody listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async (server) => {
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
      return (server.address() as AddressInfo).port;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
