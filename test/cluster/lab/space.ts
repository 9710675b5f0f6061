import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";

/**
 * A network of its own with a /sys to match: of a machine all that layer 2, routing and kube-proxy see. Ends with this process, however that ends, and with
 * it every card in it.
 */
export class Space {
  private constructor(
    readonly name: string,
    private readonly holder: ChildProcess,
  ) {}

  static async make(name: string): Promise<Space> {
    // `cat` stays until its input closes, which happens when this process is gone.
    const script = "mount -t sysfs none /sys && ip link set lo up && echo made && exec cat >/dev/null";
    const around = ["--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-c", script];
    const holder = spawn("setpriv", around, { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once("data", () => resolve());
      holder.once("error", reject).once("exit", (code) => reject(new Error(`${name}: no namespace (exit ${code})`)));
    });
    return new Space(name, holder);
  }

  /** What a command line begins with to run in here; it becomes the program. */
  get enter(): readonly string[] {
    return ["nsenter", "--target", this.id, "--net", "--mount"];
  }

  /** As `ip link … netns <id>` takes it. */
  get id(): string {
    return String(this.holder.pid);
  }

  /** Runs a program to its end and returns what it printed. */
  run(command: string, args: readonly string[] = [], { input = "", env = process.env } = {}): string {
    const [enter = "", ...rest] = this.enter;
    try {
      return execFileSync(enter, [...rest, command, ...args], { input, env, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      const { stderr } = error as { stderr?: string };
      throw new Error(`${this.name}: ${[command, ...args].join(" ")}: ${stderr ?? ""}`, { cause: error });
    }
  }

  /** The same where failing is an answer, too. */
  try(command: string, args: readonly string[] = []): { readonly code: number | null; readonly output: string } {
    const [enter = "", ...rest] = this.enter;
    const { status, stdout } = spawnSync(enter, [...rest, command, ...args], { encoding: "utf8" });
    return { code: status, output: stdout };
  }

  /** Commands of iproute2, a line each. */
  ip(...lines: readonly string[]): void {
    this.run("ip", ["-batch", "-"], { input: lines.join("\n") });
  }

  set(...settings: readonly string[]): void {
    this.run("sysctl", ["-q", "-w", ...settings]);
  }

  nft(rules: string): void {
    this.run("nft", ["-f", "-"], { input: rules });
  }

  stop(): void {
    this.holder.kill("SIGKILL");
  }
}
