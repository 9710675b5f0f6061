import { EnvHttpProxyAgent, fetch, type RequestInit, type Response } from "undici";
import { Refusal } from "../../operations/refusal";

/** Milliseconds for one request: these are small files and headers, a minute means that nothing will come. */
const timeout = 60_000;

/** What a request asks for, in words for the operator, and the one next command when it does not get it. */
export interface Purpose {
  readonly what: string;
  readonly next: string;
}

/** The proxy of the environment (HTTPS_PROXY, NO_PROXY), if there is one. */
const dispatcher = new EnvHttpProxyAgent();

/**
 * One request. Follows redirects, but never from https to http: what comes back is going to be pinned. Throws a Refusal when nobody answers or when there
 * are too many requests; any other status is the caller's.
 */
export async function ask(url: string, purpose: Purpose, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, { dispatcher, signal: AbortSignal.timeout(timeout), ...init }).catch(
    (error: unknown) => {
      throw new Refusal({
        what: purpose.what,
        why: `${url}: ${reason(error)}`,
        next: "npm run pin, once it can be reached",
      });
    },
  );
  if (url.startsWith("https:") && !response.url.startsWith("https:")) {
    throw new Refusal({
      ...purpose,
      why: `${url} leads to ${response.url}, which is not encrypted: nothing from there is pinned`,
    });
  }
  if (response.status === 429) {
    const wait = response.headers.get("retry-after");
    throw new Refusal({
      what: purpose.what,
      why: `${url}: 429, too many requests from this address${wait === null ? "" : `; it asks to wait ${wait} s`}`,
      next: "npm run pin, later",
    });
  }
  return response;
}

/** The body as text; anything but 200 is refused. */
export async function text(url: string, purpose: Purpose): Promise<string> {
  const response = await ask(url, purpose);
  if (response.status !== 200)
    throw new Refusal({ ...purpose, why: `${url}: ${response.status} ${response.statusText}` });
  return response.text();
}

/** undici says only "fetch failed"; the cause knows more. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
