import { z } from "zod";

/**
 * What a membership is told, by joining, converging and leaving alike: the state holds one input for all three. Open on purpose: leaving ignores what only
 * joining needs, and an older checkout what a newer one recorded.
 */
export const membershipInput = z.object({
  /** The Kubernetes node's name, which is also the machine's. */
  node: z.string().min(1),
  roles: z.array(z.enum(["controlplane", "etcd", "worker"])).min(1),
  /** Labels of the Kubernetes node; those that earlier inputs had and this one has not are removed. */
  labels: z.record(z.string(), z.string()),
  /** Annotations of the Kubernetes node, likewise. */
  annotations: z.record(z.string(), z.string()).optional(),
  /** The node's InternalIP. */
  address: z.ipv4(),
  distribution: z.enum(["rke1", "rke2", "k3s"]),
  /** The SSH host key as verified through the hypervisor: `ssh-ed25519 AAAA…`. */
  hostKey: z.string().startsWith("ssh-ed25519 "),
  /** Which machine it is, for joining and for the moment it leaves. `uuid`: of the SMBIOS, as its Node's `systemUUID`; records from before it have none. */
  vm: z.object({ host: z.string(), vmId: z.int(), mac: z.string(), uuid: z.string().optional() }),
  /** While true, leaving is refused. */
  protect: z.boolean(),
  /** How old the newest snapshot of etcd may be when it leaves, in hours, where it is not the default. */
  snapshotHours: z.number().positive().optional(),
});

export type MembershipInput = z.infer<typeof membershipInput>;

/** What a membership is once it holds. */
export interface Membership {
  readonly node: string;
  readonly address: string;
}
