import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitor, readGuestFile, Silent } from "../../machine/qmp";

interface Call {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

describe("test/machine/qmp (against a stand-in that speaks the protocol: does not prove QEMU or its agent)", () => {
  let folder: string;
  let server: Server;
  const calls: Call[] = [];

  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "qmp-"))));
  afterEach(() => {
    server.close();
    calls.length = 0;
    rmSync(folder, { recursive: true });
  });

  /** Listens, greets with these lines, and answers each call with these. */
  async function listen(
    greeting: readonly object[],
    answer: (call: Call) => readonly (object | Buffer)[],
  ): Promise<string> {
    const path = join(folder, "socket");
    server = createServer((socket) => {
      for (const line of greeting) socket.write(`${JSON.stringify(line)}\n`);
      createInterface({ input: socket }).on("line", (line) => {
        const call = JSON.parse(line.slice(line.indexOf("{"))) as Call;
        calls.push(call);
        for (const part of answer(call)) socket.write(Buffer.isBuffer(part) ? part : `${JSON.stringify(part)}\n`);
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return path;
  }

  const agent =
    (file: string) =>
    ({ execute, arguments: args }: Call): readonly (object | Buffer)[] => {
      if (execute === "guest-sync-delimited") {
        // What a conversation before was still owed, then the answer.
        return [
          { return: 7 },
          { error: { class: "GenericError", desc: "stale" } },
          Buffer.from([0xff]),
          { return: args.id },
        ];
      }
      if (execute === "guest-file-open") {
        return args.path === "/there"
          ? [{ return: 1000 }]
          : [{ error: { class: "GenericError", desc: "No such file" } }];
      }
      if (execute === "guest-file-read")
        return [{ return: { count: file.length, "buf-b64": Buffer.from(file).toString("base64"), eof: true } }];
      return [{ return: {} }];
    };

  it("reads a file as Proxmox does: in step with the agent, opened, read and closed", async () => {
    const path = await listen([], agent("ssh-ed25519 AAAA root@debian-1\n"));
    assert.equal(await readGuestFile(path, "/there"), "ssh-ed25519 AAAA root@debian-1\n");
    assert.deepEqual(
      calls.map(({ execute }) => execute),
      ["guest-sync-delimited", "guest-file-open", "guest-file-read", "guest-file-close"],
    );
    assert.deepEqual(calls[3]?.arguments, { handle: 1000 });
  });

  it("says what the agent says is wrong, and that nobody answered when nobody does", async () => {
    const path = await listen([], agent(""));
    await assert.rejects(readGuestFile(path, "/not-there"), /^Error: guest-file-open: No such file$/);
    server.close();
    const silent = await listen([], () => []);
    await assert.rejects(readGuestFile(silent, "/there", 0.05), Silent);
  });

  it("greets the monitor, and hears an event that comes before an answer", async () => {
    const path = await listen([{ QMP: { version: {}, capabilities: [] } }], ({ execute }) =>
      execute === "device_del" ? [{ event: "DEVICE_DELETED", data: {} }, { return: {} }] : [{ return: {} }],
    );
    const lines = await monitor(path);
    const gone = lines.event("DEVICE_DELETED");
    await lines.call("device_del", { id: "scsi1" });
    await gone;
    lines.close();
    assert.deepEqual(calls, [
      { execute: "qmp_capabilities", arguments: {} },
      { execute: "device_del", arguments: { id: "scsi1" } },
    ]);
  });
});
