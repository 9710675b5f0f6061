import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Clock } from "../operations/clients";
import { systemClock } from "../operations/clients/clock";
import { Refusal } from "../operations/refusal";
import { body, marker } from "./comment/body";
import { GitHub, NotNow, type Comment } from "./comment/github";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: node commands/run comment <folder with number and comment.md>
  For .github/workflows/comment.yml: puts what the workflow "diff" wrote into the one comment of its pull request. GITHUB_EVENT_PATH, GITHUB_API_URL and
  GITHUB_TOKEN are the runner's. Exit 0: written, or there is nothing to write any more; 1: refused or given up; 2: wrong usage.`;

/** Whose comments are ours: the account behind a workflow's own token. Anybody else's with the same marker is not touched. */
const author = { login: "github-actions[bot]", type: "Bot" };

/** Bytes of what is read of the artifact. A report has at most 60,000 characters, of at most four bytes each. */
const numberBytes = 16;
const commentBytes = 256 * 1024;

/** Seconds that are waited in all for a GitHub that is over its limit or broken, and how often it is tried. */
const patience = 900;
const attempts = 8;

/** What GitHub says of the run whose artifact this is. Unlike the artifact, no pull request can write it. */
const eventSchema = z.object({
  repository: z.object({ full_name: z.string().regex(/^[\w.-]+\/[\w.-]+$/) }),
  workflow_run: z.object({
    event: z.string(),
    html_url: z.url({ protocol: /^https?$/ }),
    head_sha: z.string().regex(/^[0-9a-f]{40,64}$/),
    head_branch: z.string().nullable(),
    head_repository: z.object({ full_name: z.string() }).nullable(),
  }),
});

type Event = z.infer<typeof eventSchema>;

/** What the runner gives; tests give their own. */
export interface Runner {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** `node commands/run comment`: the only step that may write to a pull request. It runs nothing of it and takes its artifact for data of a stranger. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  { env, clock }: Runner = { env: process.env, clock: systemClock },
): Promise<number> {
  const [folder, ...more] = args;
  const { GITHUB_EVENT_PATH: event, GITHUB_API_URL: url, GITHUB_TOKEN: token } = env;
  if (folder === undefined || more.length > 0 || !event || !url || !token) {
    where.error(usage);
    return 2;
  }
  try {
    const run = readEvent(event);
    const number = readNumber(folder);
    const text = body(read(folder, "comment.md", commentBytes), {
      commit: run.workflow_run.head_sha,
      run: run.workflow_run.html_url,
    });
    const github = new GitHub({ url, token }, run.repository.full_name, () => clock.now());
    where.out(await patiently(clock, where, () => place(github, run, number, text)));
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    where.error(error.message);
    return 1;
  }
}

/**
 * All of it from the start after each failure that passes: a request whose answer was lost may have been carried out, and only a new look shows the comment
 * that it made.
 */
async function patiently(clock: Clock, where: Surroundings, act: () => Promise<string>): Promise<string> {
  let waited = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof NotNow)) throw error;
      const seconds = error.seconds ?? 2 ** attempt;
      waited += seconds;
      if (attempt === attempts || waited > patience) {
        throw new Refusal({
          what: "the comment was not written",
          why: `${error.message} (attempt ${attempt}${seconds > 60 ? `; it would take ${seconds} s more` : ""})`,
          next: "run the job again, later",
        });
      }
      where.error(`${error.message}: again in ${seconds} s`);
      await clock.sleep(seconds * 1000);
    }
  }
}

async function place(github: GitHub, { workflow_run: run }: Event, number: number, text: string): Promise<string> {
  const { state, head } = await github.pullRequest(number);
  // The number comes from the pull request's own code: it must lead to where GitHub says that the run came from, or anybody could write anywhere.
  if (head.repo?.full_name !== run.head_repository?.full_name || head.ref !== run.head_branch) {
    throw new Refusal({
      what: `pull request ${number} is not the one of this run`,
      why: "the run is of another branch: the artifact names a pull request that it does not belong to",
      next: "look at what the pull request of the run changes in .github/workflows",
    });
  }
  if (head.sha !== run.head_sha) return `pull request ${number} has gone on: the run of its newest commit will write`;
  if (state !== "open") return `pull request ${number} is ${state}: nothing is written`;
  const [first, ...others] = (await github.comments(number)).filter(isOurs);
  if (!first) {
    await github.create(number, text);
    return `pull request ${number}: commented`;
  }
  await github.edit(first.id, text);
  for (const { id } of others) await github.remove(id);
  return `pull request ${number}: comment ${first.id} edited${others.length > 0 ? `, ${others.length} more removed` : ""}`;
}

function isOurs({ user, body: text }: Comment): boolean {
  return user?.login === author.login && user.type === author.type && text?.startsWith(marker) === true;
}

function readEvent(path: string): Event {
  const { success, data } = eventSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
  const why = !success
    ? "GITHUB_EVENT_PATH is not the event of a workflow that ran"
    : data.workflow_run.event !== "pull_request"
      ? `the run was for ${data.workflow_run.event}, not for a pull request`
      : data.workflow_run.head_repository === null || data.workflow_run.head_branch === null
        ? "the repository or branch of the run is gone"
        : undefined;
  if (success && why === undefined) return data;
  throw new Refusal({ what: "there is no pull request to comment on", why: why ?? "", next: "nothing" });
}

function readNumber(folder: string): number {
  const text = read(folder, "number", numberBytes)?.trim();
  if (text !== undefined && /^[1-9][0-9]{0,9}$/.test(text)) return Number(text);
  throw new Refusal({
    what: "the artifact names no pull request",
    why: text === undefined ? "it has no file `number`" : "its file `number` holds something else",
    next: "look at the run of the workflow diff",
  });
}

/** A file of the artifact as text; undefined where there is none. Links are not followed, and no more is read than is bearable. */
function read(folder: string, name: string, bytes: number): string | undefined {
  const refuse = (why: string): never => {
    throw new Refusal({
      what: `${name} of the artifact is not read`,
      why,
      next: "look at the run of the workflow diff",
    });
  };
  let file: number;
  try {
    // Without waiting: a pipe would have no end.
    file = openSync(join(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    return refuse(code === "ELOOP" ? "it is a link" : `it cannot be opened (${code})`);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return refuse("it is no file");
    if (stat.size > bytes) return refuse(`it has ${stat.size} bytes, more than ${bytes}`);
    const buffer = Buffer.alloc(stat.size);
    return buffer.subarray(0, readSync(file, buffer, 0, stat.size, 0)).toString("utf8");
  } finally {
    closeSync(file);
  }
}
