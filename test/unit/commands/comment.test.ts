import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../commands/comment";
import { body, harmless, limit, marker } from "../../../commands/comment/body";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { needs } from "../../support/needs";

const token = "made-up-token";
const bot = { login: "github-actions[bot]", type: "Bot" };
const commit = "c0ffee".repeat(6) + "c0ff";
const run = "https://github.example/owner/home/actions/runs/7";

interface Comment {
  readonly id: number;
  body: string;
  readonly user: { readonly login: string; readonly type: string } | null;
}

interface Asked {
  readonly method: string;
  readonly path: string;
}

/** What a request meets before GitHub looks at it; undefined lets it pass. `after` answers so although it was carried out. */
type Fault = (asked: Asked, count: number) => Answer | undefined;
interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string;
  readonly after?: boolean;
  /** The connection ends without an answer. */
  readonly breaks?: boolean;
}

/** As much of GitHub as the comment needs, on loopback. Only what it may ask is answered. */
class PretendGitHub {
  readonly asked: Asked[] = [];
  readonly comments: Comment[] = [];
  readonly problems: string[] = [];
  fault: Fault = () => undefined;
  pulls: Record<number, unknown> = {
    5: { state: "open", head: { sha: commit, ref: "a-branch", repo: { full_name: "somebody/home" } } },
  };
  private next = 100;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<PretendGitHub> {
    const server = createServer();
    const github = new PretendGitHub(server);
    server.on("request", (request, response) => void github.take(request, response));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return github;
  }

  get url(): string {
    const address = this.server.address();
    assert.ok(typeof address === "object" && address !== null);
    return `http://127.0.0.1:${address.port}`;
  }

  add(text: string, user: Comment["user"] = bot): number {
    const id = this.next++;
    this.comments.push({ id, body: text, user });
    return id;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    assert.deepEqual(this.problems, []);
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
    if (request.headers.authorization !== `Bearer ${token}`) this.problems.push(`${request.url}: without the token`);
    const asked = { method: request.method ?? "", path: request.url ?? "" };
    this.asked.push(asked);
    const fault = this.fault(asked, this.asked.length);
    if (fault === undefined || fault.after === true) {
      const [status, answer] = this.answer(asked, text);
      if (fault === undefined) {
        response.writeHead(status, { "content-type": "application/json" });
        return void response.end(status === 204 ? "" : JSON.stringify(answer));
      }
    }
    if (fault.breaks === true) return void request.socket.destroy();
    response.writeHead(fault.status, { ...fault.headers });
    response.end(fault.text ?? JSON.stringify({ message: "made up" }));
  }

  private answer({ method, path }: Asked, text: string): [number, unknown] {
    const url = new URL(path, "http://github");
    const [, pull] = /^\/repos\/owner\/home\/pulls\/(\d+)$/.exec(url.pathname) ?? [];
    if (method === "GET" && pull !== undefined) {
      const found = this.pulls[Number(pull)];
      return found === undefined ? [404, { message: "Not Found" }] : [200, found];
    }
    const [, issue] = /^\/repos\/owner\/home\/issues\/(\d+)\/comments$/.exec(url.pathname) ?? [];
    if (method === "GET" && issue === "5") {
      const size = Number(url.searchParams.get("per_page"));
      const page = Number(url.searchParams.get("page"));
      return [200, this.comments.slice(size * (page - 1), size * page)];
    }
    if (method === "POST" && issue === "5") {
      const id = this.add(this.read(text));
      return [201, { id }];
    }
    const [, comment] = /^\/repos\/owner\/home\/issues\/comments\/(\d+)$/.exec(url.pathname) ?? [];
    const index = this.comments.findIndex(({ id }) => id === Number(comment));
    const found = this.comments[index];
    if (comment !== undefined && !found) return [404, { message: "Not Found" }];
    if (method === "PATCH" && found) {
      found.body = this.read(text);
      return [200, found];
    }
    if (method === "DELETE" && found) {
      this.comments.splice(index, 1);
      return [204, undefined];
    }
    this.problems.push(`${method} ${path}`);
    return [500, { message: "the pretend GitHub has no such thing" }];
  }

