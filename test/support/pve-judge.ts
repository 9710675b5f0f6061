import type { Logged } from "../../rehearsal/simulators/server";
import { find, type PveSchema, type Schema, type Wording } from "./pve-schema";

/** What is wrong with the requests of a log and their answers; empty when Proxmox's schema agrees with all of it. */
export function judge(schema: PveSchema, log: readonly Logged[]): string[] {
  return [...new Set(log.flatMap((request) => judgeOne(schema, request)))];
}

function judgeOne(schema: PveSchema, request: Logged): string[] {
  const found = find(schema, request);
  const name = `${request.method} ${found?.path ?? request.path}`;
  if (!found) return [`${name}: no such method`];
  const { method, parameters } = found;
  const problems = [
    ...(method.allowtoken === 1 ? [] : ["not for tokens"]),
    ...checkObject(parameters, method.parameters ?? {}, "", "request"),
    ...judgeReply(schema, request.reply, method.returns),
  ];
  return problems.map((problem) => `${name}: ${problem}`);
}

function judgeReply(schema: PveSchema, reply: Logged["reply"], returns: Schema = {}): string[] {
  if (reply === undefined || reply === "reset") return [];
  const { status, body, reason = "" } = reply;
  if (status === 401)
    return body === undefined && reason !== "" ? [] : ["a 401 has its words in the status line alone"];
  const { data, message, errors } = (body ?? {}) as { data?: unknown; message?: unknown; errors?: object };
  if (status < 300) return data === undefined ? ["no data in the answer"] : check(data, returns, "answer", "answer");
  if (data !== null || typeof message !== "string" || !message.endsWith("\n")) return ["an error without a message"];
  const said = message.trim();
  if (status === 403) return /^Permission check failed( \(.+\))?$/.test(said) ? [] : [`no words of Proxmox: ${said}`];
  if (status === 400)
    return said === "Parameter verification failed." && errors ? [] : [`no words of Proxmox: ${said}`];
  return knownWords(schema, said) ? [] : [`${status}, no words of Proxmox: ${said}`];
}

/** Said by modules that the list of refusals does not reach. */
const otherWords = [
  // PVE::Cluster::check_vmid_unused
  /^unable to create VM \d+ - VM \d+ already exists on node '[\w-]+'$/,
  // PVE::API2::Qemu::create_disks
  /^volume \S+ does not exist$/,
  // PVE::AbstractConfig::check_lock, for a machine
  /^VM is locked \(\w+\)$/,
  // PVE::QemuServer::Agent
  /^No QEMU guest agent configured$/,
  /^VM \d+ is not running$/,
  /^QEMU guest agent is not running$/,
  // The guest agent itself, through PVE::QemuServer::Agent::check_agent_error
  /^Agent error: failed to open file '[^']+' \(mode: 'r'\): No such file or directory$/,
  // PVE::Tools
  /^hostname lookup '[^']+' failed - failed to get address info for: [^:]+: Name or service not known$/,
];

