import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import ssh2, { type Connection } from "ssh2";
import type { Ssh, SshTarget } from "../../../../operations/clients";
import { sshClient } from "../../../../operations/clients/ssh";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { guestScripts } from "../../../support/nodes";
import { sshKeys } from "../../../support/ssh-keys";

const host = sshKeys();
const other = sshKeys();
const operator = sshKeys();
const stranger = sshKeys();
/** Type and key, without the comment. */
const publicOf = (pair: { public: string }): string => pair.public.split(" ").slice(0, 2).join(" ");
const hostKey = publicOf(host);

interface Reply {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exit?: number;
  readonly signal?: string;
}

describe("operations/clients/ssh, against an SSH server on loopback (does not prove sudo, nor a real guest)", () => {
  let server: ssh2.Server;
  let port: number;
  let connections: Connection[];
  let commands: string[];
  let users: string[];
  let inputs: string[];
  /** What happens to a command once its input is complete. */
  let behave: (input: string) => Reply | Promise<Reply> | "hang up" | "refuse";

  before((done) => {
    server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
      connections.push(connection);
      connection.on("error", () => undefined);
      connection.on("authentication", (context) => {
        users.push(context.username);
        const known = ssh2.utils.parseKey(operator.public);
        const mine =
          context.method === "publickey" && !(known instanceof Error) && context.key.data.equals(known.getPublicSSH());
        if (mine) context.accept();
        else context.reject(["publickey"]);
      });
      connection.on("session", (accept) => {
        accept().on("exec", (take, refuse, { command }) => {
          commands.push(command);
          if (behave("") === "refuse") return refuse();
          const channel = take();
          let input = "";
          channel.on("data", (chunk: Buffer) => (input += chunk.toString()));
          channel.on("end", () => void end(channel, input));
          return undefined;
        });
      });
      async function end(channel: ssh2.ServerChannel, input: string): Promise<void> {
        inputs.push(input);
        const reply = await behave(input);
        if (typeof reply === "string") return void connection.end();
        if (reply.stdout) channel.write(reply.stdout);
        if (reply.stderr) channel.stderr.write(reply.stderr);
        if (reply.signal) channel.exit(reply.signal);
        else channel.exit(reply.exit ?? 0);
        channel.end();
      }
    });
    server.listen(0, "127.0.0.1", () => {
      port = (server.address() as AddressInfo).port;
      done();
    });
  });
  after(() => server.close());
  beforeEach(() => {
    connections = [];
    commands = [];
    users = [];
    inputs = [];
    behave = () => ({ stdout: "changed something\n" });
  });

  const clock = new VirtualClock(0);
  const client = (privateKey = operator.private, at = port): Ssh => sshClient({ privateKey }, clock, at);
  const target = (change: Partial<SshTarget> = {}): SshTarget => ({
    address: "127.0.0.1",
    user: "debian",
    hostKey,
    ...change,
  });
  const script = readFileSync(join(guestScripts, "provision.sh"), "utf8");

  it("sends variables and script over standard input to one constant command, and closes the connection", async () => {
    const result = await client().run(target(), "provision", { NODE_NAME: "debian-1" }, { TOKEN: "secret" });
    assert.deepEqual(result, { stdout: "changed something\n", hostKey });
    assert.deepEqual(commands, ["sudo -n timeout --kill-after=30 1800 bash -s"]);
    assert.deepEqual(inputs, [`NODE_NAME='debian-1'\nTOKEN='secret'\n${script}`]);
    assert.deepEqual(new Set(users), new Set(["debian"]));
    assert.equal(connections.length, 1);
  });

  it("quotes whatever a value holds: a real shell sees the very same text", async () => {
    const values = { A: "it's", B: '"$HOME" `id` \\', C: "line\nline", D: "", E: "'; rm -rf /; '" };
    behave = (input) =>
      new Promise((resolve) => {
        const shell = spawn("bash", ["-s"], { stdio: ["pipe", "pipe", "inherit"] });
        let stdout = "";
        shell.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
        shell.on("close", () => resolve({ stdout }));
        const variables = input.slice(0, input.indexOf("#!/bin/bash"));
        shell.stdin.end(`${variables}for name in A B C D E; do printf '%s\\0' "\${!name}"; done`);
      });
    const { stdout } = await client().run(target(), "provision", values);
    assert.deepEqual(stdout.split("\0").slice(0, -1), Object.values(values));
  });

  it("refuses names and values that a shell would read as something else", async () => {
    await assert.rejects(client().run(target(), "provision", { "A B": "" }), /A B: not a shell variable/);
    await assert.rejects(client().run(target(), "provision", { A: "\0" }), /A: not a shell variable/);
    assert.deepEqual(connections, []);
  });

  it("reports the key it met on a first contact", async () => {
    assert.equal((await client().run(target({ hostKey: undefined }), "provision", {})).hostKey, hostKey);
  });

  it("refuses to send a secret without a pinned key, before it connects", async () => {
    await assert.rejects(
      client().run(target({ hostKey: undefined }), "join-rke1", {}, { TOKEN: "secret" }),
      /secrets never go over a connection whose host key is not pinned/,
    );
    assert.deepEqual(connections, []);
  });

  it("refuses a server with another key than the pinned one, at once and before it says who it is", async () => {
    const pinned = publicOf(other);
    await assert.rejects(client().run(target({ hostKey: pinned }), "join-rke1", {}, { TOKEN: "secret" }), {
      name: "SshFailure",
      kind: "host-key",
      message: `127.0.0.1: the server's key is ${hostKey}, not the pinned ${pinned}`,
    });
    assert.deepEqual([connections.length, users, inputs], [1, [], []]);
  });

  it("passes on the exit code and the last lines of standard error, secrets taken out", async () => {
    const lines = Array.from({ length: 20 }, (_, index) => `line ${index}`).join("\n");
    behave = () => ({ stderr: `${lines}\ncurl: the token top-secret was refused\nsecond-line\n`, exit: 3 });
    await assert.rejects(
      client().run(target(), "join-rke1", {}, { TOKEN: "top-secret", MORE: "first\nsecond-line" }),
      (error) => {
        assert.ok(error instanceof Error);
        assert.equal(error.name, "SshFailure");
        const expected = [
          ...Array.from({ length: 8 }, (_, index) => `line ${index + 12}`),
          "curl: the token *** was refused",
          "***",
        ];
        assert.equal(error.message, `127.0.0.1: join-rke1.sh ended with exit 3\n    ${expected.join("\n    ")}`);
        return true;
      },
    );
  });

  it("takes secrets out of standard output too", async () => {
    behave = () => ({ stdout: "joined with top-secret\n" });
    assert.equal((await client().run(target(), "join-rke1", {}, { TOKEN: "top-secret" })).stdout, "joined with ***\n");
  });

  const ends: [string, Reply | "hang up" | "refuse", RegExp, string][] = [
    ["exits without a word", { exit: 1 }, /provision\.sh ended with exit 1\n {4}\(no output\)$/, "exit"],
    ["is killed", { signal: "KILL" }, /provision\.sh ended with a signal/, "exit"],
    [
      "takes longer than it may",
      { exit: 124 },
      /provision\.sh was still running after 1800 s and was stopped$/,
      "exit",
    ],
    ["loses its connection", "hang up", /the connection was lost while a script ran/, "exit"],
    ["cannot be started", "refuse", /no command could be started/, "unreachable"],
  ];
  for (const [what, reply, message, kind] of ends) {
    it(`says so when a script ${what}`, async () => {
      behave = () => reply;
      await assert.rejects(client().run(target(), "provision", {}), { name: "SshFailure", kind, message });
    });
  }

  it("tries a machine that does not answer three times, two seconds apart", async () => {
    const closed = await new Promise<number>((resolve) => {
      const probe = new ssh2.Server({ hostKeys: [host.private] }, () => undefined).listen(0, "127.0.0.1", () => {
        const { port: free } = probe.address() as AddressInfo;
        probe.close(() => resolve(free));
      });
    });
    const start = clock.now();
    await assert.rejects(client(operator.private, closed).run(target(), "provision", {}), {
      name: "SshFailure",
      kind: "unreachable",
      message: "127.0.0.1: ECONNREFUSED",
    });
    assert.equal(clock.now() - start, 4000);
  });

  it("takes a user that is not made yet for a machine that still boots", async () => {
    await assert.rejects(client(stranger.private).run(target(), "provision", {}), {
      kind: "unreachable",
      message: "127.0.0.1: the server does not take the key (sshPrivateKey) for this user yet",
    });
  });

  it("does not quote a private key that it cannot read", async () => {
    await assert.rejects(client("not a key: SECRET").run(target(), "provision", {}), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /^the secret sshPrivateKey is not a private key/);
      assert.doesNotMatch(error.message, /SECRET/);
      return true;
    });
  });
});