  private read(text: string): string {
    const { body: written } = JSON.parse(text) as { body: string };
    if (written.length > 65_536) this.problems.push(`a body of ${written.length} characters`);
    return written;
  }
}

describe("comment: one comment a pull request (a pretend GitHub on loopback: does not prove what GitHub answers)", () => {
  let github: PretendGitHub;
  let folder: string;
  let clock: VirtualClock;

  beforeEach(async () => {
    github = await PretendGitHub.start();
    folder = mkdtempSync(join(tmpdir(), "comment-"));
    clock = new VirtualClock(1_000_000_000_000);
    artifact("number", "5\n");
    artifact("comment.md", "### What this would do\n\nnothing\n");
  });

  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await github.stop();
  });

  const artifact = (name: string, text: string): void => writeFileSync(join(folder, name), text);

  async function comment(change: Record<string, unknown> = {}): Promise<{ code: number; out: string; error: string }> {
    const event = join(folder, "event.json");
    const workflow_run = {
      event: "pull_request",
      html_url: run,
      head_sha: commit,
      head_branch: "a-branch",
      head_repository: { full_name: "somebody/home" },
      ...change,
    };
    writeFileSync(event, JSON.stringify({ repository: { full_name: "owner/home" }, workflow_run }));
    const said: { out: string[]; error: string[] } = { out: [], error: [] };
    const where = {
      folder,
      from: [],
      out: (line: string) => void said.out.push(line),
      error: (line: string) => void said.error.push(line),
    };
    const env = { GITHUB_EVENT_PATH: event, GITHUB_API_URL: github.url, GITHUB_TOKEN: token };
    const code = await main([folder], where, { env, clock });
    const [out, error] = [said.out.join("\n"), said.error.join("\n")];
    assert.doesNotMatch(out + error, new RegExp(token));
    return { code, out, error };
  }

  const ours = (): Comment[] =>
    github.comments.filter(({ body: text, user }) => text.startsWith(marker) && user === bot);
  const writes = (): string[] =>
    github.asked
      .filter(({ method }) => method !== "GET")
      .map(({ method, path }) => `${method} ${path.split("/home/")[1]}`);

  it("makes it where there is none, with what was written, the commit and the run", async () => {
    assert.deepEqual(await comment(), { code: 0, out: "pull request 5: commented", error: "" });
    const [made, ...more] = github.comments;
    assert.equal(more.length, 0);
    assert.ok(made);
    assert.ok(made.body.startsWith(`${marker}\n### What this would do\n\nnothing\n`), made.body);
    assert.match(made.body, /Commit c0ffeec0ffee, \[run\]\(https:\/\/github\.example\/owner\/home\/actions\/runs\/7\)/);
  });

  it("edits it in place afterwards, however often, and on whichever page it is", async () => {
    for (let i = 0; i < 150; i++) github.add(`of somebody, ${i}`, { login: "somebody", type: "User" });
    const id = github.add(`${marker}\nold`);
    for (let i = 0; i < 150; i++) github.add(`of somebody, later, ${i}`, { login: "somebody", type: "User" });
    for (const text of ["one", "two"]) {
      artifact("comment.md", text);
      const { code, out } = await comment();
      assert.deepEqual([code, out], [0, `pull request 5: comment ${id} edited`]);
      assert.deepEqual([ours().length, ours()[0]?.id, ours()[0]?.body.split("\n")[1]], [1, id, text]);
    }
    assert.deepEqual(writes(), [`PATCH issues/comments/${id}`, `PATCH issues/comments/${id}`]);
  });

  it("takes for its own neither another's comment with the marker, nor one of its account without it at the beginning", async () => {
    const others = [
      github.add(`${marker}\nforged`, { login: "somebody", type: "User" }),
      github.add(`${marker}\nforged`, { login: "github-actions[bot]", type: "User" }),
      github.add(`${marker}\nof nobody any more`, null),
      github.add("another workflow's"),
      github.add(`another workflow's, which quotes:\n${marker}`),
    ];
    assert.equal((await comment()).code, 0);
    assert.deepEqual(writes(), ["POST issues/5/comments"]);
    assert.deepEqual(
      github.comments.slice(0, -1).map(({ id }) => id),
      others,
    );
  });

  it("leaves one where there are several: the oldest is edited, the others go", async () => {
    const [first, second, third] = [github.add(`${marker}\n1`), github.add(`${marker}\n2`), github.add(`${marker}\n3`)];
    const { out } = await comment();
    assert.equal(out, `pull request 5: comment ${first} edited, 2 more removed`);
    assert.deepEqual(writes(), [
      `PATCH issues/comments/${first}`,
      `DELETE issues/comments/${second}`,
      `DELETE issues/comments/${third}`,
    ]);
    assert.equal(github.comments.length, 1);
  });

  describe("an answer that is lost or late", () => {
    const passing: Record<string, Answer> = {
      "a connection that breaks": { status: 0, breaks: true },
      "a connection that breaks after it was carried out": { status: 0, breaks: true, after: true },
      "a 502": { status: 502, text: "<html>Bad Gateway</html>" },
      "a 502 after it was carried out": { status: 502, after: true },
      "an answer that is no JSON": { status: 200, text: "<html>", after: true },
      "an answer of another form": { status: 200, text: '{"message": "be right back"}', after: true },
    };
    for (const [title, answer] of Object.entries(passing)) {
      for (const method of ["GET", "POST"]) {
        it(`${title}, to a ${method}: it is tried again, and there is one comment`, async () => {
          // What a success to a POST says is not needed, so only what is no JSON is noticed there.
          let faults = 0;
          github.fault = (asked) => (asked.method === method && faults++ === 0 ? answer : undefined);
          const { code } = await comment();
          assert.deepEqual([code, ours().length, github.comments.length], [0, 1, 1]);
          assert.ok(faults >= 1);
        });
      }
    }

    it("finds the comment gone between its look and its edit, and makes one", async () => {
      github.add(`${marker}\nold`);
      github.fault = ({ method }) => {
        if (method === "PATCH") github.comments.splice(0);
        return undefined;
      };
      assert.deepEqual([(await comment()).code, ours().length], [0, 1]);
    });

    it("does not mind that one of several is gone when it is to be removed", async () => {
      github.add(`${marker}\n1`);
      github.add(`${marker}\n2`);
      github.fault = ({ method }) => {
        if (method === "DELETE") github.comments.splice(1);
        return undefined;
      };
      assert.deepEqual([(await comment()).code, ours().length], [0, 1]);
    });

    it("gives up on what stays broken, having written nothing", async () => {
      github.fault = ({ method }) => (method === "POST" ? { status: 503 } : undefined);
      const { code, error } = await comment();
      assert.equal(code, 1);
      assert.match(
        error,
        /^the comment was not written\n {2}why: {2}POST issues\/5\/comments: 503 made up \(attempt 8/m,
      );
      assert.deepEqual([github.comments.length, writes().length], [0, 8]);
    });
  });

  describe("a limit", () => {
    const limits: Record<string, { readonly answer: Answer; readonly seconds: number }> = {
      "429 with its time": { answer: { status: 429, headers: { "retry-after": "37" } }, seconds: 37 },
      "429 without": { answer: { status: 429 }, seconds: 60 },
      "403 of the second kind": { answer: { status: 403, headers: { "retry-after": "90" } }, seconds: 90 },
      "403 of the first kind, by its end": {
        answer: {
          status: 403,
          headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(1_000_000_000 + 120) },
        },
        seconds: 121,
      },
    };
    for (const [title, { answer, seconds }] of Object.entries(limits)) {
      it(`is waited for: ${title}`, async () => {
        github.fault = (_, count) => (count === 2 ? answer : undefined);
        const { code, error } = await comment();
        assert.deepEqual([code, ours().length, clock.now() - 1_000_000_000_000], [0, 1, seconds * 1000]);
        assert.match(error, new RegExp(`again in ${seconds} s$`));
      });
    }

    it("is not waited for when it is too far away", async () => {
      github.fault = () => ({ status: 429, headers: { "retry-after": "3000" } });
      const { code, error } = await comment();
      assert.deepEqual([code, github.asked.length, clock.now()], [1, 1, 1_000_000_000_000]);
      assert.match(error, /it would take 3000 s more/);
    });
  });

  it("says what GitHub refuses, once, and what right is missing", async () => {
    github.fault = ({ method }) =>
      method === "POST" ? { status: 403, text: '{"message": "Resource not accessible by integration"}' } : undefined;
    const { code, error } = await comment();
    assert.deepEqual([code, writes()], [1, ["POST issues/5/comments"]]);
    assert.match(error, /403 Resource not accessible by integration\n {2}next: give the job `pull-requests: write`/);
    github.fault = ({ method }) => (method === "POST" ? { status: 422 } : undefined);
    assert.match((await comment()).error, /422 made up\n {2}next: read what GitHub says/);
  });

  it("follows no redirect with its token", async () => {
    github.fault = () => ({ status: 307, headers: { location: `${github.url}/elsewhere` } });
    const { code } = await comment();
    assert.deepEqual([code, github.asked.map(({ path }) => path)], [1, ["/repos/owner/home/pulls/5"]]);
  });

  describe("a number that is not the run's pull request", () => {
    const head = { sha: commit, ref: "a-branch", repo: { full_name: "somebody/home" } };
    const wrong: Record<string, unknown> = {
      "of another fork": { ...head, repo: { full_name: "victim/home" } },
      "of a branch of this repository": { ...head, repo: { full_name: "owner/home" } },
      "of another branch of the fork": { ...head, ref: "another" },
      "of a fork that is gone": { ...head, repo: null },
    };
    for (const [title, other] of Object.entries(wrong)) {
      it(`is refused: ${title}`, async () => {
        github.pulls = { 5: { state: "open", head: other } };
        const { code, error } = await comment();
        assert.deepEqual([code, writes()], [1, []]);
        assert.match(error, /^pull request 5 is not the one of this run$/m);
      });
    }

    it("is refused: one that does not exist", async () => {
      artifact("number", "6\n");
      const { code, error } = await comment();
      assert.deepEqual([code, writes()], [1, []]);
      assert.match(error, /GET pulls\/6: 404 Not Found/);
    });

    for (const text of ["", "0", "5 6", "5/../6", "-5", "5e1", "١", "99999999999", "5".repeat(17)]) {
      it(`is refused: ${JSON.stringify(text)}`, async () => {
        artifact("number", text);
        assert.equal((await comment()).code, 1);
        assert.deepEqual(github.asked, []);
      });
    }
  });

  it("writes nothing for a commit that is no longer the newest, nor into a closed pull request", async () => {
    github.pulls = {
      5: { state: "open", head: { sha: "0".repeat(40), ref: "a-branch", repo: { full_name: "somebody/home" } } },
    };
    assert.match((await comment()).out, /has gone on/);
    github.pulls = {
      5: { state: "closed", head: { sha: commit, ref: "a-branch", repo: { full_name: "somebody/home" } } },
    };
    assert.deepEqual(await comment(), { code: 0, out: "pull request 5 is closed: nothing is written", error: "" });
    assert.deepEqual(writes(), []);
  });

  it("refuses a run that was for something else, or whose fork is gone", async () => {
    for (const change of [{ event: "push" }, { head_repository: null }, { head_branch: null }, { head_sha: "HEAD" }]) {
      const { code, error } = await comment(change);
      assert.deepEqual([code, github.asked], [1, []]);
      assert.match(error, /^there is no pull request to comment on$/m);
    }
  });

  it("does not let an older result stand for a commit that has none", async () => {
    github.add(`${marker}\nnothing would happen`);
    rmSync(join(folder, "comment.md"));
    assert.equal((await comment()).code, 0);
    assert.match(ours()[0]?.body ?? "", /\*\*The diff of this commit came to no result\*\*/);
  });

  describe("the artifact's files", () => {
    it("are no links", async () => {
      writeFileSync(join(folder, "elsewhere"), "a file of the runner");
      rmSync(join(folder, "comment.md"));
      symlinkSync(join(folder, "elsewhere"), join(folder, "comment.md"));
      const { code, error } = await comment();
      assert.deepEqual([code, github.asked], [1, []]);
      assert.match(error, /it is a link/);
    });

    it("are no pipe, which would never end", async function () {
      needs(this, "mkfifo");
      rmSync(join(folder, "comment.md"));
      assert.equal(spawnSync("mkfifo", [join(folder, "comment.md")]).status, 0);
      assert.match((await comment()).error, /it is no file/);
    });

    it("are not read beyond what a report can have", async () => {
      artifact("comment.md", "x".repeat(256 * 1024 + 1));
      const { code, error } = await comment();
      assert.deepEqual([code, github.asked], [1, []]);
      assert.match(error, /it has 262145 bytes, more than 262144/);
    });
  });

  it("is cut at a line when it is too long for a comment, says so, and closes what it left open", async () => {
    const line = "a line of the report\n";
    artifact(
      "comment.md",
      `the summary\n<details><summary>a stack</summary>\n\n\`\`\`diff\n${line.repeat(5000)}\`\`\`\n</details>\n`,
    );
    assert.equal((await comment()).code, 0);
    const text = ours()[0]?.body ?? "";
    assert.ok(text.length <= limit && text.length > limit - 1000, `${text.length}`);
    assert.match(text, /^the summary$/m);
    assert.match(text, /a line of the report\n```\n<\/details>\n\n\*\*Cut here: the whole has \d+ characters/);
    assert.match(text, /Commit c0ffeec0ffee/);
  });

  it("says how it is used when something is missing", async () => {
    const said: string[] = [];
    const where = { folder, from: [], out: () => undefined, error: (line: string) => void said.push(line) };
    const env = { GITHUB_EVENT_PATH: "/nowhere", GITHUB_API_URL: github.url, GITHUB_TOKEN: token };
    assert.equal(await main([], where, { env, clock }), 2);
    assert.equal(await main([folder, "more"], where, { env, clock }), 2);
    for (const name of Object.keys(env)) {
      assert.equal(await main([folder], where, { env: { ...env, [name]: undefined }, clock }), 2);
    }
    assert.equal(said.length, 5);
    assert.match(said[0] ?? "", /^usage: /);
  });
});

describe("comment: what a stranger's report can do in it", () => {
  it("mentions nobody, and turns or hides no text", () => {
    assert.equal(
      harmless("@somebody and `@owner/team`, a@b, @ alone"),
      "@\u2060somebody and `@\u2060owner/team`, a@\u2060b, @ alone",
    );
    assert.equal(harmless("a\u202Eb\u0000c\u001B[2Jd\r\ne\tf\u200b"), "abc[2Jd\ne\tf");
  });

  it("an end of its own does not replace ours", () => {
    const text = body("---\n<sub>Commit 000000000000, all is well</sub>", { commit, run });
    assert.equal(text.split("\n").at(-2)?.startsWith("<sub>Commit c0ffeec0ffee, "), true);
  });
});
