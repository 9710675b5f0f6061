import { fork, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordingVersion, type Plan, type Recording, type Reply, type Request, type SecretTexts } from "./format";

/** A side that cannot be recorded at all; its message says what to do. */
export class SideFailure extends Error {}

/** A side's tree in a process of its own. */
export interface Side {
  record(secretTexts: SecretTexts): Promise<Recording>;
  /** After `record`. */
  plan(base: Recording): Promise<Plan>;
  end(): void;
}

/**
 * Starts the recorder of a tree, on the tree's own code and packages. Its environment is empty but for PATH and folders of its own: no token, kubeconfig or
 * passphrase of whoever runs the diff is in its reach by name.
 */
export function startSide(name: string, folder: string): Side {
  const home = mkdtempSync(join(tmpdir(), "home-cluster-diff-"));
  mkdirSync(join(home, "tmp"));
  const child = fork(join(folder, "diff", "recorder", "process.js"), [], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: home, TMPDIR: join(home, "tmp"), LANG: "C.UTF-8" },
    // Nothing of ours, such as a loader or an inspector's port.
    execArgv: [],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  child.once("exit", () => rmSync(home, { recursive: true, force: true }));
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000)));
  const ask = (request: Request): Promise<Reply> => exchange(child, request, name, () => output);
  return {
    async record(secretTexts) {
      const reply = await ask({ kind: "record", version: recordingVersion, secretTexts });
      if (reply.kind === "recording") return reply.recording;
      throw failure(name, reply);
    },
    async plan(base) {
      const reply = await ask({ kind: "plan", version: recordingVersion, base });
      if (reply.kind === "plan") return reply.plan;
      throw failure(name, reply);
    },
    end: () => void (child.connected && child.disconnect()),
  };
}

function failure(name: string, reply: Reply): SideFailure {
  return new SideFailure(`${name}: ${reply.kind === "failure" ? reply.message : `answered with a ${reply.kind}`}`);
}

function exchange(child: ChildProcess, request: Request, name: string, output: () => string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void =>
      reject(new SideFailure(`${name}: its recorder ended with ${code ?? "a signal"}\n${output().trim()}`));
    child.once("exit", ended);
    child.once("error", reject);
    child.once("message", (reply: Reply) => {
      child.off("exit", ended);
      child.off("error", reject);
      resolve(reply);
    });
    child.send(request);
  });
}
