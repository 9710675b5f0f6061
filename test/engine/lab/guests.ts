import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { GuestScript } from "../../../operations/clients";
import { instanceOf } from "../../../rehearsal/home/proxmox";
import type { Guest, HomeState, Vm } from "../../../rehearsal/home/state";
import { root } from "../../support/environment";

/** One command that somebody ran over SSH, as the guest received it. */
export interface Received {
  readonly vmId: number;
  /** The command line. */
  readonly command: string;
  /** Everything that came over standard input. */
  readonly input: string;
}

/** One of our scripts, taken apart. */
export interface ScriptRun {
  readonly vmId: number;
  readonly script: GuestScript;
  readonly variables: Readonly<Record<string, string>>;
}

/** How a script ends in the guest. */
export interface Ended {
  readonly code: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** `before`: the connection breaks, nothing ran. `after`: it ran, and nobody hears of it. */
export type Drop = "before" | "after";

/**
 * The machines' insides: a booted machine gets its address and Debian's own sshd there, with the user and the key of its cloud-init data and a host key of its own.
 * What our scripts do there is the test's (`runs`); that they arrive, from whom and with what, is real. Only inside of a namespace: it gives loopback addresses
 * and this process's mounts a passwd with the guests' user.
 */
export class Guests {
  readonly received: Received[] = [];
  readonly ran: ScriptRun[] = [];
  /** Where the scripts are that the guests know. */
  scripts = join(root, "operations", "guest");
  /** Asked at each command. */
  drop: (run: ScriptRun) => Drop | undefined = () => undefined;
  /** Machines at whose address somebody else answers, with another host key. */
  readonly impostors = new Set<number>();
  private readonly folder = mkdtempSync("/run/guests-");
  private readonly servers = new Map<number, ChildProcess>();
  private readonly socket = join(this.folder, "guests.sock");
  private readonly listener: Server;

  private constructor(
    private readonly home: HomeState,
    private readonly run: (run: ScriptRun) => Promise<Ended>,
  ) {
    this.listener = createServer({ allowHalfOpen: true }, (connection) => void this.serve(connection));
  }

  static async start(home: HomeState, run: (run: ScriptRun) => Promise<Ended>): Promise<Guests> {
    provideUsers();
    const guests = new Guests(home, run);
    // The guests' user has to get through to the socket and to its own keys: not below the temporary folder, which may be its owner's alone.
    chmodSync(guests.folder, 0o711);
    await new Promise<void>((resolve) => guests.listener.listen(guests.socket, resolve));
    chmodSync(guests.socket, 0o666);
    return guests;
  }

  /** What a machine does when it starts. A machine that is new, by its UUID, gets a host key; one that was off keeps its own. */
  async boot(vm: Vm): Promise<void> {
    const keys = join(this.folder, vm.uuid);
    if (!existsSync(keys)) {
      mkdirSync(keys, { mode: 0o711 });
      for (const name of ["host", "impostor"])
        execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", join(keys, name)]);
    }
    const { config = {} } = vm;
    const address = /ip=([\d.]+)/.exec(String(config.ipconfig0))?.[1] ?? "";
    const before: Guest | undefined = this.home.guests[vm.vmId];
    const hostKey = readFileSync(join(keys, "host.pub"), "utf8").trim();
    const fresh = before?.hostKey !== hostKey;
    const carried = fresh ? { agent: false, joined: false } : before;
    this.home.guests[vm.vmId] = { ...carried, hostKey, address, instance: instanceOf(vm) };
    writeFileSync(join(keys, "authorized"), decodeURIComponent(String(config.sshkeys)), { mode: 0o644 });
    await this.listen(vm.vmId, address, String(config.ciuser), keys);
  }

  off(vm: Vm): Promise<void> {
    return this.end(vm.vmId);
  }

  async stop(): Promise<void> {
    for (const vmId of [...this.servers.keys()]) await this.end(vmId);
    await new Promise((resolve) => this.listener.close(resolve));
  }

