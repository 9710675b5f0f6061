import { until } from "./processes";
import type { Reply, Visitor } from "./visitor";

/** Milliseconds between two questions, and so what a measured time may be too long by. */
const every = 50;

/** Asks a client all the time while something is done, and until `look` no longer throws at the replies so far, in the order of their ends. */
async function askWhile<T>(
  { visitor, url }: Asked,
  what: string,
  act: () => Promise<unknown>,
  look: (replies: readonly Reply[]) => T,
): Promise<T> {
  const replies: Reply[] = [];
  const questions = setInterval(() => void visitor.ask(url).then((reply) => replies.push(reply)), every);
  try {
    await act();
    return await until(what, () => look(replies));
  } finally {
    clearInterval(questions);
  }
}

export interface Asked {
  readonly visitor: Visitor;
  readonly url: string;
}

/** Milliseconds from a node's end until another has answered. `kill` ends it and says when that was. */
export async function failover(asked: Asked, kill: () => Promise<number>): Promise<number> {
  let at = 0;
  const act = async (): Promise<number> => (at = await kill());
  const first = await askWhile(asked, "another node answers", act, (replies) => {
    const found = replies.find((reply) => reply.asked >= at && reply.body !== undefined);
    if (found) return found;
    throw new Error(`${replies.length} questions without an answer`);
  });
  return first.over - at;
}

/** The longest time in milliseconds between two answers, while something is done and until an answer is `last`. */
export async function silenceWhile(
  asked: Asked,
  act: () => Promise<void>,
  last: (body: string) => boolean,
): Promise<number> {
  return askWhile(asked, "the last answer is there", act, (replies) => {
    const answers = replies.filter(({ body }) => body !== undefined);
    const body = answers.at(-1)?.body ?? "no answer";
    if (!last(body)) throw new Error(body);
    return Math.max(0, ...answers.slice(1).map(({ over }, index) => over - (answers[index]?.over ?? over)));
  });
}

/** `3 times: min 5.6 s, median 5.7 s, max 6.1 s`. */
export function spread(milliseconds: readonly number[]): string {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? NaN;
  const last = sorted.length - 1;
  const figures = { min: at(0), median: (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2, max: at(last) };
  const said = Object.entries(figures).map(([name, time]) => `${name} ${(time / 1000).toFixed(1)} s`);
  return `${sorted.length} times: ${said.join(", ")}`;
}
