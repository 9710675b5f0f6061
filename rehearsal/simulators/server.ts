import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hrtime } from "node:process";

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** One request, taken apart as far as every simulated API needs it. */
export interface SimulatedRequest {
  readonly method: string;
  /** Undecoded, without the query: `%2F` in a segment stays apart from a slash between two. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface SimulatedReply {
  /** Default 200. */
  readonly status?: number;
  /** Reason phrase; Proxmox puts its message there. */
  readonly reason?: string;
  /** Sent as JSON; undefined: nothing is sent. */
  readonly body?: unknown;
}

/** A request that was answered, or broken off, in the order of arrival. */
export interface Logged extends SimulatedRequest {
  /** From 0. */
  readonly index: number;
  /** Milliseconds since the server started. */
  readonly at: number;
  /** undefined while it is being answered. */
  reply: (SimulatedReply & { readonly status: number }) | "reset" | undefined;
}

/**
 * What happens to a request instead of, or beside, its answer. `before`: the server never got to do it. `after`: it did, and the answer is lost, which is the
 * harder case: whoever asked does not know.
 */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly reason?: string; readonly when: "before" | "after" }
  | { readonly kind: "reset"; readonly when: "before" | "after" }
  | { readonly kind: "slow"; readonly milliseconds: number };

export interface SimulatorOptions {
  readonly certificate: Certificate;
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Milliseconds before each answer. Default 0. */
  readonly latency?: (request: SimulatedRequest) => number;
}

/**
 * An HTTPS server (TLS 1.3 only, as the Proxmox provider insists) around a function from request to reply. What it was asked stays in `log`; `fault` is asked for
 * each request and may spoil it. Real time: real clients talk to it.
 */
export class Simulator {
  readonly log: Logged[] = [];
  /** Asked once per request; undefined lets it be answered as it should. */
  fault: (request: Logged) => Fault | undefined = () => undefined;
  private readonly started = hrtime.bigint();

  private constructor(
    private readonly server: Server,
    private readonly answer: (request: SimulatedRequest) => Promise<SimulatedReply> | SimulatedReply,
    private readonly options: SimulatorOptions,
  ) {}

  static async start(
    answer: (request: SimulatedRequest) => Promise<SimulatedReply> | SimulatedReply,
    options: SimulatorOptions,
  ): Promise<Simulator> {
    const server = createServer({ ...options.certificate, minVersion: "TLSv1.3" });
    const simulator = new Simulator(server, answer, options);
    server.on("request", (request, response) => void simulator.handle(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, options.address ?? "127.0.0.1", resolve);
    });
    return simulator;
  }

  get url(): string {
    const { address, port } = this.server.address() as AddressInfo;
    return `https://${address}:${port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const [path = "", query = ""] = (message.url ?? "").split(/\?(.*)/s);
    const logged: Logged = {
      method: message.method ?? "",
      path,
      query: new URLSearchParams(query),
      headers: message.headers as Record<string, string | undefined>,
      body: Buffer.concat(chunks).toString(),
      index: this.log.length,
      at: Number((hrtime.bigint() - this.started) / 1_000_000n),
      reply: undefined,
    };
    this.log.push(logged);
    const fault = this.fault(logged);
    const pause = (this.options.latency?.(logged) ?? 0) + (fault?.kind === "slow" ? fault.milliseconds : 0);
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    const spoiled = fault === undefined || fault.kind === "slow" ? undefined : fault;
    const reply = spoiled?.when === "before" ? undefined : await this.answer(logged);
    if (spoiled?.kind === "reset") {
      logged.reply = "reset";
      return void message.socket.destroy();
    }
    const { status = 200, reason, body } = spoiled ? { ...spoiled, body: { data: null } } : (reply ?? {});
    logged.reply = { status, ...(reason !== undefined && { reason }), body };
    response.writeHead(status, reason, { "content-type": "application/json;charset=UTF-8" });
    response.end(body === undefined ? "" : JSON.stringify(body));
  }
}
