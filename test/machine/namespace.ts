import { execFile, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** See the script. */
export const leash = join(__dirname, "leash.sh");

/** What a program printed, and how it ended. */
export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why namespaces cannot be made here; undefined when they can. */
export function noNamespaces(): string | undefined {
  const { status, stderr } = spawnSync(
    "unshare",
    ["--net", "--mount", "--pid", "--fork", "ip", "tuntap", "add", "tap0", "mode", "tap"],
    {
      encoding: "utf8",
    },
  );
  return status === 0 ? undefined : `network namespaces with tap devices cannot be made here: ${stderr.trim()}`;
}

/** Ends this process when whoever started it is gone: a killed `npm test` tells nobody, and mocha would go on for a quarter of an hour. */
export function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, 1000).unref();
}

/**
 * A network and a process namespace with a folder. All of it ends with this process, even when this process is killed: its first process waits for the end of
 * a pipe from here, then kills the others and removes the folder.
 */
export class Namespace {
  readonly folder = mkdtempSync(join(tmpdir(), "home-cluster-machine-"));
  private readonly first: ChildProcess;
  private readonly ended: Promise<unknown>;
  private target = "";

  private constructor() {
    this.first = spawn(
      "unshare",
      ["--net", "--mount", "--pid", "--fork", "--kill-child", "bash", leash, this.folder],
      // A terminal's Ctrl-C reaches this process only, and this one's end the other.
      { stdio: ["pipe", "pipe", "inherit"], detached: true },
    );
    this.ended = new Promise((resolve) => this.first.once("exit", resolve));
  }

  static async make(): Promise<Namespace> {
    const made = new Namespace();
    made.target = await new Promise<string>((resolve, reject) => {
      made.first.stdout?.setEncoding("utf8").once("data", (id: string) => resolve(id.trim()));
      made.first.once("error", reject).once("exit", (code) => reject(new Error(`leash.sh ended with ${code}`)));
    });
    return made;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  /** Starts a program in there; what it prints on standard error is shown. */
  start(command: string, ...args: readonly string[]): ChildProcess {
    return spawn("nsenter", this.enter(command, args), { stdio: ["ignore", "inherit", "inherit"] });
  }

  /** Runs a program in there to its end, or for so many seconds; never throws for an exit code. */
  run(command: string, args: readonly string[], { input = "", seconds = 60 } = {}): Promise<Run> {
    return new Promise((resolve) => {
      const options = { timeout: seconds * 1000, maxBuffer: 64 * 1024 * 1024, killSignal: "SIGKILL" } as const;
      const child = execFile("nsenter", this.enter(command, args), options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr });
      });
      child.stdin?.on("error", () => undefined).end(input);
    });
  }

  /** The same for what must succeed; returns what it printed. */
  async must(
    command: string,
    args: readonly string[],
    options: { input?: string; seconds?: number } = {},
  ): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, args, options);
    if (code === 0) return stdout;
    throw new Error(`${[command, ...args].join(" ")}: exit ${code}\n${stderr || stdout}`);
  }

  async dispose(): Promise<void> {
    this.first.stdin?.end();
    await this.ended;
  }

  private enter(command: string, args: readonly string[]): string[] {
    return ["--target", this.target, "--net", "--pid", "--", command, ...args];
  }
}
