import type { HomeState } from "../../home/state";
import { ApiError, forbidden } from "./errors";

/** Privileges by path, each path's own set standing for everything below it until another path says otherwise; or `all`, the administrator's. */
export type Grant = "all" | Readonly<Record<string, readonly string[]>>;

/** What a method asks of the caller before anything else, in the form of Proxmox's API schema; `any`: one of the privileges will do. */
export type Check =
  | "all"
  | readonly ["perm", path: string, privileges: readonly string[], which?: "any"]
  | readonly ["and" | "or", ...Check[]];

/** Whose token a request carries. */
export class User {
  constructor(
    /** `user@realm!name`. */
    readonly name: string,
    private readonly grant: Grant,
  ) {}

  /** Paths with an entry of their own, and those that Proxmox always lists. */
  get paths(): readonly string[] {
    const usual = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
    return [...new Set([...usual, ...(this.grant === "all" ? [] : Object.keys(this.grant))])];
  }

  /** undefined: every privilege there is. */
  privileges(path: string): readonly string[] | undefined {
    if (this.grant === "all") return undefined;
    const nearest = Object.keys(this.grant)
      .filter((above) => above === "/" || above === path || path.startsWith(`${above}/`))
      .sort((a, b) => b.length - a.length)[0];
    return nearest === undefined ? [] : this.grant[nearest];
  }

  may(path: string, privilege: string): boolean {
    return this.privileges(path)?.includes(privilege) ?? true;
  }

  /** Throws Proxmox's 403 unless the token has all of them. */
  need(path: string, ...privileges: readonly string[]): void {
    const missing = privileges.find((privilege) => !this.may(path, privilege));
    if (missing !== undefined) throw forbidden(`${path}, ${missing}`);
  }

  needAny(path: string, ...privileges: readonly string[]): void {
    if (!privileges.some((privilege) => this.may(path, privilege))) throw forbidden(`${path}, ${privileges.join("|")}`);
  }

  /** Throws unless the check passes; `{name}` in its paths stands for a parameter. */
  pass(check: Check, parameters: Readonly<Record<string, string>> = {}): void {
    if (check === "all") return;
    const [kind] = check;
    if (kind === "and") for (const part of check.slice(1)) this.pass(part as Check, parameters);
    else if (kind === "or") {
      if (!check.slice(1).some((part) => this.passes(part as Check, parameters))) throw forbidden();
    } else {
      const [, template, privileges, which] = check as Extract<Check, readonly ["perm", ...unknown[]]>;
      const path = template.replace(/\{(\w+)\}/g, (_, name: string) => parameters[name] ?? "");
      if (which === "any") this.needAny(path, ...privileges);
      else this.need(path, ...privileges);
    }
  }

  private passes(check: Check, parameters: Readonly<Record<string, string>>): boolean {
    try {
      this.pass(check, parameters);
      return true;
    } catch {
      return false;
    }
  }
}

/**
 * Whose request it is. Without `tokens`, any well-formed token is one, with what the home says that the token may do. The words are those of Proxmox VE up to
 * 9.1.4; later ones say `Authentication failed!` for all but a missing token.
 */
export function authenticate(
  authorization: string | undefined,
  tokens: Readonly<Record<string, Grant>> | undefined,
  home: HomeState,
): User {
  const refused = (why: string): ApiError => new ApiError(401, why);
  const token = /^PVEAPIToken=(.*)$/.exec(authorization ?? "")?.[1];
  if (token === undefined) throw refused("No ticket");
  const [, id = "", user = "", name = ""] = /^((\S+@\S+)!([^=\s]+))=[\w-]+$/.exec(token) ?? [];
  if (id === "") throw refused("no tokenid specified");
  if (tokens === undefined) return new User(id, home.proxmox.privileges);
  const grant = tokens[token];
  if (grant !== undefined) return new User(id, grant);
  const known = Object.keys(tokens).map((other) => other.slice(0, other.lastIndexOf("=")));
  if (known.includes(id)) throw refused("invalid token value!");
  if (known.some((other) => other.startsWith(`${user}!`))) throw refused(`no such token '${name}' for user '${user}'`);
  throw refused(`no such user ('${user}')`);
}
