import { z } from "zod";

/** The ingress controller's Service as the environment file wants it. In states that exist: a field is only ever added, with a default. */
export const ingressInput = z.strictObject({
  namespace: z.string(),
  service: z.string(),
  /** `existing`: taken over. `created`: made by the stack. `chart`: made by the distribution's chart. */
  origin: z.enum(["existing", "created", "chart"]),
  /** The selector that the Service will have. */
  selector: z.record(z.string(), z.string()),
  /** Labels that the controller's pods have by their own template. */
  podLabels: z.record(z.string(), z.string()),
  /** The values that are set bring a pod to every node: where the pods run before that says nothing. */
  podsFollow: z.boolean(),
  address: z.string(),
  externalTrafficPolicy: z.enum(["Local", "Cluster"]),
  nodePorts: z.strictObject({ http: z.number(), https: z.number() }),
  healthCheckNodePort: z.number().optional(),
  /** Nodes with a card in the network of the address. */
  announcers: z.array(z.string()).min(1),
});
export type IngressInput = z.infer<typeof ingressInput>;

/** `namespace/name`. */
export function nameOf({ namespace, service }: IngressInput): string {
  return `${namespace}/${service}`;
}
