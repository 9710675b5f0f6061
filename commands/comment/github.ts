import { EnvHttpProxyAgent, fetch } from "undici";
import { z } from "zod";
import { Refusal } from "../../operations/refusal";

/** Milliseconds for one request. */
const timeout = 30_000;

/** The answer may come later: GitHub is over its limit, broken or not to be reached. What was asked may have happened all the same. */
export class NotNow extends Error {
  /** `seconds` to wait at least; undefined where GitHub did not say. */
  constructor(
    message: string,
    readonly seconds?: number,
  ) {
    super(message);
    this.name = "NotNow";
  }
}

export interface GitHubAccess {
  /** Such as https://api.github.com. */
  readonly url: string;
  readonly token: string;
}

const pullRequestSchema = z.object({
  state: z.string(),
  head: z.object({
    sha: z.string(),
    ref: z.string(),
    // null when the fork is gone.
    repo: z.object({ full_name: z.string() }).nullable(),
  }),
});

const commentSchema = z.object({
  id: z.number().int(),
  body: z.string().nullish(),
  user: z.object({ login: z.string(), type: z.string() }).nullish(),
});

export type PullRequest = z.infer<typeof pullRequestSchema>;
export type Comment = z.infer<typeof commentSchema>;

/** Comments on one page, GitHub's most; and pages until it is given up: nobody has as many, and a loop must end. */
const page = 100;
const pages = 100;

const dispatcher = new EnvHttpProxyAgent();

/**
 * The five requests that the comment takes, on one repository. An answer that can be had later is `NotNow`, any other that is not a success a Refusal. Neither
 * the token nor a header stands in them.
 */
export class GitHub {
  constructor(
    private readonly access: GitHubAccess,
    private readonly repository: string,
    /** Milliseconds since the epoch, to know how far away the end of a limit is. */
    private readonly now: () => number,
  ) {}

  async pullRequest(number: number): Promise<PullRequest> {
    return parsed(pullRequestSchema, await this.ask("GET", `pulls/${number}`), `pulls/${number}`);
  }

  /** Oldest first, as GitHub orders them. */
  async comments(number: number): Promise<readonly Comment[]> {
    const all: Comment[] = [];
    for (let index = 1; index <= pages; index++) {
      const path = `issues/${number}/comments?per_page=${page}&page=${index}`;
      const some = parsed(z.array(commentSchema), await this.ask("GET", path), path);
      all.push(...some);
      if (some.length < page) return all;
    }
    throw new Refusal({
      what: `pull request ${number} has more than ${page * pages} comments`,
      why: "whether ours is among them is not known, and a second one must not be made",
      next: "delete comments, then run the job again",
    });
  }

  async create(number: number, body: string): Promise<void> {
    await this.ask("POST", `issues/${number}/comments`, { body });
  }

  async edit(comment: number, body: string): Promise<void> {
    await this.ask("PATCH", `issues/comments/${comment}`, { body });
  }

  /** Also when it is gone already. */
  async remove(comment: number): Promise<void> {
    await this.ask("DELETE", `issues/comments/${comment}`, undefined, [404]);
  }

  private async ask(method: string, path: string, body?: unknown, alsoFine: readonly number[] = []): Promise<unknown> {
    const what = `${method} ${path}`;
    // A redirect is an error: the token goes to the address that the runner named, and nowhere else.
    const response = await fetch(`${this.access.url}/repos/${this.repository}/${path}`, {
      method,
      dispatcher,
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
      headers: {
        accept: "application/vnd.github+json",
        authorization: `Bearer ${this.access.token}`,
        "x-github-api-version": "2022-11-28",
        "user-agent": "home-cluster",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new NotNow(`${what}: ${reason(error)}`);
    });
    const text = await response.text().catch((error: unknown) => {
      throw new NotNow(`${what}: the answer broke off: ${reason(error)}`);
    });
    const { status } = response;
    if (alsoFine.includes(status)) return undefined;
    if (response.ok) return text === "" ? undefined : json(text, what);
    const said = `${what}: ${status} ${message(text)}`;
    const wait = this.limit(status, response.headers);
    if (wait !== undefined) throw new NotNow(said, wait);
    if (status >= 500) throw new NotNow(said);
    // Somebody deleted the comment between our look and our edit: the next look does not find it.
    if (method === "PATCH" && status === 404) throw new NotNow(said, 0);
    throw new Refusal({
      what: "GitHub refuses a request for the comment",
      why: said,
      next:
        status === 401 || status === 403
          ? "give the job `pull-requests: write`; in a repository's settings, workflows may be held to reading"
          : "read what GitHub says, then run the job again",
    });
  }

  /** Seconds until GitHub takes requests again; undefined when the answer is not about a limit. */
  private limit(status: number, headers: { get(name: string): string | null }): number | undefined {
    if (status !== 403 && status !== 429) return undefined;
    const after = Number(headers.get("retry-after") ?? Number.NaN);
    if (Number.isFinite(after)) return Math.max(0, after);
    const reset = Number(headers.get("x-ratelimit-reset") ?? Number.NaN);
    if (headers.get("x-ratelimit-remaining") === "0" && Number.isFinite(reset))
      return Math.max(0, reset - Math.floor(this.now() / 1000)) + 1;
    // GitHub asks for a minute where it names none.
    return status === 429 ? 60 : undefined;
  }
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const { success, data } = schema.safeParse(value);
  if (success) return data;
  throw new NotNow(`${what}: an answer of another form than GitHub's`);
}

function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new NotNow(`${what}: an answer that is no JSON`);
  }
}

/** What GitHub says of an error, in one line. */
function message(text: string): string {
  const { success, data } = z.object({ message: z.string() }).safeParse(attempt(text));
  return (success ? data.message : text).replace(/\s+/g, " ").trim().slice(0, 300);
}

function attempt(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
