import { z } from "zod";

/**
 * The ways into each system. They travel on standard input, encrypted in the state, never in an argument or a log; a delete uses those that
 * the last `up` recorded.
 */
export const accessSchema = z.strictObject({
  proxmox: z.strictObject({ endpoint: z.url(), token: z.string(), caCertificate: z.string().optional() }).optional(),
  rancher: z
    .strictObject({
      url: z.url(),
      token: z.string(),
      clusterId: z.string(),
      clusterName: z.string(),
      distribution: z.enum(["rke1", "rke2", "k3s"]),
      caCertificate: z.string().optional(),
    })
    .optional(),
  kubernetes: z.strictObject({ kubeconfig: z.string() }).optional(),
  ssh: z.strictObject({ privateKey: z.string() }).optional(),
});

export type Access = z.infer<typeof accessSchema>;

/** What stands on standard input of `operations/run`. The version is the state's contract with later checkouts. */
export const requestSchema = z.strictObject({ version: z.literal(1), access: accessSchema, input: z.unknown() });
export type Request = z.infer<typeof requestSchema>;
