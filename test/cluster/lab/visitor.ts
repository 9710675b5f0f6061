import { get } from "node:http";

/**
 * A client that asks when it is told to. In a process of its own because it stands in a namespace of its own: one for many requests, since a process each
 * would take longer than what is measured.
 */

/** A question: one connection of its own, given up after so many milliseconds. */
export interface Question {
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

function ask({ id, url, patience }: Question): void {
  const asked = Date.now();
  const reply = (answer: Pick<Reply, "body" | "status">): void => {
    if (process.connected) process.send?.({ id, asked, over: Date.now(), ...answer } satisfies Reply);
  };
  const request = get(url, { agent: false, timeout: patience }, (response) => {
    let body = "";
    response.setEncoding("utf8").on("data", (part: string) => (body += part));
    response.once("end", () => reply({ body, status: response.statusCode ?? 0 }));
    response.once("error", () => reply({}));
  });
  const limit = setTimeout(() => request.destroy(new Error("too late")), patience);
  request.once("error", () => reply({})).once("close", () => clearTimeout(limit));
}

process.on("message", (question) => ask(question as Question));
process.on("disconnect", () => process.exit());
