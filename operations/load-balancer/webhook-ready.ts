import { z } from "zod";
import { ApiRefusal, type StoredObject } from "../clients";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";

const schema = z.strictObject({
  /** MetalLB's namespace; its objects count nowhere else. */
  namespace: z.string(),
  /** The release's revision, so that an upgraded MetalLB is waited for again. Unknown where the provider does not say it. */
  revision: z.number().optional(),
});

/**
 * Seconds. MetalLB makes its certificate, puts it into the webhook's configuration and then listens; with slow image pulls after a release that is
 * "ready".
 */
const timeoutSeconds = 300;

/** Admissions in a row. Each of several API servers reaches the webhook by its own way, and one admission speaks for one of them. */
const inARow = 3;

/**
 * Waits until MetalLB's webhook admits a pool. The release is ready before that (its readiness probe is a plain ping), and an object refused in
 * between fails the update at once. `failurePolicy: Ignore` would hide it, and every wrong pool with it.
 */
export const webhookReady = defineOperation({
  verb: "webhook-ready",
  needs: ["kubernetes"],
  schema,
  async run({ namespace }, { kubernetes, clock }) {
    let admitted = 0;
    await waitFor(
      clock,
      {
        what: "MetalLB's webhook",
        timeoutSeconds,
        everySeconds: 2,
        next: `\`kubectl -n ${namespace} logs deployment/metallb-controller\`, then \`pulumi up\` again`,
      },
      async () => {
        try {
          await kubernetes.create(probe(namespace), { dryRun: true });
        } catch (error) {
          admitted = 0;
          throw notYetOrRefused(error);
        }
        admitted += 1;
        return admitted >= inARow ? true : undefined;
      },
    );
    return { namespace };
  },
});

/** A pool of an address for documentation (RFC 5737), which overlaps nobody's. Only ever tried, never made. */
function probe(namespace: string): StoredObject {
  return {
    apiVersion: "metallb.io/v1beta1",
    kind: "IPAddressPool",
    metadata: { name: "home-cluster-probe", namespace },
    spec: { addresses: ["192.0.2.1/32"], autoAssign: false },
  } as StoredObject;
}

/** Nobody there yet is waited for; what somebody refused for its content would be refused for ever. */
function notYetOrRefused(error: unknown): unknown {
  if (!(error instanceof ApiRefusal)) return error;
  const absent = error.status === 0 || error.status === 404 || error.status === 429 || error.status >= 500;
  // It listens before it has read what pools there are, and until then refuses all (v0.16.1, ipaddresspool_webhook.go, getExistingIPAddressPools).
  if (absent || error.message.includes("failed to get existing")) return new NotYet(error.message);
  return new Refusal({
    what: "MetalLB's webhook answers, and refuses a pool that it would have to take",
    why: error.message,
    next: "`kubectl get ipaddresspools -A -o yaml`: mend or remove what is wrong there, then `pulumi up` again",
  });
}
