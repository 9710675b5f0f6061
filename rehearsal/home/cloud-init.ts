import { createHash } from "node:crypto";

/** The three files of a NoCloud drive, as Proxmox generates them from a machine's settings. */
export interface CloudInitData {
  readonly user: string;
  readonly network: string;
  readonly meta: string;
  /** What stands in `meta`: a digest of the other two, so that any change makes a new instance, whose first boot applies everything again. */
  readonly instance: string;
}

type Settings = Readonly<Record<string, string | number | null | undefined>>;

/** From a machine's `name`, `ci*`, `sshkeys`, `ipconfig*`, `net*`, `nameserver`, `searchdomain`. Without DNS settings a host fills in its own; here none. */
export function cloudInitData(settings: Settings, vmId: number): CloudInitData {
  const user = userData(settings, vmId);
  const network = networkData(settings);
  const instance = createHash("sha1")
    .update(user + network)
    .digest("hex");
  return { user, network, meta: `instance-id: ${instance}\n`, instance };
}

function userData(settings: Settings, vmId: number): string {
  const name = text(settings.name) ?? `VM${vmId}`;
  const domain = text(settings.searchdomain);
  const login = text(settings.ciuser);
  const password = text(settings.cipassword);
  const keys = decodeURIComponent(text(settings.sshkeys) ?? "").split("\n");
  return lines([
    "#cloud-config",
    `hostname: ${name.split(".")[0] ?? name}`,
    "manage_etc_hosts: true",
    `fqdn: ${name.includes(".") || domain === undefined ? name : `${name}.${domain}`}`,
    ...(login === undefined ? [] : [`user: ${login}`]),
    ...(login === "root" ? ["disable_root: False"] : []),
    ...(password === undefined ? [] : [`password: ${password}`]),
    ...(settings.sshkeys === undefined ? [] : ["ssh_authorized_keys:"]),
    ...keys.filter((key) => key.trim() !== "").map((key) => `  - ${key}`),
    "chpasswd:",
    "  expire: False",
    ...(login === "root" ? [] : ["users:", "  - default"]),
    ...(settings.ciupgrade === 0 ? [] : ["package_upgrade: true"]),
  ]);
}

/** Version 1 of cloud-init's network configuration: a card is found by its MAC and named after its number. */
function networkData(settings: Settings): string {
  const cards = Object.keys(settings)
    .flatMap((key) => /^net(\d+)$/.exec(key)?.[1] ?? [])
    .filter((index) => text(settings[`ipconfig${index}`]) !== undefined)
    .sort();
  return lines([
    "version: 1",
    "config:",
    ...cards.flatMap((index) => card(index, text(settings[`net${index}`]) ?? "", text(settings[`ipconfig${index}`]))),
    "    - type: nameserver",
    ...list("address", text(settings.nameserver)),
    ...list("search", text(settings.searchdomain)),
  ]);
}

function card(index: string, net: string, ipconfig = ""): string[] {
  const mac = /(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/i.exec(net)?.[0].toLowerCase() ?? "";
  const given = new Map(ipconfig.split(",").map((part) => [part.split("=")[0], part.split("=")[1] ?? ""]));
  const [ip, gateway] = [given.get("ip"), given.get("gw")];
  const [address = "", prefix = "32"] = ip?.split("/") ?? [];
  const static4 = [
    "      - type: static",
    `        address: '${address}'`,
    `        netmask: '${netmask(Number(prefix))}'`,
    ...(gateway === undefined ? [] : [`        gateway: '${gateway}'`]),
  ];
  return [
    "    - type: physical",
    `      name: eth${index}`,
    `      mac_address: '${mac}'`,
    "      subnets:",
    ...(ip === undefined ? [] : ip === "dhcp" ? ["      - type: dhcp4"] : static4),
  ];
}

function list(name: string, values: string | undefined): string[] {
  const found = values?.split(/\s+/).filter(Boolean) ?? [];
  return found.length === 0 ? [] : [`      ${name}:`, ...found.map((value) => `      - '${value}'`)];
}

function netmask(prefix: number): string {
  return [0, 8, 16, 24].map((before) => 256 - 2 ** (8 - Math.min(8, Math.max(0, prefix - before)))).join(".");
}

function text(value: string | number | null | undefined): string | undefined {
  return value === undefined || value === null ? undefined : String(value);
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}
