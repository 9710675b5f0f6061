import assert from "node:assert/strict";
import { Readable, Writable } from "node:stream";
import { z } from "zod";
import { keep } from "../../../operations/keep";
import { main } from "../../../operations/main";
import { defineOperation, type Operation } from "../../../operations/operation";
import { Refusal } from "../../../operations/refusal";
import { buildHome } from "../../../rehearsal/home/build";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { environment } from "../../support/environment";

const secret = "eyJhbGciOiJFUzI1NiJ9.this-must-not-show";
const access = {
  proxmox: { endpoint: "https://pve.example.org:8006/", token: `operator@pve!up=${secret}` },
  rancher: {
    url: "https://rancher.example.org",
    token: `token-abcde:${secret}`,
    clusterId: "c-abc12",
    clusterName: "home",
    distribution: "rke1",
  },
  kubernetes: { kubeconfig: `users:\n- user: { token: ${secret}, client-key-data: LS0tLS1CRUdJTi-must-not-show }\n` },
  ssh: { privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA-must-not-show\n-----END` },
};

/** An operation whose effect is given. */
function does(run: (input: unknown) => Promise<unknown>): Operation {
  return defineOperation({ verb: "made-up", needs: [], schema: z.unknown(), run });
}

/** Collects what is written; each write is slow, as a full pipe's is. */
class Slow extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    setImmediate(() => {
      this.text += chunk.toString("utf8");
      done();
    });
  }
}

async function run(
  operation: Operation,
  request: unknown = { version: 1, access: {}, input: {} },
  previous?: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new Slow(), new Slow()];
  const home = buildHome(environment("home"));
  const bytes = Buffer.from(typeof request === "string" ? request : JSON.stringify(request));
  const code = await main(operation.verb, {
    // Cut in the middle of characters, as a pipe may do it.
    stdin: Readable.from(Array.from(bytes, (_byte, index) => bytes.subarray(index, index + 1))),
    stdout,
    stderr,
    previous,
    connect: () => pretendClients(home, new VirtualClock(home.now)),
    known: { [operation.verb]: async () => operation },
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

describe("main of operations/run (in this process; the process itself is tested in run.test.ts)", () => {
  it("prints a result as one line on standard output, nothing on standard error, exit 0", async () => {
    assert.deepEqual(
      await run(
        does(async (input) => input),
        { version: 1, access: {}, input: { text: "ü\n✓" } },
      ),
      {
        code: 0,
        stdout: '{"text":"ü\\n✓"}\n',
        stderr: "",
      },
    );
  });

  it("has written everything when it returns: the process exits then", async () => {
    const { stdout } = await run(does(async () => "x".repeat(1_000_000)));
    assert.equal(stdout.length, 1_000_003);
  });

  it("hands what the last run printed on to keep", async () => {
    assert.equal((await run(keep, undefined, '{"joined":true}')).stdout, '{"joined":true}\n');
  });

  it("prints a refusal whole on standard error, and nothing else, exit 1", async () => {
    const refusal = new Refusal({ what: "debian-1: not joined", why: "Rancher says so", next: "pulumi up" });
    assert.deepEqual(await run(does(async () => Promise.reject(refusal))), {
      code: 1,
      stdout: "",
      stderr: "debian-1: not joined\n  why:  Rancher says so\n  next: pulumi up\n",
    });
  });

  it("prints of a foreign error its name and first line alone: not its later lines, properties, cause or stack", async () => {
    const foreign = Object.assign(
      new TypeError(`fetch failed\nAuthorization: ${secret}`, { cause: new Error(secret) }),
      {
        config: { headers: { Authorization: secret } },
      },
    );
    assert.deepEqual(await run(does(async () => Promise.reject(foreign))), {
      code: 1,
      stdout: "",
      stderr: "operations/run made-up failed: TypeError: fetch failed\n",
    });
  });

  for (const [title, word] of Object.entries({
    "the Proxmox token": access.proxmox.token,
    "the Rancher token": access.rancher.token,
    "a token inside the kubeconfig": secret,
    "a key inside the kubeconfig": "LS0tLS1CRUdJTi-must-not-show",
    "a line of the private key": "b3BlbnNzaC1rZXktdjEAAAAA-must-not-show",
  })) {
    it(`takes ${title} out of a foreign message and out of a refusal`, async () => {
      const said = `401 for "${word}" at https://pve.example.org:8006/`;
      const request = { version: 1, access, input: {} };
      for (const error of [new Error(said), new Refusal({ what: said, why: said, next: said })]) {
        const { code, stderr } = await run(
          does(async () => Promise.reject(error)),
          request,
        );
        assert.equal(code, 1);
        assert.doesNotMatch(stderr, /must-not-show/);
        assert.match(stderr, /401 for "\[secret\]" at https:\/\/pve\.example\.org:8006\//);
      }
    });
  }

  it("leaves no end of a secret that begins with another one", async () => {
    const longer = `${secret}-and-this-end`;
    const request = { version: 1, access: { kubernetes: { kubeconfig: `${secret} ${longer}` } }, input: {} };
    const { stderr } = await run(
      does(async () => Promise.reject(new Error(`401 for ${longer}`))),
      request,
    );
    assert.equal(stderr, "operations/run made-up failed: Error: 401 for [secret]\n");
  });

  it("prints no part of a text that a parser could not read", async () => {
    const { code, stderr } = await run(does(async () => JSON.parse(secret) as unknown));
    assert.equal(code, 1);
    assert.match(stderr, /^operations\/run made-up failed: SyntaxError: Unexpected token 'e', "…"/);
    assert.doesNotMatch(stderr, /eyJ/);
  });

  it("prints nothing of a thrown value that is no error", async () => {
    const { stderr } = await run(
      does(async () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- libraries do
        throw secret;
      }),
    );
    assert.equal(stderr, "operations/run made-up failed: unknown error\n");
  });

  for (const [title, request] of Object.entries({
    "text that is no JSON": `{"access":{"proxmox":{"token":"${secret}`,
    "a secret instead of a request": secret,
    "JSON that is no request": { token: secret },
    nothing: "",
  })) {
    it(`refuses ${title} on standard input, exit 1, and quotes none of it`, async () => {
      const { code, stdout, stderr } = await run(keep, request);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^operations\/run keep: (standard input is not JSON|the request does not fit)\n/);
      assert.doesNotMatch(stderr, /eyJ|must-not-show/);
    });
  }
});
