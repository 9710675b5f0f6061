import { ApiError, wrongParameter } from "./errors";

/** What a running task may use. */
export interface Work {
  /** Milliseconds; 0 passes at once. Ends in an error when the task is stopped meanwhile. */
  readonly pause: (milliseconds: number) => Promise<void>;
  readonly print: (line: string) => void;
}

/** A worker of a host: what it does goes on after the request that started it was answered. */
export interface Task {
  readonly upid: string;
  readonly host: string;
  readonly type: string;
  readonly id: string;
  readonly user: string;
  /** Seconds since the epoch. */
  readonly started: number;
  readonly pid: number;
  readonly log: string[];
  /** `OK`, or what it died of; undefined while it runs. */
  exit: string | undefined;
  readonly ended: Promise<void>;
  readonly stop: () => void;
}

export class Tasks {
  private readonly all = new Map<string, Task>();
  /** Ends each pause that a task is in. */
  private readonly pauses = new Set<() => void>();
  private pid = 0xab00;

  /** Starts a task and answers its UPID. What needs no time is done by then, so that the first look finds it finished. */
  async start(
    host: string,
    user: string,
    type: string,
    id: string,
    run: (work: Work) => Promise<void>,
  ): Promise<string> {
    const [pid, started] = [(this.pid += 1), Math.floor(Date.now() / 1000)];
    const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
    const upid = `UPID:${host}:${hex(pid)}:${hex(pid * 100)}:${hex(started)}:${type}:${id}:${user}:`;
    const stopped = new AbortController();
    const log: string[] = [];
    const work: Work = {
      pause: (milliseconds) => this.pause(milliseconds, stopped.signal),
      print: (line) => void log.push(line),
    };
    const ended = run(work).then(
      () => this.end(task, "OK", "TASK OK"),
      (error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        this.end(task, why, `TASK ERROR: ${why}`);
      },
    );
    const stop = (): void => stopped.abort();
    const task: Task = { upid, host, type, id, user, started, pid, log, exit: undefined, ended, stop };
    this.all.set(upid, task);
    await Promise.race([ended, new Promise((resolve) => setImmediate(resolve))]);
    return upid;
  }

  find(host: string, upid: string): Task {
    if (!/^UPID:([^:]+):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:]+):([^:]*):([^:]+):$/.test(upid))
      throw wrongParameter("upid", "unable to parse worker upid");
    const task = this.all.get(upid);
    if (task?.host !== host) throw new ApiError(400, "Parameter verification failed.", { upid: "no such task" });
    return task;
  }

  /** Resolves once nothing runs any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.all.values()].map((task) => task.ended));
  }

  /** Ends the pauses in which tasks are now, as if their time had passed. */
  hurry(): void {
    for (const end of [...this.pauses]) end();
  }

  private pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds <= 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const over = (settle: () => void) => (): void => {
        clearTimeout(timer);
        this.pauses.delete(end);
        signal.removeEventListener("abort", stop);
        settle();
      };
      const end = over(resolve);
      const stop = over(() => reject(new Error("interrupted by signal")));
      const timer = setTimeout(end, milliseconds);
      this.pauses.add(end);
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  private end(task: Task, exit: string, line: string): void {
    task.log.push(line);
    task.exit = exit;
  }
}

/** As `GET …/status` shows it; a token's owner and name apart. */
export function statusOf(task: Task): Record<string, string | number> {
  const [user = "", token] = task.user.split("!");
  return {
    upid: task.upid,
    node: task.host,
    pid: task.pid,
    pstart: task.pid * 100,
    starttime: task.started,
    type: task.type,
    id: task.id,
    user,
    ...(token !== undefined && { tokenid: token }),
    ...(task.exit === undefined ? { status: "running" } : { status: "stopped", exitstatus: task.exit }),
  };
}
