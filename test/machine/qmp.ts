import { randomInt } from "node:crypto";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { z } from "zod";

/** One of the three; what is none of them (the monitor's greeting) is left unread. */
const answer = z.union([
  z.object({ return: z.unknown().refine((value) => value !== undefined) }),
  z.object({ error: z.object({ desc: z.string() }) }),
  z.object({ event: z.string() }),
]);
type Answer = z.infer<typeof answer>;

/** One conversation in QEMU's line protocol: with QEMU itself (its monitor) or with the agent in the guest. */
export class JsonLines {
  private readonly waiting: ((found: Answer) => boolean)[] = [];

  private constructor(private readonly socket: Socket) {
    createInterface({ input: socket }).on("line", (line) => {
      // The agent begins an answer to guest-sync-delimited with a byte that is in no JSON.
      const start = line.indexOf("{");
      const found = start < 0 ? undefined : answer.safeParse(JSON.parse(line.slice(start)));
      if (!found?.success) return;
      const index = this.waiting.findIndex((takes) => takes(found.data));
      if (index >= 0) this.waiting.splice(index, 1);
    });
  }

  static async open(path: string): Promise<JsonLines> {
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.on("error", () => undefined);
    return new JsonLines(socket);
  }

  /** Rejects with what the other side says is wrong, and when nothing comes within this time. */
  async call(
    execute: string,
    args: object = {},
    { seconds = 30, fits = (found: Answer) => !("event" in found) } = {},
  ): Promise<unknown> {
    const answered = this.next(fits, execute, seconds);
    this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const found = await answered;
    if ("error" in found) throw new Error(`${execute}: ${found.error.desc}`);
    return "return" in found ? found.return : undefined;
  }

  /** Waits for an event of the monitor. Ask before doing what brings it about. */
  async event(name: string, seconds = 60): Promise<void> {
    await this.next((found) => "event" in found && found.event === name, name, seconds);
  }

  /** Sends what is not a command. */
  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  close(): void {
    this.socket.destroy();
  }

  private next(fits: (found: Answer) => boolean, what: string, seconds: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const takes = (found: Answer): boolean => {
        if (!fits(found)) return false;
        clearTimeout(timer);
        resolve(found);
        return true;
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(takes), 1);
        reject(new Silent(`${what}: no answer within ${seconds} s`));
      }, seconds * 1000);
      this.waiting.push(takes);
    });
  }
}

/** Nobody answered in time. */
export class Silent extends Error {}

/** QEMU's monitor. */
export async function monitor(path: string): Promise<JsonLines> {
  const lines = await JsonLines.open(path);
  await lines.call("qmp_capabilities");
  return lines;
}

/**
 * A file of the guest, as Proxmox's agent/file-read gets it: from the agent in there. Throws Silent while none answers, which takes so many seconds to find out.
 */
export async function readGuestFile(path: string, name: string, seconds = 3): Promise<string> {
  const agent = await JsonLines.open(path);
  try {
    // Ends whatever a conversation before left half-said; answers that nobody waited for any more come before the one with this number.
    const id = randomInt(2 ** 31);
    agent.send(Buffer.from([0xff]));
    await agent.call(
      "guest-sync-delimited",
      { id },
      { seconds, fits: (found) => "return" in found && found.return === id },
    );
    const handle = z.int().parse(await agent.call("guest-file-open", { path: name, mode: "r" }));
    const read = z.object({ "buf-b64": z.string() }).parse(await agent.call("guest-file-read", { handle }));
    await agent.call("guest-file-close", { handle });
    return Buffer.from(read["buf-b64"], "base64").toString("utf8");
  } finally {
    agent.close();
  }
}
