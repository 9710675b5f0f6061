import { z } from "zod";
import { ApiRefusal, type JsonPatch, type Kind, type KubernetesApi, type StoredObject } from "../../clients";
import { Refusal } from "../../refusal";

/**
 * On what we stopped, until it is resumed: for which volumes, and what we changed. On the object itself and not in the ledger alone, because it is written in
 * the same patch as the change: so a change is never made twice nor taken back twice, and two volumes of one workload do not start it under each other's copy.
 */
export const holdAnnotation = "home-cluster/stopped";

const holdSchema = z.strictObject({
  /** `<namespace>/<claim>` of each volume, sorted. */
  for: z.array(z.string()).min(1),
  original: z.record(z.string(), z.unknown()),
});
export type Hold = z.infer<typeof holdSchema>;

/** An object by what makes it that very one. */
export interface Identity {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export function holdOf(object: StoredObject): Hold | undefined {
  const text = object.metadata?.annotations?.[holdAnnotation];
  if (text === undefined) return undefined;
  const parsed = holdSchema.safeParse(fromJson(text));
  return parsed.success ? parsed.data : refuseUnreadable(object);
}

/** Somebody changed what we noted. */
export function refuseUnreadable(object: StoredObject): never {
  const { name, namespace, annotations } = object.metadata ?? {};
  throw new Refusal({
    what: `${object.kind} ${namespace}/${name}: what is noted on it of its stop cannot be read`,
    why: `its annotation ${holdAnnotation} is ${annotations?.[holdAnnotation]}`,
    next: `make it run as it should, then take it off: \`kubectl -n ${namespace} annotate ${object.kind?.toLowerCase()} ${name} ${holdAnnotation}-\``,
  });
}

/** Puts a volume among those that an object is stopped for; with `original` as it was found, unless one stands there already. */
export function held(object: StoredObject, volume: string, original: Hold["original"]): JsonPatch {
  const hold = holdOf(object);
  if (hold?.for.includes(volume)) return [];
  return annotate(object, { for: [...(hold?.for ?? []), volume].sort(), original: hold?.original ?? original });
}

/** Takes a volume from it; with the last one the annotation goes. */
export function released(object: StoredObject, volume: string): JsonPatch {
  const hold = holdOf(object);
  if (!hold?.for.includes(volume)) return [];
  const others = hold.for.filter((other) => other !== volume);
  return others.length > 0
    ? annotate(object, { ...hold, for: others })
    : [{ op: "remove", path: `/metadata/annotations/${pointer(holdAnnotation)}` }];
}

/** Sets a key of a map that may not be there yet. */
export function setKey(path: string, map: object | undefined, key: string, value: unknown): JsonPatch {
  return map ? [{ op: "add", path: `${path}/${pointer(key)}`, value }] : [{ op: "add", path, value: { [key]: value } }];
}

/** A key as part of a JSON pointer. */
export function pointer(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

/**
 * Changes an object by what `steps` makes of it as it is now, under the condition that nobody writes in between; else it looks again. No steps: nothing to change.
 * Returns the object as it was before; undefined when it is gone. Refuses when there is another one of its name.
 */
export async function change<T extends StoredObject>(
  kubernetes: KubernetesApi,
  kind: Kind<T>,
  identity: Identity,
  steps: (object: T) => JsonPatch,
): Promise<T | undefined> {
  const { name, namespace, uid } = identity;
  let refused: { readonly version: string | undefined; readonly error: ApiRefusal } | undefined;
  for (let round = 0; round < 20; round += 1) {
    const object = await kubernetes.read(kind, name, namespace);
    if (!object) return undefined;
    refuseAnother(identity, object);
    // Both the annotations of the change and our own go into the map, and neither may replace the other's.
    const { annotations } = object.metadata ?? {};
    const patch = steps({ ...object, metadata: { ...object.metadata, annotations: annotations ?? {} } });
    if (patch.length === 0) return object;
    const map: JsonPatch = annotations ? [] : [{ op: "add", path: "/metadata/annotations", value: {} }];
    const resourceVersion = object.metadata?.resourceVersion;
    // Nobody wrote in between, so it was not a condition that was refused.
    if (refused && refused.version === resourceVersion) throw refused.error;
    try {
      const conditions: JsonPatch = [
        { op: "test", path: "/metadata/uid", value: uid },
        { op: "test", path: "/metadata/resourceVersion", value: resourceVersion },
      ];
      await kubernetes.patch(kind, name, [...conditions, ...map, ...patch], namespace);
      return object;
    } catch (error) {
      if (!(error instanceof ApiRefusal) || ![404, 409, 422].includes(error.status)) throw error;
      refused = { version: resourceVersion, error };
    }
  }
  throw new Refusal({
    what: `${identity.kind} ${namespace}/${name}: not changed`,
    why: "somebody else wrote it twenty times in a row",
    next: `see who does: \`kubectl -n ${namespace} get ${identity.kind.toLowerCase()} ${name} -o yaml --show-managed-fields\``,
  });
}

/** Refuses an object that only has the name of the one that is meant. */
export function refuseAnother({ kind, namespace, name, uid }: Identity, object: StoredObject): void {
  if (object.metadata?.uid === uid) return;
  throw new Refusal({
    what: `${kind} ${namespace}/${name}: left as it is`,
    why: `it was made anew since it was looked at: its UID is ${object.metadata?.uid}, and ${uid} was recorded`,
    next: "run `pulumi up` again, which looks again",
  });
}

function annotate(object: StoredObject, hold: Hold): JsonPatch {
  return setKey("/metadata/annotations", object.metadata?.annotations, holdAnnotation, JSON.stringify(hold));
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
