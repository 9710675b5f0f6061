import { Agent, request } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import type { StoredObject } from "../../../operations/clients";

/** What the API server answered, its warnings with it. */
export interface Reply {
  readonly status: number;
  readonly body: unknown;
  /** Texts of its `Warning` headers, which no client library of ours shows. */
  readonly warnings: readonly string[];
}

export interface Send {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
}

/** The API server as anybody may speak to it: nothing is added to a request, and nothing left out of an answer. */
export class ApiClient {
  private readonly server: string;
  private readonly agent: Agent;
  private readonly kinds = new Map<string, Promise<readonly ApiResource[]>>();

  constructor(kubeconfig: string) {
    const config = new KubeConfig();
    config.loadFromString(kubeconfig);
    const pem = (base64 = ""): string => Buffer.from(base64, "base64").toString("utf8");
    this.server = config.getCurrentCluster()?.server ?? "";
    this.agent = new Agent({
      keepAlive: true,
      ca: pem(config.getCurrentCluster()?.caData),
      cert: pem(config.getCurrentUser()?.certData),
      key: pem(config.getCurrentUser()?.keyData),
    });
  }

  async send(method: string, path: string, { query = {}, body, contentType }: Send = {}): Promise<Reply> {
    const search = new URLSearchParams(query).toString();
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.server}${path}${search === "" ? "" : `?${search}`}`,
        {
          method,
          agent: this.agent,
          timeout: 30_000,
          headers: {
            accept: "application/json",
            // The length too: Node sends a DELETE's body without, and the server takes it for the next request.
            ...(text !== undefined && {
              "content-type": contentType ?? "application/json",
              "content-length": Buffer.byteLength(text),
            }),
          },
        },
        (response) => {
          let answer = "";
          response.setEncoding("utf8").on("data", (part: string) => (answer += part));
          response.once("error", reject).once("end", () => {
            const { warning = [] } = response.headersDistinct;
            resolve({
              status: response.statusCode ?? 0,
              body: response.headers["content-type"] === "application/json" ? (JSON.parse(answer) as unknown) : answer,
              warnings: warning.map(textOf),
            });
          });
        },
      );
      sent
        .once("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer within 30 s`)))
        .once("error", reject)
        .end(text);
    });
  }

  /** Where objects of this kind are (the collection), and this one; by discovery. Throws for a kind that the server does not have. */
  async paths(object: StoredObject): Promise<{ readonly all: string; readonly one: string }> {
    const { apiVersion = "", kind = "", metadata } = object;
    const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const found = (await this.resources(root)).find(
      (resource) => resource.kind === kind && !resource.name.includes("/"),
    );
    if (!found) throw new Error(`no matches for kind "${kind}" in version "${apiVersion}"`);
    const { namespace = "default", name = "" } = metadata ?? {};
    const all = [root, ...(found.namespaced ? ["namespaces", namespace] : []), found.name].join("/");
    return { all, one: `${all}/${encodeURIComponent(name)}` };
  }

  close(): void {
    this.agent.destroy();
  }

  /** Asked once a group; again while it has not what was looked for, since CRDs come later. */
  private async resources(root: string): Promise<readonly ApiResource[]> {
    const known = this.kinds.get(root) ?? this.discover(root);
    this.kinds.set(root, known);
    const found = await known;
    if (found.length === 0) this.kinds.delete(root);
    return found;
  }

  private async discover(root: string): Promise<readonly ApiResource[]> {
    const { status, body } = await this.send("GET", root);
    return status === 200 ? ((body as { resources?: ApiResource[] }).resources ?? []) : [];
  }
}

/** `299 - "a quoted text"`. */
function textOf(warning: string): string {
  return (/^\d+ \S+ "(.*)"$/.exec(warning)?.[1] ?? warning).replaceAll(/\\(.)/g, "$1");
}

interface ApiResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}
