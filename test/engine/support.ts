import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseDocument, stringify } from "yaml";
import { readLeaves, withValues } from "../../commands/pin/source";
import { unresolved } from "../../versions";
import { root } from "../support/environment";

/** What one run of the CLI printed, and how it ended. */
export interface Run {
  readonly code: number;
  /** Standard output and error together, without colours. */
  readonly text: string;
}

/** One resource of a state. */
export interface StateResource {
  readonly urn: string;
  readonly type: string;
}

/** Left out of a copy of the checkout: what is large, linked, or no part of it. */
const leftOut = new Set(["node_modules", ".git", "coverage", ".cache"]);

/**
 * The real CLI on copies of this checkout, with a state of their own in a temporary folder: nothing of the machine's Pulumi is read or written, and nothing is
 * downloaded.
 */
export class Engine {
  readonly folder = mkdtempSync(join(tmpdir(), "home-cluster-engine-"));

  constructor() {
    for (const name of ["state", "home"]) mkdirSync(join(this.folder, name));
  }

  /** A copy of the checkout as it stands, links kept; all copies share one state. */
  copy(name = "checkout"): Checkout {
    const folder = join(this.folder, name);
    cpSync(root, folder, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !leftOut.has(basename(source)) && !source.endsWith(".tmp"),
    });
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    return new Checkout(folder, this.environment());
  }

  /** Everything that Pulumi may look at, and nothing else of this process's environment but PATH. */
  environment(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "",
      NO_PROXY: "127.0.0.1",
      HOME: join(this.folder, "home"),
      TMPDIR: tmpdir(),
      PULUMI_HOME: join(this.folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(this.folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "only of this test",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // The state's copies of the test would only be in the way.
      PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS: "true",
    };
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A copy of the checkout, and the CLI in it. */
export class Checkout {
  constructor(
    readonly folder: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Runs `pulumi` without a terminal; never throws for an exit code. */
  pulumi(...args: readonly string[]): Promise<Run> {
    return new Promise((resolve) => {
      const options = { cwd: this.folder, env: this.environment, maxBuffer: 64 * 1024 * 1024 };
      const child = execFile(
        "pulumi",
        ["--non-interactive", "--color", "never", ...args],
        options,
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
          // Which plugin was taken from PATH is of no interest here.
          const text = `${stdout}${stderr}`.replace(/^.*warning: using pulumi-\S+ from \$PATH.*\n/gm, "");
          resolve({ code, text });
        },
      );
      child.stdin?.end();
    });
  }

  /** The same, for what must succeed. Returns what it printed. */
  async must(...args: readonly string[]): Promise<string> {
    const { code, text } = await this.pulumi(...args);
    assert.equal(code, 0, `pulumi ${args.join(" ")}\n${text}`);
    return text;
  }

  /** Creates these stacks; their configuration is whatever the links lead to. */
  async init(...stacks: readonly string[]): Promise<void> {
    for (const stack of stacks) await this.must("stack", "init", stack);
  }

  /** What the engine keeps of a stack, as text and as resources. */
  async state(stack: string): Promise<{ readonly text: string; readonly resources: readonly StateResource[] }> {
    const text = await this.must("stack", "export", "--show-secrets", "--stack", stack);
    const { deployment } = JSON.parse(text) as { deployment: { resources?: StateResource[] } };
    return { text, resources: deployment.resources ?? [] };
  }

  /** Types in the state that stand for something outside of it: not the stack, nor its components and providers. */
  async real(stack: string): Promise<string[]> {
    const { resources } = await this.state(stack);
    return resources.map(({ type }) => type).filter((type) => !/^(pulumi:|home-cluster:)/.test(type));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  file(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** Changes values of an environment file, keeping everything else as it is; a path is that below `config`. */
  set(
    environment: string,
    ...changes: readonly (readonly [path: readonly (string | number)[], value: unknown])[]
  ): void {
    const file = join(this.folder, `Pulumi.${environment}.yaml`);
    const document = parseDocument(readFileSync(file, "utf8"));
    for (const [path, value] of changes) document.setIn(["config", ...path], value);
    writeFileSync(file, document.toString({ lineWidth: 0 }));
  }

  /** Stand-ins for what is unresolved in versions.ts, so that a run gets beyond that refusal. */
  standInForPins(): void {
    const file = join(this.folder, "versions.ts");
    const source = readFileSync(file, "utf8");
    const open = readLeaves(source).filter(({ value }) => value === unresolved);
    writeFileSync(file, withValues(source, new Map(open.map(({ path }) => [path, `stand-in-for-${path}`]))));
  }

  /** Sets the secrets, all of them made up, for whatever stack of the environment is given. */
  async setSecrets(stack: string, secrets: Readonly<Record<string, string>>): Promise<void> {
    for (const [key, value] of Object.entries(secrets)) {
      await this.must("config", "set", "--secret", "--stack", stack, key, "--", value);
    }
  }
}

/** An address on loopback at which nobody listens. */
export async function closedAddress(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `https://127.0.0.1:${port}`;
}

/** A kubeconfig for a server on loopback. */
export function kubeconfigFor(server: string): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "home", cluster: { server } }],
    users: [{ name: "operator", user: { token: "kubernetes-token-of-a-test" } }],
    contexts: [{ name: "home", context: { cluster: "home", user: "operator" } }],
    "current-context": "home",
  });
}

/** A value for every secret that the layers use. */
export function secretsFor(server: string): Record<string, string> {
  return {
    proxmoxToken: "operator@pve!test=11111111-2222-3333-4444-555555555555",
    rancherToken: "token-abcde:rancher-token-of-a-test",
    kubeconfig: kubeconfigFor(server),
    sshPrivateKey: "ssh-key-of-a-test",
  };
}
