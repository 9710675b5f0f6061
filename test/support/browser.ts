import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "undici";

/** How a page is looked at. */
export interface Look {
  readonly width: number;
  readonly scheme: "light" | "dark";
}

/** What a page did, and what an expression came to in it. */
export interface Seen {
  /** Messages of the console, exceptions, and what the browser itself complains of. */
  readonly console: readonly string[];
  /** Every address that was asked for, the page's own first. */
  readonly requests: readonly string[];
  readonly value: unknown;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** A headless Chromium on PATH, driven by its own protocol: four commands do not need a library. */
export class Browser {
  private readonly waiting = new Map<number, { resolve: (message: Message) => void; reject: (error: Error) => void }>();
  private readonly listeners = new Set<(message: Message) => void>();
  private next = 1;

  private constructor(
    private readonly child: ChildProcess,
    private readonly profile: string,
    private readonly socket: WebSocket,
  ) {
    socket.addEventListener("message", ({ data }) => this.take(JSON.parse(String(data)) as Message));
    socket.addEventListener("close", () => {
      for (const { reject } of this.waiting.values()) reject(new Error("Chromium closed the connection"));
    });
  }

  static async start(): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), "chromium-"));
    // Its sandbox refuses root, which tests may be; the pages are ours.
    const options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    const child = spawn(
      "chromium",
      [...options, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    try {
      const url = await new Promise<string>((resolve, reject) => {
        let said = "";
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          const [, address] = /^DevTools listening on (ws:\S+)$/m.exec(said) ?? [];
          if (address !== undefined) resolve(address);
        });
        child.once("error", reject);
        child.once("exit", (code) => reject(new Error(`Chromium ended with ${code}: ${said.trim().slice(-2000)}`)));
      });
      const socket = new WebSocket(url);
      await new Promise<void>((resolve, reject) => {
        socket.addEventListener("open", () => resolve());
        socket.addEventListener("error", () => reject(new Error("Chromium does not answer")));
      });
      return new Browser(child, profile, socket);
    } catch (error) {
      await ended(child);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.socket.close();
    await ended(this.child);
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Opens a page in a tab of its own, lets it load, and evaluates an expression there. */
  async look(url: string, { width, scheme }: Look, expression: string): Promise<Seen> {
    const console: string[] = [];
    const requests: string[] = [];
    let loaded = (): void => undefined;
    const load = new Promise<void>((resolve) => (loaded = resolve));
    const listener = ({ method, params }: Message): void => {
      if (method === "Network.requestWillBeSent") requests.push((params as { request: { url: string } }).request.url);
      if (method === "Page.loadEventFired") loaded();
      if (["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"].includes(method ?? "")) {
        console.push(`${method}: ${JSON.stringify(params)}`);
      }
    };
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tell = (method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> =>
      this.send(method, params, String(sessionId));
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await tell(`${domain}.enable`);
    await tell("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: width < 600 });
    await tell("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    this.listeners.add(listener);
    await tell("Page.navigate", { url });
    await load;
    const answer = await tell("Runtime.evaluate", { expression, returnByValue: true });
    this.listeners.delete(listener);
    await this.send("Target.closeTarget", { targetId });
    return { console, requests, value: (answer.result as { readonly value: unknown }).value };
  }

  private async send(method: string, params: object, sessionId?: string): Promise<Readonly<Record<string, unknown>>> {
    const id = this.next++;
    const answer = new Promise<Message>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }));
    const { result, error } = await answer;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  private take(message: Message): void {
    if (message.id === undefined) for (const listener of this.listeners) listener(message);
    else {
      this.waiting.get(message.id)?.resolve(message);
      this.waiting.delete(message.id);
    }
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}
