import { spawn, type ChildProcess } from "node:child_process";
import { get } from "node:http";
import { join } from "node:path";
import { root } from "../../support/environment";

/** One connection of its own, given up after so many milliseconds. */
interface Question {
  readonly id: number;
  readonly url: string;
  readonly patience: number;
}

export interface Reply {
  readonly id: number;
  /** What came back; without it there was no answer. */
  readonly body?: string;
  readonly status?: number;
  /** Milliseconds of this machine's clock, when it was asked and when it was over. */
  readonly asked: number;
  readonly over: number;
}

/**
 * A client that stands in a namespace and asks when it is told to. A process for many questions, since one for each would take longer than what is measured.
 * It ends with this process.
 */
export class Visitor {
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private last = 0;

  private constructor(private readonly child: ChildProcess) {
    child.on("message", (message) => {
      const reply = message as Reply;
      this.waiting.get(reply.id)?.(reply);
      this.waiting.delete(reply.id);
    });
  }

  /** `around`: what a command line begins with to run where the client stands. */
  static start(around: readonly string[]): Visitor {
    const [first = "", ...rest] = [...around, "setpriv", "--pdeathsig", "KILL", process.execPath];
    const program = ["--require", join(root, "test", "register.js"), __filename];
    return new Visitor(spawn(first, [...rest, ...program], { stdio: ["ignore", "inherit", "inherit", "ipc"] }));
  }

  ask(url: string, patience = 1500): Promise<Reply> {
    const question: Question = { id: (this.last += 1), url, patience };
    return new Promise((resolve) => {
      this.waiting.set(question.id, resolve);
      this.child.send(question);
    });
  }

  stop(): void {
    this.child.kill("SIGKILL");
  }
}

function answer({ id, url, patience }: Question): void {
  const asked = Date.now();
  let done = false;
  const reply = (said: Pick<Reply, "body" | "status">): void => {
    if (done || !process.connected) return;
    done = true;
    process.send?.({ id, asked, over: Date.now(), ...said } satisfies Reply);
  };
  const request = get(url, { agent: false }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (part: string) => (body += part));
    response.once("end", () => reply({ body, status: response.statusCode ?? 0 }));
  });
  const limit = setTimeout(() => request.destroy(), patience);
  request.on("error", () => undefined);
  request.once("close", () => {
    clearTimeout(limit);
    reply({});
  });
}

if (require.main === module) {
  process.on("message", (question) => answer(question as Question));
  process.on("disconnect", () => process.exit());
}