  private async listen(vmId: number, address: string, user: string, keys: string): Promise<void> {
    await this.end(vmId);
    execFileSync("ip", ["address", "replace", `${address}/32`, "dev", "lo"]);
    const config = join(keys, "sshd_config");
    writeFileSync(
      config,
      [
        `ListenAddress ${address}:22`,
        `HostKey ${join(keys, this.impostors.has(vmId) ? "impostor" : "host")}`,
        `AllowUsers ${user}`,
        `AuthorizedKeysFile ${join(keys, "authorized")}`,
        `ForceCommand ${process.execPath} ${join(__dirname, "in-guest.js")} ${this.socket} ${vmId}`,
        "AuthenticationMethods publickey",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        "",
      ].join("\n"),
    );
    const server = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] });
    this.servers.set(vmId, server);
    await new Promise<void>((resolve, reject) => {
      let said = "";
      server.stderr.setEncoding("utf8").on("data", (chunk: string) => {
        said += chunk;
        if (said.includes("Server listening on")) resolve();
      });
      server.once("exit", () => reject(new Error(`sshd of machine ${vmId}: ${said}`)));
    });
  }

  private async end(vmId: number): Promise<void> {
    const server = this.servers.get(vmId);
    if (!server) return;
    this.servers.delete(vmId);
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGTERM");
    await ended;
  }

  private async serve(connection: Socket): Promise<void> {
    // Not `for await`: that ends the connection together with what was read.
    const chunks: Buffer[] = [];
    connection.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", () => undefined);
    await new Promise((resolve) => connection.once("end", resolve));
    const text = Buffer.concat(chunks).toString();
    const line = text.indexOf("\n");
    const { vmId, command } = JSON.parse(text.slice(0, line)) as { vmId: number; command: string };
    const input = text.slice(line + 1);
    this.received.push({ vmId, command, input });
    const run = parse(vmId, input, this.scripts);
    if (run === undefined) {
      connection.end(JSON.stringify({ code: 127, stdout: "", stderr: "not one of our scripts\n", drop: false }));
      return;
    }
    const drop = this.drop(run);
    let ended: Ended = { code: 255 };
    if (drop !== "before") {
      this.ran.push(run);
      ended = await this.run(run);
    }
    connection.end(JSON.stringify({ stdout: "", stderr: "", ...ended, drop: drop !== undefined }));
  }
}

/** The assignments and the script that our SSH client writes; undefined for anything else. */
function parse(vmId: number, input: string, scripts: string): ScriptRun | undefined {
  const variables: Record<string, string> = {};
  const assignment = /([A-Z][A-Z0-9_]*)='((?:[^']|'\\'')*)'\n/y;
  let end = 0;
  for (let found = assignment.exec(input); found !== null; found = assignment.exec(input)) {
    variables[found[1] ?? ""] = (found[2] ?? "").replaceAll(`'\\''`, "'");
    end = assignment.lastIndex;
  }
  const text = input.slice(end);
  const name = readdirSync(scripts).find((file) => readFileSync(join(scripts, file), "utf8") === text);
  return name === undefined ? undefined : { vmId, script: basename(name, ".sh") as GuestScript, variables };
}

let provided = false;

/** The user that cloud-init makes, and sshd's own, known inside of this process's mounts only. */
function provideUsers(): void {
  if (provided) return;
  provided = true;
  const folder = mkdtempSync(join(tmpdir(), "users-"));
  const lines = {
    passwd: [
      "root:x:0:0::/root:/bin/sh",
      "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin",
      "debian:x:1000:1000::/:/bin/sh",
    ],
    group: ["root:x:0:", "nogroup:x:65534:", "debian:x:1000:"],
    shadow: ["root:*:1::::::", "sshd:*:1::::::", "debian:*:1::::::"],
  };
  for (const [name, content] of Object.entries(lines)) {
    writeFileSync(join(folder, name), `${content.join("\n")}\n`, { mode: 0o644 });
    execFileSync("mount", ["--bind", join(folder, name), `/etc/${name}`]);
  }
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=755", "none", "/run"]);
  mkdirSync("/run/sshd", { mode: 0o755 });
}
