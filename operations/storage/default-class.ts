import type { V1StorageClass } from "@kubernetes/client-node";
import { z } from "zod";
import type { KubernetesApi } from "../clients";
import { storageClasses } from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";

/** Both are honoured by every Kubernetes (pkg/volume/util/storageclass.go); old provisioner charts still write the second. */
const flags = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const [flag = ""] = flags;

/**
 * Where the flags stand that a class had before: on the class itself, so that flag and record change in one write and the record is not lost
 * without the class. Whoever else manages the class (Helm, Rancher) does not know the key and leaves it alone.
 */
export const recordAnnotation = "home-cluster/default-class-before";

const schema = z.strictObject({
  /** The class to be the only default. */
  storageClass: z.string(),
  /** The class that volumes leave; only named in what is said. */
  oldStorageClass: z.string(),
});

/** Seconds for the manager to make its class after the release; it takes one or two minutes, with slow image pulls more. */
const classTimeout = 900;

/** Makes the class the only default, and records on every other default class what it said before. A record is never overwritten. */
export const defaultClass = defineOperation({
  verb: "default-class",
  needs: ["kubernetes"],
  schema,
  async run({ storageClass, oldStorageClass }, { kubernetes, clock, log }) {
    // Only then: a cluster whose old class is taken first has no default at all for as long as Longhorn takes, or for ever if it fails.
    const own = await waitFor(
      clock,
      {
        what: `StorageClass ${storageClass}`,
        timeoutSeconds: classTimeout,
        next: "`kubectl -n longhorn-system get pods`, then `pulumi up` again",
      },
      async () => {
        const found = await kubernetes.read(storageClasses, storageClass);
        if (found) return found;
        throw new NotYet("it does not exist: longhorn-manager makes it from ConfigMap longhorn-storageclass");
      },
    );
    if (own.metadata?.annotations?.[flag] !== "true") await annotate(kubernetes, storageClass, { [flag]: "true" });
    const others = (await kubernetes.list(storageClasses)).filter((other) => nameOf(other) !== storageClass);
    if (!others.some((other) => nameOf(other) === oldStorageClass)) {
      log(`StorageClass ${oldStorageClass} (oldStorage.storageClass) does not exist`);
    }
    for (const other of others.filter(isDefault)) {
      log(`StorageClass ${nameOf(other)} is no longer the default`);
      await annotate(kubernetes, nameOf(other), withoutFlags(other));
    }
    const recorded = (await kubernetes.list(storageClasses)).filter((other) => recordOf(other) !== undefined);
    return { storageClass, recorded: recorded.map(nameOf).sort() };
  },
});

/** Puts back exactly what was recorded, and takes the flag from the class that was made the default. */
export const restoreDefaultClass = defineOperation({
  verb: "restore-default-class",
  needs: ["kubernetes"],
  schema,
  async run({ storageClass }, { kubernetes, log }) {
    const classes = await kubernetes.list(storageClasses);
    // First: with two defaults the newest wins, and a claim made now would land on the class that is leaving.
    for (const own of classes.filter((candidate) => nameOf(candidate) === storageClass && isDefault(candidate))) {
      await annotate(kubernetes, nameOf(own), { [flag]: "false" });
    }
    const restored: string[] = [];
    for (const other of classes) {
      const record = recordOf(other);
      if (record === undefined) continue;
      log(`StorageClass ${nameOf(other)} gets back what it said before`);
      const before = parseRecord(nameOf(other), record);
      await annotate(kubernetes, nameOf(other), {
        ...Object.fromEntries(flags.map((key) => [key, before[key] ?? null])),
        [recordAnnotation]: null,
      });
      restored.push(nameOf(other));
    }
    return { restored: restored.sort() };
  },
});

/** Kubernetes' own rule: the exact word `true`, under either key. */
export function isDefault(storageClass: V1StorageClass): boolean {
  return flags.some((key) => storageClass.metadata?.annotations?.[key] === "true");
}

/** The flags gone, and recorded unless an earlier run did: what stands there now was then put back by somebody else. */
function withoutFlags(storageClass: V1StorageClass): Record<string, string | null> {
  const annotations = storageClass.metadata?.annotations ?? {};
  const before = Object.fromEntries(flags.filter((key) => key in annotations).map((key) => [key, annotations[key]]));
  return {
    ...Object.fromEntries(Object.keys(before).map((key) => [key, null])),
    ...(recordOf(storageClass) === undefined && { [recordAnnotation]: JSON.stringify(before) }),
  };
}

function recordOf(storageClass: V1StorageClass): string | undefined {
  return storageClass.metadata?.annotations?.[recordAnnotation];
}

function parseRecord(name: string, text: string): Record<string, string> {
  try {
    return z.record(z.string(), z.string()).parse(JSON.parse(text));
  } catch {
    throw new Refusal({
      what: `StorageClass ${name}: its annotation ${recordAnnotation} cannot be read`,
      why: "it says whether the class was the default before, and somebody changed it",
      next: `\`kubectl annotate storageclass ${name} --overwrite ${recordAnnotation}='{"${flag}":"true"}'\` if it was, with '{}' if it was not`,
    });
  }
}

function nameOf(object: V1StorageClass): string {
  return object.metadata?.name ?? "";
}

async function annotate(kubernetes: KubernetesApi, name: string, annotations: Record<string, string | null>) {
  await kubernetes.patch(storageClasses, name, { metadata: { annotations } });
}
