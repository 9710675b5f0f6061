import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as prettier from "prettier";
import { MockAgent } from "undici";
import { main } from "../../../commands/pin";
import { registryUrl, split } from "../../../commands/pin/registry";
import { readLeaves, withValues } from "../../../commands/pin/source";
import { ask } from "../../../commands/pin/web";
import { root } from "../../support/environment";

/** Made up, and recognisable as such: nothing here may be taken for a looked-up digest. */
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const sha512 = (letter: string): string => letter.repeat(128);

const committed = readFileSync(join(root, "versions.ts"), "utf8");

const twoImages = `// A comment that stays.
export const unresolved = "unresolved";
export const versions = {
  charts: { longhorn: { repository: "https://charts.example.org", chart: "longhorn", version: "1.2.3" } },
  images: {
    /** Why this one. */
    copy: { repository: "docker.io/some/copy", tag: "1.0", digest: unresolved }, // trailing
    verify: {
      repository: "registry.example.org/python",
      tag: "3",
      digest: "${digest("9")}",
    },
  },
  debian: {   release: "trixie", version: "13", build: unresolved, sha512: unresolved } satisfies object,
};
export const after = unresolved;
`;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A registry and Debian's archive on loopback. Answers are by method and path; everything asked is kept. */
class Web {
  readonly asked: string[] = [];
  readonly answers = new Map<string, Answer>();
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Web> {
    const server = createServer();
    const web = new Web(server);
    server.on("request", (request, response) => {
      const path = `${request.method} ${request.url?.split("?")[0]}`;
      web.asked.push(`${request.method} ${request.url}`);
      const answer = web.answers.get(path);
      if (answer) answer(request, response);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return web;
  }

  get url(): string {
    const address = this.server.address();
    assert.ok(typeof address === "object" && address);
    return `http://127.0.0.1:${address.port}`;
  }

  on(path: string, answer: Answer): this {
    this.answers.set(path, answer);
    return this;
  }

  text(path: string, body: string): this {
    return this.on(path, (_request, response) => response.end(body));
  }

  status(path: string, status: number, headers: Record<string, string> = {}): this {
    return this.on(path, (_request, response) => response.writeHead(status, headers).end());
  }

  /** An image whose tag stands for `value`, for whoever brings the token of the challenge. */
  image(name: string, tag: string, value: string): this {
    const token = `token-for-${name}`;
    return this.on(`HEAD /v2/${name}/manifests/${tag}`, (request, response) => {
      if (request.headers.authorization !== `Bearer ${token}`) {
        const challenge = `Bearer realm="${this.url}/token",service="registry.test",scope="repository:${name}:pull"`;
        response.writeHead(401, { "www-authenticate": challenge }).end();
      } else if (!request.headers.accept?.includes("application/vnd.oci.image.index.v1+json")) {
        response.writeHead(404).end();
      } else {
        response.writeHead(200, { "docker-content-digest": value }).end();
      }
    }).on("GET /token", (request, response) => {
      const query = new URL(request.url ?? "", this.url).searchParams;
      const scope = /^repository:(.*):pull$/.exec(query.get("scope") ?? "")?.[1];
      if (query.get("service") !== "registry.test" || scope === undefined) response.writeHead(400).end();
      else response.end(JSON.stringify({ token: `token-for-${scope}`, expires_in: 300 }));
    });
  }

  /** Debian's folder of a release, with these builds; each has its image unless said otherwise. */
  debian(builds: Record<string, { readonly sums?: string; readonly image?: boolean }>, release = "trixie"): this {
    const names = Object.keys(builds);
    this.text(
      `GET /debian/${release}/`,
      ["../", "daily/", "latest/", "OpenStack/", ...names.map((name) => `${name}/`)]
        .map((name) => `<tr><td><a href="${name}">${name}</a></td></tr>`)
        .join("\n"),
    );
    for (const [name, { sums, image }] of Object.entries(builds)) {
      const file = `debian-13-genericcloud-amd64-${name}.qcow2`;
      const other = file.replace("genericcloud", "generic");
      const others = [other, `${file}.xz`].map((entry) => `${sha512("a")}  ${entry}\n`).join("");
      const text = sums ?? `${others}${sha512(name.slice(7, 8))}  ${file}\n`;
      if (sums !== "none") this.text(`GET /debian/${release}/${name}/SHA512SUMS`, text);
      if (image !== false) this.status(`HEAD /debian/${release}/${name}/${file}`, 200);
    }
    return this;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe("npm run pin (against servers on loopback: does not prove what Docker Hub or Debian answer today)", () => {
  let web: Web;
  let folder: string;

  beforeEach(async () => {
    web = await Web.start();
    folder = mkdtempSync(join(tmpdir(), "pin-"));
  });

  afterEach(async () => {
    await web.stop();
    rmSync(folder, { recursive: true });
  });

  const file = (): string => readFileSync(join(folder, "versions.ts"), "utf8");

  /** Runs the command on a versions.ts, with every registry on the same server. */
  async function pin(
    source: string,
    ...args: string[]
  ): Promise<{ code: number; out: string; error: string; hosts: string[] }> {
    writeFileSync(join(folder, "versions.ts"), source);
    const lines: Record<"out" | "error", string[]> = { out: [], error: [] };
    const hosts: string[] = [];
    const code = await main(
      args,
      { folder, from: [], out: (line) => lines.out.push(line), error: (line) => lines.error.push(line) },
      {
        debian: `${web.url}/debian`,
        registry: (host) => {
          hosts.push(host);
          return web.url;
        },
      },
    );
    return { code, out: lines.out.join("\n"), error: lines.error.join("\n"), hosts };
  }

  describe("when everything answers", () => {
    beforeEach(() => {
      web.image("some/copy", "1.0", digest("c")).image("python", "3", digest("d"));
      web.debian({ "20260301-1000": {}, "20260502-2000": {}, "20260402-1500": {} });
    });

    it("puts what it looked up in the places of `unresolved` and changes no other character", async () => {
      const { code, error } = await pin(twoImages);
      assert.deepEqual([code, error], [0, ""]);
      assert.equal(
        file(),
        twoImages
          .replace("digest: unresolved", `digest: "${digest("c")}"`)
          .replace("build: unresolved", 'build: "20260502-2000"')
          .replace("sha512: unresolved", `sha512: "${sha512("2")}"`),
      );
    });

    it("leaves what is resolved alone, and asks nobody about it", async () => {
      const { hosts } = await pin(twoImages);
      assert.deepEqual(hosts, ["docker.io"]);
      assert.deepEqual(
        web.asked.filter((asked) => asked.includes("python")),
        [],
      );
    });

    it("with --all looks everything up again, the resolved too", async () => {
      const { code, hosts } = await pin(twoImages.replace("build: unresolved", 'build: "20260301-1000"'), "--all");
      assert.equal(code, 0);
      assert.deepEqual(hosts, ["docker.io", "registry.example.org"]);
      assert.equal(
        file(),
        twoImages
          .replace("digest: unresolved", `digest: "${digest("c")}"`)
          .replace(digest("9"), digest("d"))
          .replace("build: unresolved", 'build: "20260502-2000"')
          .replace("sha512: unresolved", `sha512: "${sha512("2")}"`),
      );
    });

    it("keeps a build that is pinned and looks up its checksum alone", async () => {
      await pin(twoImages.replace("build: unresolved", 'build: "20260402-1500"'));
      assert.match(file(), new RegExp(`build: "20260402-1500", sha512: "${sha512("2")}"`));
      assert.equal(web.asked.includes("GET /debian/trixie/"), false);
    });

    it("gets a token for exactly this image, without log-in, and asks for the index of all platforms by HEAD", async () => {
      await pin(twoImages);
      assert.deepEqual(web.asked.slice(0, 3), [
        "HEAD /v2/some/copy/manifests/1.0",
        "GET /token?service=registry.test&scope=repository%3Asome%2Fcopy%3Apull",
        "HEAD /v2/some/copy/manifests/1.0",
      ]);
    });

    it("prints a table of what was and what is", async () => {
      const { out } = await pin(twoImages, "--all");
      for (const cell of [
        "images.copy.digest",
        "unresolved",
        "sha256:ccccccccccccccccccc…cccccc",
        "images.verify.digest",
        "sha256:9999999999999999999…999999",
        "debian.build",
        "20260502-2000",
        "debian.sha512",
      ]) {
        assert.ok(out.includes(cell), `${cell} in\n${out}`);
      }
    });

    it("says of a value that stayed what it was that it is the same", async () => {
      const { out, code } = await pin(twoImages.replace(digest("9"), digest("d")), "--all");
      assert.equal(code, 0);
      assert.match(out, /images\.verify\.digest.*the same/);
    });

    it("asks nobody and writes nothing when everything is resolved", async () => {
      await pin(twoImages);
      const resolved = file();
      web.asked.length = 0;
      const { code, out } = await pin(resolved);
      assert.deepEqual([code, web.asked, file()], [0, [], resolved]);
      assert.match(out, /everything is resolved/);
    });

    it("leaves one file behind, with the mode that it had", async () => {
      writeFileSync(join(folder, "versions.ts"), "", { mode: 0o640 });
      await pin(twoImages);
      assert.deepEqual(readdirSync(folder), ["versions.ts"]);
      assert.equal(statSync(join(folder, "versions.ts")).mode & 0o777, 0o640);
    });

    it("resolves the committed versions.ts whole, and the result is formatted as the checks want it", async () => {
      for (const [, repository, tag] of committed.matchAll(/repository: "docker\.io\/([^"]+)",\s+tag: "([^"]+)"/g)) {
        web.image(repository ?? "", tag ?? "", digest("e"));
      }
      assert.equal((await pin(committed)).code, 0);
      assert.deepEqual(
        readLeaves(file()).filter(({ value }) => value === "unresolved"),
        [],
      );
      const config = await prettier.resolveConfig(join(root, "versions.ts"));
      assert.equal(await prettier.check(file(), { ...config, filepath: "versions.ts" }), true);
    });
  });

  describe("--check", () => {
    it("lists what is unresolved, one a line, exit 1, and asks and changes nothing", async () => {
      const { code, out } = await pin(twoImages, "--check");
      assert.equal(code, 1);
      assert.equal(
        out,
        "images.copy.digest: unresolved\ndebian.build: unresolved\ndebian.sha512: unresolved\nnpm run pin resolves them",
      );
      assert.deepEqual([web.asked, file()], [[], twoImages]);
    });

    it("is content when nothing is, exit 0", async () => {
      const { code, out } = await pin(twoImages.replaceAll(/(digest|build|sha512): unresolved/g, '$1: "x"'), "--check");
      assert.deepEqual([code, out], [0, "versions.ts: everything is resolved"]);
    });
  });

  for (const args of [["--al"], ["copy"], ["--all", "--check"]]) {
    it(`refuses ${args.join(" ")} with its usage, exit 2, and touches nothing`, async () => {
      const { code, error } = await pin(twoImages, ...args);
      assert.equal(code, 2);
      assert.match(error, /^usage: npm run pin/);
      assert.deepEqual([web.asked, file()], [[], twoImages]);
    });
  }

  describe("an image that cannot be resolved", () => {
    const manifest = "HEAD /v2/some/copy/manifests/1.0";
    const challenge = (text: string): Record<string, string> => ({ "www-authenticate": text });
    const cases: Record<string, { readonly web: (web: Web) => unknown; readonly why: RegExp; readonly next: RegExp }> =
      {
        "whose tag is not there": {
          web: (given) => given.image("some/copy", "2.0", digest("c")),
          why: /manifests\/1\.0: 404, the registry has no such tag/,
          next: /mend images\.copy in versions\.ts, then npm run pin/,
        },
        "that stays 401 with a token": {
          web: (given) =>
            given
              .status(manifest, 401, challenge(`Bearer realm="${given.url}/token"`))
              .text("GET /token", '{"token":"t"}'),
          why: /401, no such public image/,
          next: /mend images\.copy/,
        },
        "that is 401 without a challenge": {
          web: (given) => given.status(manifest, 401),
          why: /401, no such public image/,
          next: /mend images\.copy/,
        },
        "that is 403": { web: (given) => given.status(manifest, 403), why: /403, no such public image/, next: /mend/ },
        "whose registry wants a password": {
          web: (given) => given.status(manifest, 401, challenge('Basic realm="private"')),
          why: /a log-in that is no bearer token: Basic realm="private"/,
          next: /mend images\.copy/,
        },
        "whose challenge names no place for tokens": {
          web: (given) => given.status(manifest, 401, challenge('Bearer realm="not a url"')),
          why: /no bearer token/,
          next: /mend/,
        },
        "whose token is refused": {
          web: (given) =>
            given.status(manifest, 401, challenge(`Bearer realm="${given.url}/token"`)).status("GET /token", 403),
          why: /token\?scope=repository%3Asome%2Fcopy%3Apull: 403, the registry gives no anonymous token/,
          next: /mend/,
        },
        "whose token answer holds none": {
          web: (given) =>
            given.status(manifest, 401, challenge(`Bearer realm="${given.url}/token"`)).text("GET /token", '{"x":1}'),
          why: /the answer holds no token/,
          next: /npm run pin, later/,
        },
        "whose token answer is no JSON": {
          web: (given) =>
            given.status(manifest, 401, challenge(`Bearer realm="${given.url}/token"`)).text("GET /token", "<html>"),
          why: /the answer holds no token/,
          next: /npm run pin, later/,
        },
        "asked for too often": {
          web: (given) => given.status(manifest, 429, { "retry-after": "3600" }),
          why: /429, too many requests from this address; it asks to wait 3600 s/,
          next: /npm run pin, later/,
        },
        "asked for too often, no time named": {
          web: (given) => given.status(manifest, 429),
          why: /429, too many requests from this address$/m,
          next: /npm run pin, later/,
        },
        "whose registry is broken": {
          web: (given) => given.status(manifest, 503),
          why: /503 Service Unavailable/,
          next: /npm run pin, later/,
        },
        "whose registry hangs up": {
          web: (given) => given.on(manifest, (request) => request.socket.destroy()),
          why: /manifests\/1\.0: fetch failed: /,
          next: /npm run pin, once it can be reached/,
        },
        "whose digest is too short": {
          web: (given) => given.status(manifest, 200, { "docker-content-digest": digest("c").slice(0, -1) }),
          why: /docker-content-digest is "sha256:c{63}", which is no sha256 digest/,
          next: /mend/,
        },
        "whose digest is of another kind": {
          web: (given) => given.status(manifest, 200, { "docker-content-digest": `sha1:${"c".repeat(40)}` }),
          why: /no sha256 digest/,
          next: /mend/,
        },
        "without a digest": { web: (given) => given.status(manifest, 200), why: /digest is ""/, next: /mend/ },
      };
    for (const [title, { web: prepare, why, next }] of Object.entries(cases)) {
      it(`${title}: says what, why and the next command, exit 1, invents nothing, and still writes what it could look up`, async () => {
        prepare(web.debian({ "20260301-1000": {} }));
        const { code, error } = await pin(twoImages);
        assert.equal(code, 1);
        assert.match(error, /^images\.copy\.digest: docker\.io\/some\/copy:1\.0 not resolved$/m);
        assert.match(error, why);
        assert.match(error, new RegExp(`next: ${next.source}`));
        assert.match(file(), /tag: "1\.0", digest: unresolved/);
        assert.match(file(), /build: "20260301-1000"/);
      });
    }

    it("takes an access_token where the registry calls it so, and the image's own scope where the challenge names none", async () => {
      web
        .on(manifest, (request, response) => {
          if (request.headers.authorization === "Bearer t") {
            response.writeHead(200, { "docker-content-digest": digest("c") }).end();
          } else response.writeHead(401, challenge(`Bearer realm="${web.url}/token"`)).end();
        })
        .text("GET /token", '{"access_token":"t"}')
        .debian({ "20260301-1000": {} });
      assert.equal((await pin(twoImages)).code, 0);
    });

    it("asks for the token of the scope that the registry names", async () => {
      const named = challenge(`Bearer realm="${web.url}/token",scope="repository:mirror/some/copy:pull"`);
      web.status(manifest, 401, named).text("GET /token", '{"token":"t"}');
      await pin(twoImages);
      assert.ok(web.asked.includes("GET /token?scope=repository%3Amirror%2Fsome%2Fcopy%3Apull"), web.asked.join("\n"));
    });

    it("needs no token where the registry asks for none", async () => {
      web.status(manifest, 200, { "docker-content-digest": digest("c") }).debian({ "20260301-1000": {} });
      assert.equal((await pin(twoImages)).code, 0);
      assert.equal(web.asked.filter((asked) => asked.includes("token")).length, 0);
    });
  });

  describe("Debian's build", () => {
    const published = (builds: Parameters<Web["debian"]>[0]): Web =>
      web.image("some/copy", "1.0", digest("c")).debian(builds);

    it("is the newest dated one, whatever order the listing has, and never daily or latest", async () => {
      published({ "20260502-2000": {}, "20251231-0000": {}, "20260502-1959": {} });
      await pin(twoImages);
      assert.match(file(), /build: "20260502-2000"/);
    });

    for (const [title, newest] of Object.entries({
      "whose SHA512SUMS is not there yet": { sums: "none" },
      "whose SHA512SUMS does not name the image": {
        sums: `${sha512("a")}  debian-13-generic-amd64-20260502-2000.qcow2\n`,
      },
      "whose image is not there": { image: false },
    })) {
      it(`is the one before a build ${title}`, async () => {
        published({ "20260402-1500": {}, "20260502-2000": newest });
        assert.equal((await pin(twoImages)).code, 0);
        assert.match(file(), /build: "20260402-1500"/);
      });
    }

    const cases: Record<string, { readonly web: (web: Web) => unknown; readonly why: RegExp }> = {
      "when no build has it: lists what each lacks": {
        web: (given) =>
          given.debian({
            "20260301-1000": { sums: "none" },
            "20260402-1500": { sums: "\n" },
            "20260502-2000": { image: false },
          }),
        why: new RegExp(
          "no build has the image: 20260502-2000: no debian-13-genericcloud-amd64-20260502-2000.qcow2; " +
            "20260402-1500: its SHA512SUMS does not name debian-13-genericcloud-amd64-20260402-1500.qcow2; 20260301-1000: no SHA512SUMS",
        ),
      },
      "when the release has no dated build": {
        web: (given) => given.debian({}),
        why: /trixie\/: holds no dated build/,
      },
      "when there is no such release": { web: () => undefined, why: /trixie\/: 404/ },
      "when the listing cannot be had": {
        web: (given) => given.status("GET /debian/trixie/", 502),
        why: /502 Bad Gateway/,
      },
      "when the checksums cannot be had": {
        web: (given) =>
          given.debian({ "20260301-1000": {} }).status("GET /debian/trixie/20260301-1000/SHA512SUMS", 500),
        why: /SHA512SUMS: 500/,
      },
      "when the image cannot be asked for": {
        web: (given) =>
          given
            .debian({ "20260301-1000": {} })
            .status("HEAD /debian/trixie/20260301-1000/debian-13-genericcloud-amd64-20260301-1000.qcow2", 403),
        why: /qcow2: 403/,
      },
      "when the checksum is malformed": {
        web: (given) =>
          given.debian({
            "20260301-1000": { sums: `${"a".repeat(127)}  debian-13-genericcloud-amd64-20260301-1000.qcow2\n` },
          }),
        why: /"a{127}" before debian-13-genericcloud-amd64-20260301-1000\.qcow2 is no SHA-512 checksum/,
      },
    };
    for (const [title, { web: prepare, why }] of Object.entries(cases)) {
      it(`is refused ${title}; neither build nor checksum is written, the image's digest is`, async () => {
        prepare(web.image("some/copy", "1.0", digest("c")));
        const { code, error } = await pin(twoImages);
        assert.equal(code, 1);
        assert.match(error, /^debian: Debian 13 \(trixie\) not resolved$/m);
        assert.match(error, why);
        assert.match(error, /next: mend debian in versions\.ts, then npm run pin/);
        assert.match(file(), /build: unresolved, sha512: unresolved/);
        assert.match(file(), new RegExp(digest("c")));
      });
    }

    it("is not written without its checksum even when the build was pinned and its checksum is gone", async () => {
      published({ "20260301-1000": { sums: "none" }, "20260502-2000": {} });
      const source = twoImages.replace("build: unresolved", 'build: "20260301-1000"');
      assert.equal((await pin(source)).code, 1);
      assert.match(file(), /build: "20260301-1000", sha512: unresolved/);
    });
  });

  it("writes nothing at all when nothing could be looked up", async () => {
    const { code, out } = await pin(twoImages);
    assert.deepEqual([code, out, file()], [1, "", twoImages]);
  });

  it("says so when versions.ts has something unresolved that it cannot look up", async () => {
    const source = twoImages.replace('version: "1.2.3"', "version: unresolved");
    await assert.rejects(
      pin(source),
      /charts\.longhorn\.version is unresolved, and commands\/pin\.ts does not know where/,
    );
    assert.deepEqual([web.asked, file()], [[], source]);
  });
});

describe("a request of npm run pin (undici's own mock: a real TLS server is not asked)", () => {
  const purpose = { what: "it", next: "mend it" };

  /** An https address that leads to `location`, where everything is well. */
  function leadingTo(location: string): MockAgent {
    const agent = new MockAgent();
    agent.disableNetConnect();
    agent.get("https://one.example.org").intercept({ path: "/" }).reply(302, "", { headers: { location } });
    const { origin } = new URL(location);
    agent.get(origin).intercept({ path: "/x" }).reply(200, "there");
    return agent;
  }

  it("follows a redirect to another https address", async () => {
    const dispatcher = leadingTo("https://two.example.org/x");
    const response = await ask("https://one.example.org/", purpose, { dispatcher });
    assert.equal(await response.text(), "there");
  });

  it("takes nothing from where an https address leads to without encryption", async () => {
    const dispatcher = leadingTo("http://two.example.org/x");
    await assert.rejects(
      ask("https://one.example.org/", purpose, { dispatcher }),
      /it\n {2}why: {2}https:\/\/one\.example\.org\/ leads to http:\/\/two\.example\.org\/x, which is not encrypted.*\n {2}next: mend it/,
    );
  });
});

describe("the names of registries and images", () => {
  it("Docker Hub answers under another name than its images carry", () => {
    assert.equal(registryUrl("docker.io"), "https://registry-1.docker.io");
    assert.equal(registryUrl("ghcr.io"), "https://ghcr.io");
  });

  for (const [repository, host, name] of [
    ["docker.io/some/copy", "docker.io", "some/copy"],
    ["docker.io/python", "docker.io", "library/python"],
    ["docker.io/library/python", "docker.io", "library/python"],
    ["python", "docker.io", "library/python"],
    ["some/copy", "docker.io", "some/copy"],
    ["ghcr.io/a/b/c", "ghcr.io", "a/b/c"],
    ["localhost/a", "localhost", "a"],
    ["registry:5000/a", "registry:5000", "a"],
  ] as const) {
    it(`${repository} is ${name} at ${host}`, () => assert.deepEqual(split(repository), { host, name }));
  }
});

describe("the source of versions.ts", () => {
  it("is read with the places of its values", () => {
    assert.deepEqual(
      readLeaves(twoImages).map(({ path, value, start, end }) => [path, value, twoImages.slice(start, end)]),
      [
        ["charts.longhorn.repository", "https://charts.example.org", '"https://charts.example.org"'],
        ["charts.longhorn.chart", "longhorn", '"longhorn"'],
        ["charts.longhorn.version", "1.2.3", '"1.2.3"'],
        ["images.copy.repository", "docker.io/some/copy", '"docker.io/some/copy"'],
        ["images.copy.tag", "1.0", '"1.0"'],
        ["images.copy.digest", "unresolved", "unresolved"],
        ["images.verify.repository", "registry.example.org/python", '"registry.example.org/python"'],
        ["images.verify.tag", "3", '"3"'],
        ["images.verify.digest", digest("9"), `"${digest("9")}"`],
        ["debian.release", "trixie", '"trixie"'],
        ["debian.version", "13", '"13"'],
        ["debian.build", "unresolved", "unresolved"],
        ["debian.sha512", "unresolved", "unresolved"],
      ],
    );
  });

  it("takes several values at once, in any order, and text that needs quoting", () => {
    const changed = withValues(
      twoImages,
      new Map([
        ["debian.build", 'a "quoted" one'],
        ["images.copy.digest", "x"],
      ]),
    );
    assert.equal(
      changed,
      twoImages
        .replace("digest: unresolved", 'digest: "x"')
        .replace("build: unresolved", 'build: "a \\"quoted\\" one"'),
    );
  });

  for (const [title, source, message] of [
    ["without `versions`", "export const other = {};", /no `export const versions/],
    ["with a computed value", 'export const versions = { a: { b: "x" + "y" } };', /a\.b is `"x" \+ "y"`, neither/],
    [
      "with a spread",
      "export const versions = { a: { ...other } };",
      /a holds `\.\.\.other`, which is no plain property/,
    ],
  ] as const) {
    it(`is refused ${title}`, () => assert.throws(() => readLeaves(source), message));
  }
});
