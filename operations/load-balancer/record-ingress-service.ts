import type { V1Service } from "@kubernetes/client-node";
import { z } from "zod";
import { ApiRefusal, type Clients, type KubernetesApi } from "../clients";
import { configMaps, services } from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { withKeptOwners, withOwnNames } from "./field-owners";
import { isPortTaken } from "./held-ports";
import { isOurs, recordName } from "./names";
import { originalOf, readRecord, recordMap, recordMissing, withOriginal, type Original } from "./service-record";

const schema = z.strictObject({
  namespace: z.string(),
  service: z.string(),
  /** Of the Service that the check found: another one is recorded anew. Only its change matters; not in states written before it was added. */
  uid: z.string().optional(),
});
export type IngressServiceName = z.infer<typeof schema>;

/**
 * Records, beside it, what the Service is before it is taken over. The record of a Service that lives is never overwritten: whatever runs a second time
 * would record our own work as the original.
 */
export const recordIngressService = defineOperation({
  verb: "record-ingress-service",
  needs: ["kubernetes"],
  schema,
  async run({ namespace, service: name }, clients) {
    const { kubernetes, log } = clients;
    const live = await kubernetes.read(services, name, namespace);
    if (!live) {
      throw new Refusal({
        what: `Service ${namespace}/${name}: does not exist`,
        why: "the environment file says that it exists and is taken over (ingress.service.existing)",
        next: "set ingress.service.existing to false, so that it is created, and run `pulumi up`",
      });
    }
    const record = await readRecord(kubernetes, namespace);
    if (record && record.original.uid === live.metadata?.uid) {
      if (!isOurs(live)) await keepOwners(clients, namespace, name);
      return { service: name, original: record.original.spec };
    }
    if (isOurs(live)) throw recordMissing(namespace, name);
    if (record) await refuseSecond(kubernetes, namespace, name, record.original.uid);
    const original = originalOf(live);
    const map = recordMap(namespace, original);
    if (record) {
      // Of a Service that is gone: nothing can be put back to it any more.
      log(`ConfigMap ${namespace}/${recordName}: of an earlier Service ${name}, written anew`);
      const { resourceVersion } = record.map.metadata ?? {};
      await kubernetes.replace({ ...map, metadata: { ...map.metadata, resourceVersion } });
    } else {
      await kubernetes.create(map);
    }
    await keepOwners(clients, namespace, name);
    return { service: name, original: original.spec };
  },
});

/** Sees to it that the engine takes nobody's fields off the Service but those that it declares. */
async function keepOwners({ kubernetes, clock }: Clients, namespace: string, name: string): Promise<void> {
  const what = `Service ${namespace}/${name}: writing down whose fields are whose`;
  await waitFor(clock, { what, timeoutSeconds: 60, everySeconds: 1, next: "`pulumi up` again" }, async () => {
    const live = await kubernetes.read(services, name, namespace);
    const kept = live && withKeptOwners(live);
    if (kept) await kubernetes.replace(kept).catch(notYetIfConflict);
    return true;
  });
}

/** Rancher writes on it all the time. */
function notYetIfConflict(error: unknown): never {
  if (error instanceof ApiRefusal && error.reason === "Conflict") throw new NotYet(error.message);
  throw error;
}

/** Seconds. A port that one of our own tries left held is free again after nine minutes (held-ports.ts); anything else is a matter of seconds. */
const timeoutSeconds = 900;

/** Makes the Service what the record says, then removes the record. What others wrote on it meanwhile stays, the cluster IP with it. */
export const restoreIngressService = defineOperation({
  verb: "restore-ingress-service",
  needs: ["kubernetes"],
  schema,
  async run({ namespace, service: name }, clients) {
    const { kubernetes, clock, log } = clients;
    const record = await readRecord(kubernetes, namespace);
    const restored = await waitFor(
      clock,
      {
        what: `Service ${namespace}/${name}: putting back what it was`,
        timeoutSeconds,
        everySeconds: 2,
        next: "`pulumi destroy` again",
      },
      () => putBack(clients, { namespace, service: name }, record?.original),
    );
    if (record) await forget(clients, namespace, record.map.metadata?.uid ?? "");
    log(`Service ${namespace}/${name}: ${restored}`);
    return { service: name, restored };
  },
});

