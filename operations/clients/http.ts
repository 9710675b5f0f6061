import { Agent, request } from "undici";
import type { Clock } from "../clients";
import { Refusal } from "../refusal";

/** A system that speaks JSON over verified HTTPS. */
export interface HttpServer {
  /** What the operator calls it: `Proxmox`. */
  readonly name: string;
  /** Everything before the request's own path; its path is kept, a slash at its end is not. */
  readonly base: string;
  /** Sent with each request; carries the token. */
  readonly authorization: string;
  /** PEM of a private CA. Given: only that one is trusted. */
  readonly caCertificate: string | undefined;
  /** Where the CA is set in the environment file, for messages. */
  readonly caSetting: string;
  /** How its certificate is made anew when it has expired, for messages. */
  readonly renewal: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** The reason phrase: where Proxmox puts its message. */
  readonly reason: string;
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown;
}

export interface HttpRequest {
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as a form, as Proxmox wants it. */
  readonly form?: Readonly<Record<string, string>>;
  readonly json?: unknown;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Milliseconds without an answer after which a connection counts as dead. */
const timeout = 60_000;

/**
 * Requests to one server. No error that leaves it carries the request: undici's own do, and with it the token.
 */
export class JsonHttp {
  private readonly agent: Agent;

  constructor(
    private readonly server: HttpServer,
    private readonly clock: Clock,
  ) {
    this.agent = new Agent({
      headersTimeout: timeout,
      bodyTimeout: timeout,
      connect: { timeout: 15_000, ...(server.caCertificate !== undefined && { ca: server.caCertificate }) },
    });
  }

  /** The answer, whatever its status. Throws a Refusal when there is none. A read is asked again twice when the connection broke: nothing happened yet. */
  async send(method: Method, path: string, content: HttpRequest = {}): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.once(method, path, content);
      } catch (error) {
        const code = codeOf(error);
        if (method !== "GET" || attempt === 3 || isTlsFailure(code)) throw this.noAnswer(code);
        await this.clock.sleep(1000);
      }
    }
  }

  private async once(method: Method, path: string, { query, form, json }: HttpRequest): Promise<HttpAnswer> {
    const url = new URL(this.server.base.replace(/\/+$/, "") + path);
    for (const [key, value] of Object.entries(query ?? {})) url.searchParams.append(key, value);
    const body = form ? new URLSearchParams(form).toString() : json === undefined ? undefined : JSON.stringify(json);
    const answer = await request(url, {
      method,
      dispatcher: this.agent,
      headers: {
        authorization: this.server.authorization,
        accept: "application/json",
        ...(body !== undefined && {
          "content-type": form ? "application/x-www-form-urlencoded" : "application/json",
        }),
      },
      ...(body !== undefined && { body }),
    });
    return { status: answer.statusCode, reason: answer.statusText, body: parsed(await answer.body.text()) };
  }

  private noAnswer(code: string): Refusal {
    const { name, base, caSetting, renewal } = this.server;
    const { origin, host } = new URL(base);
    if (code === "CERT_HAS_EXPIRED") {
      return new Refusal({
        what: `${name} at ${origin}: its certificate has expired, nothing was sent`,
        why: `TLS says ${code}`,
        next: `renew it: ${renewal}; until when it holds: \`openssl s_client -connect ${withPort(host)} </dev/null | openssl x509 -noout -enddate\``,
      });
    }
    return isTlsFailure(code)
      ? new Refusal({
          what: `${name} at ${origin}: its certificate is not trusted, nothing was sent`,
          why: `TLS says ${code}`,
          next: `set \`${caSetting}\` in the environment file to the CA that signed it (look at it: \`openssl s_client -connect ${withPort(host)} -showcerts\`)`,
        })
      : new Refusal({
          what: `${name} at ${origin}: no answer`,
          why: `the connection ended with ${code}`,
          next: `check from this machine: \`curl -v ${origin}\`; then run the same command again`,
        });
  }
}

/** A string field of a JSON object, "" when there is none. */
export function text(value: unknown, key: string): string {
  const found = field(value, key);
  return typeof found === "string" ? found : "";
}

/** A field of a JSON object. */
export function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

/** The fields of a JSON object; empty for anything else. */
export function fields(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

/** The items of a JSON list; empty for anything else. */
export function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

function codeOf(error: unknown): string {
  const code = field(error, "code") ?? field(field(error, "cause"), "code");
  return typeof code === "string" ? code : "an unknown error";
}

/** OpenSSL's words for what is wrong with a certificate, and Node's for a wrong name. */
function isTlsFailure(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|SSL/.test(code);
}

function withPort(host: string): string {
  return host.includes(":") ? host : `${host}:443`;
}
