import { Refusal } from "../../operations/refusal";
import { ask, type Purpose } from "./web";

/** An image by name and tag, as versions.ts has it. */
export interface Image {
  readonly repository: string;
  readonly tag: string;
}

/** Where a registry's API answers. Docker Hub's is not under the name that images carry. */
export function registryUrl(host: string): string {
  return host === "docker.io" ? "https://registry-1.docker.io" : `https://${host}`;
}

/** The index of all platforms first, which is what a multi-platform tag must be pinned to; a single manifest where there is no index. */
const accept = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/**
 * The digest that an image's tag stands for now: HEAD of its manifest, which counts against no pull limit, with the anonymous token that the registry asks
 * for (distribution.github.io, "Token Authentication"). Ours and not a client library's, which would pull layers; this is two requests.
 */
export async function resolveDigest(path: string, image: Image, urlOf: (host: string) => string): Promise<string> {
  const { host, name } = split(image.repository);
  const purpose: Purpose = {
    what: `${path}: ${image.repository}:${image.tag} not resolved`,
    next: `mend ${path.replace(/\.[^.]*$/, "")} in versions.ts, then npm run pin`,
  };
  const url = `${urlOf(host)}/v2/${name}/manifests/${image.tag}`;
  const head = (token?: string): ReturnType<typeof ask> =>
    ask(url, purpose, { method: "HEAD", headers: { accept, ...(token && { authorization: `Bearer ${token}` }) } });

  let response = await head();
  const challenge = response.headers.get("www-authenticate");
  if (response.status === 401 && challenge !== null) response = await head(await fetchToken(challenge, name, purpose));
  if (response.status === 401 || response.status === 403) {
    throw new Refusal({
      ...purpose,
      why: `${url}: ${response.status}, no such public image: it is private, or its name is wrong`,
    });
  }
  if (response.status === 404) throw new Refusal({ ...purpose, why: `${url}: 404, the registry has no such tag` });
  if (response.status !== 200) {
    throw new Refusal({
      ...purpose,
      why: `${url}: ${response.status} ${response.statusText}`,
      next: "npm run pin, later",
    });
  }
  const digest = response.headers.get("docker-content-digest") ?? "";
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) {
    throw new Refusal({
      ...purpose,
      why: `${url}: the registry's docker-content-digest is "${digest}", which is no sha256 digest`,
    });
  }
  return digest;
}

/** The anonymous token that a registry's challenge names the place of. */
async function fetchToken(challenge: string, name: string, purpose: Purpose): Promise<string> {
  const given: Partial<Record<string, string>> = {};
  for (const [, key = "", value] of challenge.matchAll(/(\w+)="([^"]*)"/g)) given[key] = value;
  if (!/^bearer /i.test(challenge) || given.realm === undefined || !URL.canParse(given.realm)) {
    throw new Refusal({ ...purpose, why: `the registry asks for a log-in that is no bearer token: ${challenge}` });
  }
  const url = new URL(given.realm);
  if (given.service !== undefined) url.searchParams.set("service", given.service);
  url.searchParams.set("scope", given.scope ?? `repository:${name}:pull`);
  const response = await ask(url.href, purpose);
  if (response.status !== 200) {
    throw new Refusal({ ...purpose, why: `${url.href}: ${response.status}, the registry gives no anonymous token` });
  }
  const body: unknown = await response.json().catch(() => undefined);
  const token = isRecord(body) ? (body.token ?? body.access_token) : undefined;
  if (typeof token !== "string") {
    throw new Refusal({ ...purpose, why: `${url.href}: the answer holds no token`, next: "npm run pin, later" });
  }
  return token;
}

/** Docker's rule: the first part is a host when it looks like one, and Docker Hub's official images are in `library`. */
export function split(repository: string): { readonly host: string; readonly name: string } {
  const [first = "", ...rest] = repository.split("/");
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const host = isHost ? first : "docker.io";
  const name = isHost ? rest.join("/") : repository;
  return { host, name: host === "docker.io" && !name.includes("/") ? `library/${name}` : name };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
