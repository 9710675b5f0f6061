import type { Check } from "../../rehearsal/simulators/proxmox/access";
import { driveNeeds, optionNeeds, readNeeds, resourceNeeds } from "../../rehearsal/simulators/proxmox/needs";
import { isDrive } from "../../rehearsal/simulators/proxmox/settings";
import type { Logged } from "../../rehearsal/simulators/server";
import { find, type PveSchema } from "./pve-schema";

/** The privileges that the requests of a log need of the token, by path, with `{…}` for the parts that name one thing of a kind. */
export function privilegesOf(schema: PveSchema, log: readonly Logged[]): Record<string, string[]> {
  const checks = log.flatMap((request) => {
    const found = find(schema, request);
    if (!found) return [];
    const { path, method, parameters } = found;
    const asked = method.permissions?.check === undefined ? [] : [fromSchema(method.permissions.check)];
    return [...asked, ...besideSchema(`${request.method} ${path}`, parameters)];
  });
  const needed = new Map<string, Set<string>>();
  const has = ([, path, privileges]: Perm): boolean => privileges.every((one) => needed.get(pattern(path))?.has(one));
  const add = ([, path, privileges]: Perm): void => {
    for (const one of privileges) needed.set(pattern(path), (needed.get(pattern(path)) ?? new Set()).add(one));
  };
  // First what leaves no choice; then, of each choice that this does not settle, the smallest, and of equals the first.
  const all = checks.map(alternatives);
  for (const choice of all) if (choice.length === 1) choice[0]?.forEach(add);
  for (const choice of all) {
    const smallest = [...choice].sort((a, b) => size(a) - size(b))[0] ?? [];
    if (!choice.some((perms) => perms.every(has))) smallest.forEach(add);
  }
  return Object.fromEntries([...needed].sort().map(([path, privileges]) => [path, [...privileges].sort()]));
}

type Perm = readonly ["perm", path: string, privileges: readonly string[]];

const size = (perms: readonly Perm[]): number => perms.reduce((sum, [, , privileges]) => sum + privileges.length, 0);

/** The schema writes options of a check as further items: `["perm", path, privileges, "any", 1]`. */
export function fromSchema(check: readonly unknown[]): Check {
  const [kind, ...rest] = check;
  if (kind === "and" || kind === "or") return [kind, ...rest.map((part) => fromSchema(part as readonly unknown[]))];
  if (kind !== "perm") throw new Error(`a check of a kind that nobody asked for yet: ${JSON.stringify(check)}`);
  const [path, privileges, any] = rest as [string, readonly string[], string?];
  return any === "any" ? ["perm", path, privileges, "any"] : ["perm", path, privileges];
}

/** The ways to pass a check, each with all that it takes. */
function alternatives(check: Check): Perm[][] {
  if (check === "all") return [];
  if (check[0] === "perm") {
    const [, path, privileges, any] = check;
    return any === "any" ? privileges.map((one) => [["perm", path, [one]]]) : [[["perm", path, privileges]]];
  }
  const parts = (check.slice(1) as Check[]).map(alternatives);
  if (check[0] === "or") return parts.flat();
  return parts.reduce<Perm[][]>((sums, part) => sums.flatMap((sum) => part.map((more) => [...sum, ...more])), [[]]);
}

/**
 * What the schema cannot say, because it depends on parameters (see needs.ts), and what a list leaves out for a token that may not see it (PVE::API2::Cluster,
 * Storage::Status). Not what the list of pools leaves out: the provider looks there for the pool of a machine, and ours are in none.
 */
function besideSchema(name: string, parameters: Readonly<Record<string, string>>): readonly Check[] {
  const vmId = Number(parameters.vmid);
  const root: Check = ["perm", "/", ["root@pam"]];
  const { delete: removed = "", ...given } = parameters;
  const options = Object.fromEntries(Object.entries(given).filter(([key]) => !/^(node|vmid|digest)$/.test(key)));
  const modify = (names: readonly string[]): readonly Check[] =>
    names.flatMap((option) => optionNeeds(vmId, option) ?? [root]);
  switch (name) {
    case "GET /cluster/resources":
      return [["perm", "/vms/{vmid}", ["VM.Audit"]]];
    case "GET /nodes/{node}/storage":
      return [["perm", "/storage/{storage}", ["Datastore.Audit"]]];
    case "GET /nodes/{node}/storage/{storage}/content/{volume}":
      return readNeeds(parameters.volume ?? "");
    case "DELETE /nodes/{node}/storage/{storage}/content/{volume}":
      return [["perm", "/storage/{storage}", ["Datastore.Allocate"]]];
    case "POST /nodes/{node}/qemu":
      return [
        ["perm", "/vms/{vmid}", ["VM.Allocate"]],
        ...modify(Object.keys(options)),
        ...resourceNeeds(vmId, options),
      ];
    case "PUT /nodes/{node}/qemu/{vmid}/config": {
      const gone = removed.split(/[,; ]+/).filter(Boolean);
      const drives = [...Object.entries(options), ...gone.map((option) => [option, ""] as const)]
        .filter(([option]) => isDrive(option))
        .map(([, value]) => driveNeeds(vmId, value));
      return [...modify([...Object.keys(options), ...gone]), ...resourceNeeds(vmId, options), ...drives];
    }
    case "PUT /nodes/{node}/qemu/{vmid}/resize":
      return [["perm", "/storage/{storage}", ["Datastore.AllocateSpace"]]];
    default:
      return [];
  }
}

/** A path with what it names left open. */
function pattern(path: string): string {
  return path
    .replace(/^\/(vms|storage|nodes|pool)\/[^/]+$/, (_, kind: string) => `/${kind}/{${names[kind] ?? ""}}`)
    .replace(
      /^\/sdn\/zones\/[^/]+\/[^/]+(\/[^/]+)?$/,
      (_, vlan?: string) => `/sdn/zones/{zone}/{bridge}${vlan ? "/{vlan}" : ""}`,
    );
}

const names: Readonly<Record<string, string>> = { vms: "vmid", storage: "storage", nodes: "node", pool: "poolid" };

/** Every privilege in it, whatever the path: what a role on `/` must have. */
export function roleOf(privileges: Readonly<Record<string, readonly string[]>>): string[] {
  return [...new Set(Object.values(privileges).flat())].sort();
}