function knownWords({ refusals }: PveSchema, said: string): boolean {
  const fits = ({ message }: Wording): boolean =>
    new RegExp(
      `^${message
        .trim()
        .split(/\{\w+\}/)
        .map(escaped)
        .join(".+")}$`,
    ).test(said);
  return refusals.some(fits) || otherWords.some((words) => words.test(said));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Requests are forms, where everything is text; in an answer, numbers and flags must be numbers: the provider reads a flag `"1"` as off. */
type Side = "request" | "answer";

function checkObject(value: object, schema: Schema, where: string, side: Side): string[] {
  const properties = schema.properties ?? {};
  const at = (name: string): string => (where === "" ? name : `${where}.${name}`);
  const given = Object.entries(value) as [string, unknown][];
  const schemaOf = (name: string): Schema | undefined =>
    properties[name] ?? properties[name.replace(/^([a-z]+)\d+$/, "$1[n]")];
  return [
    ...given.flatMap(([name, item]) => {
      const expected = schemaOf(name);
      if (expected?.requires !== undefined && !(expected.requires in value))
        return [`${at(name)}: needs ${expected.requires}`];
      if (expected) return check(item, expected, at(name), side);
      const more = schema.additionalProperties;
      if (typeof more === "object") return check(item, more, at(name), side);
      return more === 0 ? [`${at(name)}: not in the schema`] : [];
    }),
    ...Object.entries(properties)
      .filter(
        ([name, { optional, alias }]) =>
          optional !== 1 && alias === undefined && !(name in value) && !name.endsWith("[n]"),
      )
      .map(([name]) => `${at(name)}: is missing`),
  ];
}

function check(value: unknown, schema: Schema, where: string, side: Side): string[] {
  const wrong = (what: string): string[] => [`${where}: ${what}: ${JSON.stringify(value)}`];
  if (schema.type === "null") return value === null ? [] : wrong("not null");
  if (value === null) return schema.optional === 1 ? [] : wrong(`null, not ${schema.type ?? "a value"}`);
  if (schema.type === "array") {
    if (!Array.isArray(value)) return wrong("not a list");
    return value.flatMap((item: unknown) => check(item, schema.items ?? {}, `${where}[]`, side));
  }
  if (schema.type === "object") {
    if (typeof value !== "object" || Array.isArray(value)) return wrong("not an object");
    return checkObject(value, schema, where, side);
  }
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
    return schema.type === undefined ? [] : wrong(`not ${schema.type}`);
  if (!isOf(schema.type, value, side, where)) return wrong(`not ${schema.type}`);
  return checkText(String(value), schema, where);
}

/** Where Perl hands on whatever kind of value a setting has, though the schema says text. */
const settingsAsTheyAre = /^answer\[\]\.(value|pending)$/;

function isOf(type: string | undefined, value: string | number | boolean, side: Side, where: string): boolean {
  if (side === "request") {
    const text = String(value);
    if (type === "boolean") return /^(0|1|on|off|yes|no|true|false)$/i.test(text);
    if (type === "integer") return /^[+-]?\d+$/.test(text);
    return type !== "number" || (text !== "" && Number.isFinite(Number(text)));
  }
  if (type === "boolean") return typeof value === "boolean" || value === 0 || value === 1;
  if (type === "integer") return Number.isInteger(value);
  if (type === "number") return typeof value === "number";
  return type !== "string" || typeof value === "string" || settingsAsTheyAre.test(where);
}

function checkText(text: string, schema: Schema, where: string): string[] {
  const wrong = (what: string): string[] => [`${where}: ${what}: ${JSON.stringify(text)}`];
  if (schema.enum && !schema.enum.map(String).includes(text)) return wrong(`not one of ${schema.enum.join(", ")}`);
  if (schema.pattern !== undefined && !perl(schema.pattern).test(text)) return wrong(`not like ${schema.pattern}`);
  if (schema.maxLength !== undefined && text.length > schema.maxLength) return wrong(`longer than ${schema.maxLength}`);
  if (schema.minLength !== undefined && text.length < schema.minLength)
    return wrong(`shorter than ${schema.minLength}`);
  const number = Number(text);
  if (schema.minimum !== undefined && number < Number(schema.minimum)) return wrong(`less than ${schema.minimum}`);
  if (schema.maximum !== undefined && number > Number(schema.maximum)) return wrong(`more than ${schema.maximum}`);
  if (typeof schema.format === "object") return checkPropertyString(text, schema.format, where);
  const format = schema.format === undefined ? undefined : formats[schema.format];
  return format === undefined || format.test(text) ? [] : wrong(`not a ${JSON.stringify(schema.format)}`);
}

/** `a=b,c` with its keys as the schema names them; a part without a name is the default key's, and `virtio=<MAC>` stands for two keys. */
function checkPropertyString(text: string, format: Readonly<Record<string, Schema>>, where: string): string[] {
  const first = Object.keys(format).find((key) => format[key]?.default_key === 1);
  const values: Record<string, string> = {};
  const unknown: string[] = [];
  for (const part of text.split(",").filter(Boolean)) {
    const [, key = first ?? "", value = ""] = /^(?:([^=]+)=)?(.*)$/s.exec(part) ?? [];
    const { alias, keyAlias } = format[key] ?? {};
    if (format[key] === undefined) unknown.push(`${where}: no such key: ${key}`);
    if (keyAlias !== undefined) values[keyAlias] = key;
    values[alias ?? key] = value;
  }
  return [...unknown, ...checkObject(values, { properties: format }, where, "request")];
}

/** The formats that are code in Proxmox (PVE::JSONSchema, PVE::QemuServer, PVE::Storage), of those that come up; others pass. */
const formats: Readonly<Record<string, RegExp>> = {
  "address-list": /^[\da-f.:]+([ ,;]+[\da-f.:]+)*$/i,
  "disk-size": /^\d+(\.\d+)?[KMGT]?$/,
  "dns-name": /^(?=.{1,255}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i,
  "mac-addr": /^[a-f0-9][02468ace](:[a-f0-9]{2}){5}$/i,
  "pve-bridge-id": /^[-_.\w]+$/,
  "pve-configid-list": /^[a-z][\w-]+([ ,;]+[a-z][\w-]+)*$/i,
  "pve-hotplug-features": /^([01]|(network|disk|cpu|memory|usb|cloudinit)(,(network|disk|cpu|memory|usb|cloudinit))*)$/,
  "pve-node": /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i,
  "pve-qm-boot": /^(order=([a-z]+\d+)(;[a-z]+\d+)*|order=|(legacy=)?[acdn]{1,4})$/,
  "pve-qm-ide": /^(file=)?[^,]+(,[\w-]+=[^,]*)*,?$/,
  "pve-qm-ipconfig": /^((gw6?|ip6?)=[^,=]+)(,(gw6?|ip6?)=[^,=]+)*$/,
  "pve-qm-smbios1": /^(\w+=[^,]*)(,\w+=[^,]*)*$/,
  "pve-startup-order": /^((order=)?\d+|(up|down)=\d+)(,(up|down)=\d+)*$/,
  "pve-storage-content": /^(images|rootdir|vztmpl|iso|backup|snippets|import|none)$/,
  "pve-storage-content-list": /^(images|rootdir|vztmpl|iso|backup|snippets|import|none)(,\w+)*$/,
  "pve-storage-id": /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i,
  "pve-tag-list": /^[a-z0-9_][\w\-+.]*([;, ]+[a-z0-9_][\w\-+.]*)*$/i,
  "pve-vm-cpu-conf": /^(cputype=)?[\w.-]+(,[\w-]+=[^,]+)*$/,
  "pve-vmid": /^[1-9]\d{2,8}$/,
  "pve-volume-id": /^[a-z][a-z0-9\-_.]*[a-z0-9]:\S+$/i,
  "pve-volume-id-or-absolute-path": /^([a-z][a-z0-9\-_.]*[a-z0-9]:\S+|\/\S+)$/i,
  "pve-volume-id-or-qm-path": /^(none|cdrom|[a-z][a-z0-9\-_.]*[a-z0-9]:\S+|\/\S+)$/i,
  urlencoded: /^[-%a-zA-Z0-9_.!~*'()]*$/,
};

function perl(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern.replaceAll("(?^:", "(?:")})$`);
}