/** Returns when the record is gone: until the server's garbage collection has finished with it, the next take-over would read it as a record that stands. */
async function forget({ kubernetes, clock }: Clients, namespace: string, uid: string): Promise<void> {
  await kubernetes.remove(configMaps, recordName, namespace, { uid });
  await waitFor(
    clock,
    {
      what: `ConfigMap ${namespace}/${recordName}: its removal`,
      timeoutSeconds: 120,
      everySeconds: 1,
      next: "`pulumi destroy` again",
    },
    async () => ((await kubernetes.read(configMaps, recordName, namespace))?.metadata?.uid === uid ? undefined : true),
  );
}

/** Another Service of the namespace that is taken over: there is one record, and it is that one's. */
async function refuseSecond(kubernetes: KubernetesApi, namespace: string, name: string, uid: string): Promise<void> {
  const recorded = (await kubernetes.list(services, { namespace })).find(({ metadata }) => metadata?.uid === uid);
  if (!recorded) return;
  throw new Refusal({
    what: `Service ${namespace}/${name}: Service ${namespace}/${recorded.metadata?.name} is taken over, and there is one record for both`,
    why: "what that one was before would be forgotten, and leaving could not put it back",
    next: `set ingress.service.name back to ${recorded.metadata?.name}; to change it, leave first (\`pulumi destroy\` of the layer)`,
  });
}

type Outcome = "is what it was before" | "is gone" | "is another one by now, left alone" | "was put back before";

async function putBack(
  { kubernetes }: Clients,
  { namespace, service: name }: IngressServiceName,
  original: Original | undefined,
): Promise<Outcome> {
  const live = await kubernetes.read(services, name, namespace);
  if (!live) return "is gone";
  if (original && original.uid !== live.metadata?.uid) return "is another one by now, left alone";
  // Our mark goes with the restoration: without it there is nothing of ours on the Service, and a second run must not undo what was done since.
  if (!isOurs(live)) {
    // But for these, where the first update failed.
    const named = withOwnNames(live);
    if (named) await kubernetes.replace(named).catch(notYetIfConflict);
    return "was put back before";
  }
  if (!original) throw recordMissing(namespace, name);
  try {
    await kubernetes.replace(withOriginal(live, original));
    return "is what it was before";
  } catch (error) {
    if (isPortTaken(error)) await refusePorts(kubernetes, live, original);
    return notYetIfConflict(error);
  }
}

/** Names who has a port by now that the record gives back; held for nobody, it comes back by itself. */
async function refusePorts(kubernetes: KubernetesApi, live: V1Service, { spec }: Original): Promise<never> {
  const wanted = portsOf({ spec });
  for (const other of await kubernetes.list(services)) {
    const both = portsOf(other).find((port) => wanted.includes(port));
    if (other.metadata?.uid === live.metadata?.uid || both === undefined) continue;
    const who = `Service ${other.metadata?.namespace}/${other.metadata?.name}`;
    throw new Refusal({
      what: `${who}: has the node port ${both}`,
      why: `Service ${live.metadata?.namespace}/${live.metadata?.name} had it before it was taken over, and gets it back on leaving`,
      next: `\`kubectl -n ${other.metadata?.namespace} edit service ${other.metadata?.name}\`: give it another one, then \`pulumi destroy\` again`,
    });
  }
  throw new NotYet("the API server still holds a node port for one of its own tries");
}

function portsOf({ spec }: V1Service): readonly number[] {
  const ports = [...(spec?.ports ?? []).map(({ nodePort }) => nodePort), spec?.healthCheckNodePort];
  return ports.filter((port): port is number => port !== undefined && port !== 0);
}
