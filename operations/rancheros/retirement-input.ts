import { z } from "zod";
import { defaultSnapshotHours } from "../cluster/etcd-snapshots";

const role = z.enum(["controlplane", "etcd", "worker"]);

/**
 * What is recorded of an old node, for reading it and for retiring it alike: the state holds one input for both, and a destroy has nothing else.
 * Open on purpose: an older checkout ignores what a newer one recorded, and fields are only ever added, with a default.
 */
export const retirementInput = z.object({
  /** The Kubernetes node's name, which is also the machine's. */
  node: z.string().min(1),
  roles: z.array(role).min(1),
  /** The node's InternalIP. */
  address: z.ipv4(),
  /** The machine, as it stands in the file. */
  vm: z.object({ host: z.string().min(1), vmId: z.int(), mac: z.string() }),
  /** The stack, for the commands that messages name: `home-rancheros`. */
  stack: z.string().min(1),
  /** All nodes that are to go, this one included: a pod must not end up on the next of them with nowhere left to go. */
  oldNodes: z.array(z.string()),
  /** The storage class that every volume must have left. */
  oldStorageClass: z.string().min(1),
  /** Every volume of the environment, as its ledger names it. */
  volumes: z.array(z.object({ namespace: z.string(), claim: z.string() })),
  /** The ingress controller's own address, which a node that stays has to answer for. Absent in records of older checkouts. */
  ingressAddress: z.ipv4().optional(),
  /** Hosts and addresses that the file relies on, in words that name them: `the DNS server of network servers`. */
  hosts: z.array(z.object({ what: z.string(), host: z.string() })).default([]),
  /** How old the newest snapshot of etcd may be, in hours. */
  snapshotHours: z.number().positive().default(defaultSnapshotHours),
  /** Whether its machine goes with it, or stays off with its disks until it is purged. */
  machines: z.enum(["delete", "keep"]).default("delete"),
});

export type RetirementInput = z.infer<typeof retirementInput>;
