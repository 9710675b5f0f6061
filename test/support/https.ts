import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Seen {
  readonly method: string;
  /** Undecoded, with its query. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

export interface Reply {
  readonly status?: number;
  readonly reason?: string;
  readonly body?: unknown;
  /** Ends the connection instead of answering. */
  readonly hangUp?: boolean;
}

interface Certificates {
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
}

/** A private CA and a certificate of it for 127.0.0.1, made once per process: its key never leaves this machine's temporary folder. */
export function certificates(): Certificates {
  return (made ??= make(2));
}

/** The same, but the certificate ended yesterday. */
export function expiredCertificates(): Certificates {
  return make(-1);
}

let made: Certificates | undefined;

function make(days: number): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "tls-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2");
  openssl("req", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server");
  writeFileSync(join(folder, "san"), "subjectAltName=IP:127.0.0.1");
  openssl(
    ...["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-out", "server.pem", "-days", String(days), "-extfile", "san"],
  );
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const files = { ca: read("ca.pem"), key: read("server.key"), cert: read("server.pem") };
  rmSync(folder, { recursive: true });
  return files;
}

/** An HTTPS server on loopback that keeps what it was asked and answers as a test says. */
export class TestServer {
  readonly seen: Seen[] = [];
  answer: (request: Seen) => Reply = () => ({});
  private constructor(
    private readonly server: Server,
    readonly ca: string,
  ) {}

  static async start({ ca, key, cert } = certificates()): Promise<TestServer> {
    const server = createServer({ key, cert });
    const test = new TestServer(server, ca);
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { method = "", url = "", headers } = request;
        const seen = {
          method,
          path: url,
          authorization: headers.authorization,
          body: Buffer.concat(chunks).toString(),
        };
        test.seen.push(seen);
        const { status = 200, reason, body, hangUp } = test.answer(seen);
        if (hangUp) return void request.socket.destroy();
        response.writeHead(status, reason, { "content-type": "application/json" });
        response.end(typeof body === "string" ? body : JSON.stringify(body ?? {}));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return test;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
