import { z } from "zod";
import { remember, rememberMapping, rememberList, Unusable, type Path } from "./origin";

const unusable = Symbol("unusable");

/**
 * What can be used of a value that its schema refuses: unknown keys are dropped, invalid entries of lists left out, and every other invalid value becomes a
 * property that throws `Unusable` when it is read, so that exactly the rules that need it do not run. An operator with one typo still sees everything else that is wrong.
 * undefined when nothing can be used.
 */
export function salvage(schema: z.ZodType, raw: unknown): unknown {
  const value = usablePart(schema, raw, [], false);
  return value === unusable ? undefined : value;
}

/** `entry`: inside an entry of a list, where one invalid value leaves the entry out instead of making it a trap for every rule that walks the list. */
function usablePart(schema: z.ZodType, raw: unknown, path: Path, entry: boolean): unknown {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return remember(parsed.data, path);
  const inner = withoutDefault(schema);
  if (inner instanceof z.ZodObject && isMapping(raw)) return mapping(inner, raw, path, entry);
  if (inner instanceof z.ZodArray && Array.isArray(raw)) return list(inner.element as z.ZodType, raw, path);
  return unusable;
}

function mapping(schema: z.ZodObject, raw: Readonly<Record<string, unknown>>, path: Path, entry: boolean): unknown {
  const result: Record<string, unknown> = {};
  for (const [key, keySchema] of Object.entries<z.ZodType>(schema.shape)) {
    const keyPath = [...path, key];
    const value = usablePart(keySchema, raw[key], keyPath, entry);
    if (value !== unusable) {
      result[key] = value;
    } else if (entry) {
      return unusable;
    } else {
      Object.defineProperty(result, key, {
        get: () => {
          throw new Unusable(keyPath);
        },
      });
    }
  }
  rememberMapping(result, path);
  return result;
}

function list(schema: z.ZodType, raw: readonly unknown[], path: Path): unknown {
  const entries = raw
    .map((item, index) => ({ index, value: usablePart(schema, item, [...path, index], true) }))
    .filter(({ value }) => value !== unusable);
  const result = entries.map(({ value }) => value);
  rememberList(result, path, {
    // All entries may be usable although something inside one of them was not. An empty list is refused where it should hold something.
    whole: result.length === raw.length && raw.length > 0,
    indexes: entries.map(({ index }) => index),
  });
  return result;
}

/** The schema below `.optional()` and `.default()`. */
export function withoutDefault(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? withoutDefault(schema.unwrap() as z.ZodType)
    : schema;
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
