import { isDeepStrictEqual } from "node:util";
import { ApiRefusal, type JsonPatch } from "../../operations/clients";

/** A JSON patch as the API server applies it: whole or not at all, and refused in its words. Changes the object it is given. */
export function applyJsonPatch<T extends object>(object: T, patch: JsonPatch): T {
  for (const step of patch) {
    const keys = step.path.split("/").slice(1).map(unescape);
    const last = keys.pop() ?? "";
    const parent = keys.reduce<unknown>((at, key) => member(at, key), object);
    if (typeof parent !== "object" || parent === null) throw refused(`${step.op} ${step.path}: no such path`);
    const found = member(parent, last);
    if (step.op === "test" && !isDeepStrictEqual(found, step.value))
      throw refused(`testing path ${step.path} value failed`);
    if (step.op === "remove" && found === undefined) throw refused(`remove ${step.path}: no such path`);
    if (step.op === "add") put(parent, last, structuredClone(step.value));
    if (step.op === "remove") remove(parent, last);
  }
  return object;
}

function unescape(key: string): string {
  return key.replaceAll("~1", "/").replaceAll("~0", "~");
}

function member(at: unknown, key: string): unknown {
  return typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined;
}

/** Into a list it inserts, as the RFC says. */
function put(parent: object, key: string, value: unknown): void {
  if (Array.isArray(parent)) parent.splice(key === "-" ? parent.length : Number(key), 0, value);
  else (parent as Record<string, unknown>)[key] = value;
}

function remove(parent: object, key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete (parent as Record<string, unknown>)[key];
}

function refused(why: string): ApiRefusal {
  return new ApiRefusal(422, "Invalid", `the server rejected our request due to an error in our request: ${why}`);
}
