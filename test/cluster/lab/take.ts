import assert from "node:assert/strict";
import type { V1Service } from "@kubernetes/client-node";
import type { Registration } from "../../../rehearsal/record";
import { until } from "./processes";
import { nameOf, objectOf, type Provider, type Write } from "./provider";

/** Creates an object and applies it twice: every write is accepted without a warning, what is stored is what was declared, and applying it again writes nothing. */
export async function take(provider: Provider, registration: Registration): Promise<void> {
  const name = nameOf(objectOf(registration));
  const original = registration.options.importId === "" ? undefined : await provider.read(registration);
  (await provider.create(registration)).forEach(isClean);
  const made = await provider.read(registration);
  const differences = lost(objectOf(registration), made);
  assert.equal(differences.length, 0, `${name} is not as declared: ${differences.join("; ")}`);
  if (original) takenOver(original, made);
  for (const dryRun of [true, false]) isClean(await provider.update(registration, { dryRun }));
  await unchanged(provider, registration);
  assert.equal((await provider.read(registration))?.metadata?.uid, made?.metadata?.uid, `${name} is another one`);
}

/** Accepted, and without a warning. */
export function isClean({ what, refused, warnings }: Write): void {
  assert.equal(refused, undefined, `${what}: ${refused}`);
  assert.equal(warnings.length, 0, `${what}: warned of ${warnings.join("; ")}`);
}

/** Applies it until nobody else writes in between, as controllers do for a while after a create, and then sees that applying it wrote nothing. */
export async function unchanged(provider: Provider, registration: Registration, seconds = 20): Promise<void> {
  await until(
    `${nameOf(objectOf(registration))} stays as it is when it is applied again`,
    async () => {
      const found = await provider.read(registration);
      const write = await provider.update(registration);
      isClean(write);
      // resourceVersion, generation and managed fields with it.
      assert.deepEqual(write.object, found);
    },
    { seconds },
  );
}

/** Returns once it is. */
export async function gone(provider: Provider, registration: Registration): Promise<void> {
  await until(`${nameOf(objectOf(registration))} is gone`, async () => {
    const left = await provider.read(registration);
    if (left) throw new Error(JSON.stringify(left.metadata?.finalizers));
  });
}

/** What was declared and is not stored so: dropped, cut or rewritten by the server. */
export function lost(declared: unknown, stored: unknown, path = ""): string[] {
  if (Array.isArray(declared)) {
    const items = Array.isArray(stored) ? (stored as unknown[]) : [];
    return declared.flatMap((item, index) => lost(item, items[index], `${path}[${index}]`));
  }
  if (typeof declared !== "object" || declared === null)
    return declared === stored ? [] : [`${path}: ${JSON.stringify(declared)} became ${JSON.stringify(stored)}`];
  const fields = (stored ?? {}) as Record<string, unknown>;
  return Object.entries(declared).flatMap(([key, value]) => lost(value, fields[key], `${path}.${key}`));
}

/** Of a Service that was there before: which one it is stays, how it is reached, and what others say on it. */
function takenOver(original: V1Service, made: V1Service | undefined): void {
  const kept = ({ metadata, spec }: V1Service): object => ({
    uid: metadata?.uid,
    clusterIP: spec?.clusterIP,
    nodePorts: spec?.ports?.map(({ nodePort }) => nodePort),
    endpoints: metadata?.annotations?.["field.cattle.io/publicEndpoints"],
  });
  assert.deepEqual(kept(made ?? {}), kept(original));
}
