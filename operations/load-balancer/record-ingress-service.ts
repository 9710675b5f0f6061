import { z } from "zod";
import { ApiRefusal, type Clients } from "../clients";
import { configMaps, services } from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { isOurs, recordName } from "./names";
import { originalOf, readRecord, recordMap, recordMissing, withOriginal } from "./service-record";

const schema = z.strictObject({ namespace: z.string(), service: z.string() });
export type IngressServiceName = z.infer<typeof schema>;

/**
 * Records, beside it, what the Service is before it is taken over. The record is never overwritten: whatever runs a second time would record our own
 * work as the original.
 */
export const recordIngressService = defineOperation({
  verb: "record-ingress-service",
  needs: ["kubernetes"],
  schema,
  async run({ namespace, service: name }, { kubernetes, log }) {
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
      return { service: name, original: record.original.spec };
    }
    if (isOurs(live)) throw recordMissing(namespace, name);
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
    return { service: name, original: original.spec };
  },
});

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
        timeoutSeconds: 60,
        everySeconds: 1,
        next: "`pulumi destroy` again",
      },
      () => putBack(clients, { namespace, service: name }, record?.original),
    );
    if (record) await kubernetes.remove(configMaps, recordName, namespace, { uid: record.map.metadata?.uid ?? "" });
    log(`Service ${namespace}/${name}: ${restored}`);
    return { service: name, restored };
  },
});

type Outcome = "is what it was before" | "is gone" | "is another one by now, left alone" | "was put back before";

async function putBack(
  { kubernetes }: Clients,
  { namespace, service: name }: IngressServiceName,
  original: Parameters<typeof withOriginal>[1] | undefined,
): Promise<Outcome> {
  const live = await kubernetes.read(services, name, namespace);
  if (!live) return "is gone";
  // Our mark goes with the restoration: without it there is nothing of ours on the Service, and a second run must not undo what was done since.
  if (!isOurs(live)) return "was put back before";
  if (!original) throw recordMissing(namespace, name);
  if (original.uid !== live.metadata?.uid) return "is another one by now, left alone";
  try {
    await kubernetes.replace(withOriginal(live, original));
    return "is what it was before";
  } catch (error) {
    // Rancher writes on it all the time.
    if (error instanceof ApiRefusal && error.reason === "Conflict") throw new NotYet(error.message);
    throw error;
  }
}
