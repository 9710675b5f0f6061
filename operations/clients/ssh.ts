import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, type ConnectConfig } from "ssh2";
import { SshFailure, type Clock, type GuestScript, type Ssh, type SshResult, type SshTarget } from "../clients";

/** How often a connection is tried, and the pause between; whoever waits for a machine to boot asks again by itself. */
const dial = { attempts: 3, pauseMilliseconds: 2000 };

/** Seconds that a script may run: a slow mirror and a first `apt-get install` need some. */
const scriptSeconds = 1800;

/** SSH with the operator's key: our own scripts, as root, everything they need over standard input. */
export function sshClient(access: { readonly privateKey: string }, clock: Clock, port = 22): Ssh {
  return new RealSsh(access.privateKey, clock, port);
}

class RealSsh implements Ssh {
  constructor(
    private readonly privateKey: string,
    private readonly clock: Clock,
    private readonly port: number,
  ) {}

  async run(
    target: SshTarget,
    script: GuestScript,
    settings: Readonly<Record<string, string>>,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<SshResult> {
    if (target.hostKey === undefined && Object.keys(secrets).length > 0) {
      throw new Error("secrets never go over a connection whose host key is not pinned");
    }
    const text = readFileSync(join(__dirname, "..", "guest", `${script}.sh`), "utf8");
    const input = `${assignments({ ...settings, ...secrets })}${text}`;
    const { client, hostKey } = await this.connect(target);
    try {
      const { code, stdout, stderr } = await execute(client, input);
      const hidden = Object.values(secrets);
      if (code === 0) return { stdout: redact(stdout, hidden), hostKey };
      throw new SshFailure("exit", `${target.address}: ${failure(script, code, redact(stderr, hidden))}`);
    } finally {
      client.end();
    }
  }

  private async connect(target: SshTarget): Promise<{ readonly client: Client; readonly hostKey: string }> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.dial(target);
      } catch (error) {
        const again = error instanceof SshFailure && error.kind === "unreachable" && attempt < dial.attempts;
        if (!again) throw error;
        await this.clock.sleep(dial.pauseMilliseconds);
      }
    }
  }

  private dial({ address, user, hostKey }: SshTarget): Promise<{ readonly client: Client; readonly hostKey: string }> {
    return new Promise((resolve, reject) => {
      const client = new Client();
      let met = "";
      const config: ConnectConfig = {
        host: address,
        port: this.port,
        username: user,
        privateKey: this.privateKey,
        readyTimeout: 20_000,
        // A machine that vanished in the middle would otherwise hold the connection for hours.
        keepaliveInterval: 15_000,
        keepaliveCountMax: 8,
        // Only the kind of key that the hypervisor is asked for; with several kinds the server could show one we cannot compare.
        algorithms: { serverHostKey: ["ssh-ed25519"] },
        hostVerifier: (key: Buffer) => {
          met = `ssh-ed25519 ${key.toString("base64")}`;
          return hostKey === undefined || hostKey === met;
        },
      };
      client
        .on("ready", () => resolve({ client, hostKey: met }))
        .on("error", (error) => {
          client.end();
          const wrongKey = met !== "" && hostKey !== undefined && met !== hostKey;
          reject(
            wrongKey
              ? new SshFailure("host-key", `${address}: the server's key is ${met}, not the pinned ${hostKey}`)
              : new SshFailure("unreachable", `${address}: ${reason(error)}`),
          );
        });
      try {
        client.connect(config);
      } catch {
        // ssh2's message about a key that it cannot read may quote it.
        reject(
          new Error("the secret sshPrivateKey is not a private key that ssh2 can read (OpenSSH form, no passphrase)"),
        );
      }
    });
  }
}

interface Exit {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const signalled = -1;

/** The command line is constant: what differs, secrets among it, comes over standard input and is in no list of processes. */
const command = `sudo -n timeout --kill-after=30 ${scriptSeconds} bash -s`;

function execute(client: Client, input: string): Promise<Exit> {
  return new Promise((resolve, reject) => {
    const lost = () =>
      reject(new SshFailure("exit", "the connection was lost while a script ran; run `pulumi up --refresh` again"));
    client.on("close", lost);
    client.exec(command, (error, channel) => {
      if (error) {
        reject(new SshFailure("unreachable", `no command could be started: ${reason(error)}`));
        return;
      }
      let [stdout, stderr] = ["", ""];
      let code: number | undefined;
      channel.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
      channel.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
      // null: it died of a signal. No event at all: nobody is left to tell.
      channel.on("exit", (exit: number | null) => (code = exit ?? signalled));
      channel.on("close", () => (code === undefined ? lost() : resolve({ code, stdout, stderr })));
      channel.end(input);
    });
  });
}

/** `NAME='value'` lines. Single quotes keep everything as it is; a quote itself is closed, escaped and opened again. */
function assignments(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => {
      // Our own operations write both; a name with a space or a value with NUL would become something else in the shell.
      if (!/^[A-Z][A-Z0-9_]*$/.test(name) || value.includes("\0")) throw new Error(`${name}: not a shell variable`);
      return `${name}='${value.replaceAll("'", `'\\''`)}'\n`;
    })
    .join("");
}

function failure(script: GuestScript, code: number, stderr: string): string {
  if (code === 124) return `${script}.sh was still running after ${scriptSeconds} s and was stopped`;
  const last = stderr.trim().split("\n").slice(-10).join("\n    ");
  return `${script}.sh ended with ${code === signalled ? "a signal" : `exit ${code}`}\n    ${last || "(no output)"}`;
}

/** Whatever a program in the guest echoes: no secret comes back out. Whole values, and each line of those that have several. */
function redact(text: string, secrets: readonly string[]): string {
  const parts = secrets.flatMap((secret) => [secret, ...secret.split("\n")]).filter((part) => part.length >= 4);
  return parts.reduce((result, part) => result.replaceAll(part, "***"), text);
}

/** What is wrong, without the library's error object. */
function reason(error: Error & { level?: string; code?: string }): string {
  if (error.level === "client-authentication")
    return "the server does not take the key (sshPrivateKey) for this user yet";
  if (error.level === "client-timeout") return "no SSH handshake in time";
  return error.code ?? error.message;
}
