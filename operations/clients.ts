import type { KubernetesObject, V1ObjectMeta } from "@kubernetes/client-node";

/**
 * The systems an operation may touch, behind one interface: real ones in `operations/clients/`, in-memory ones in the
 * rehearsal and the tests. An operation never learns which it was given, so there is no second implementation of what happens.
 */
export interface Clients {
  readonly proxmox: ProxmoxApi;
  readonly rancher: RancherApi;
  readonly kubernetes: KubernetesApi;
  readonly ssh: Ssh;
  readonly network: Network;
  readonly clock: Clock;
  /** A line of progress for the operator (standard error in production). Never a secret. */
  readonly log: (line: string) => void;
}

/** What leads where, for whoever asks what hangs on the address of one machine. */
export interface Network {
  /** The URL by which this operation reaches a system that it declared. */
  urlOf(system: "proxmox" | "rancher" | "kubernetes"): string;
  /** The addresses of a host name as this machine resolves it now, an address for itself; empty when it has none. */
  addressesOf(host: string): Promise<readonly string[]>;
}

/** Time as a client, so that the rehearsal's hours pass in milliseconds and no test sleeps. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  sleep(milliseconds: number): Promise<void>;
}

/** A virtual machine as `GET cluster/resources?type=vm` lists it. */
export interface VmSummary {
  readonly vmId: number;
  readonly name: string;
  /** The Proxmox host that holds it. */
  readonly host: string;
  readonly status: "running" | "stopped";
  readonly tags: readonly string[];
}

/** What identifies a live machine: read from its configuration, never from anything we recorded. */
export interface VmIdentity extends VmSummary {
  /** Upper-case MACs of its cards, in card order (net0 first). */
  readonly macs: readonly string[];
  /** Proxmox's own protection flag. */
  readonly protection: boolean;
  /**
   * The SMBIOS UUID, lower case: made anew with each machine, so it tells one from the next of the same id, and what the guest's kernel shows and the kubelet
   * reports as `systemUUID`. "" on machines that have none (made by hand, long ago).
   */
  readonly uuid: string;
}

/** A datastore as one host sees it. */
export interface Datastore {
  /** Content types that it allows: `images`, `import` … */
  readonly content: readonly string[];
  /** Enabled, and the host reaches it. */
  readonly active: boolean;
  /** Bytes. */
  readonly available: number;
  /** Whether space is taken only as it is written (`lvmthin`, `zfspool`, `rbd`, directories …), unlike thick `lvm`. */
  readonly thin: boolean;
}

export interface ProxmoxApi {
  /** All machines that the token can see. A token without VM.Audit sees none: `privileges` tells the difference. */
  listVms(): Promise<readonly VmSummary[]>;
  /**
   * Whether nothing at all has this id: a machine that the token cannot see, a container. Asked before a machine is created, because the provider silently
   * adopts whatever has the id.
   */
  vmIdFree(vmId: number): Promise<boolean>;
  /** undefined when no such machine exists. */
  readVm(host: string, vmId: number): Promise<VmIdentity | undefined>;
  /** ACPI shutdown, awaited; true once the machine is off, false when it did not go off within the time. */
  shutdownVm(host: string, vmId: number, timeoutSeconds: number): Promise<boolean>;
  /** Hard stop, awaited. */
  stopVm(host: string, vmId: number): Promise<void>;
  /** Deletes the machine and the disks its configuration names (`purge=1`, unreferenced disks kept), awaited. */
  deleteVm(host: string, vmId: number): Promise<void>;
  /** From now on the machine does not start with its host; read back. Whether it runs now stays as it is. */
  keepOff(host: string, vmId: number): Promise<void>;
  /** Starts the machine, awaited; running already is fine. */
  startVm(host: string, vmId: number): Promise<void>;
  /** Names of settings that are written and wait for a restart (`memory`, `cores` …), sorted. */
  pendingSettings(host: string, vmId: number): Promise<readonly string[]>;
  /** The instance id of the cloud-init data that the next boot will read: another one than the guest's means that the data waits for a restart. */
  cloudInitInstance(host: string, vmId: number): Promise<string>;
  /** undefined when the host knows no such datastore, or does not show it to the token. */
  readDatastore(host: string, datastore: string): Promise<Datastore | undefined>;
  /** Privileges of the token by path, as `GET access/permissions` lists them: `{ "/": ["VM.Audit", …] }`. */
  privileges(): Promise<Readonly<Record<string, readonly string[]>>>;
  /** A file inside the guest, through its agent. Throws GuestAgentSilent while the agent does not answer. */
  readGuestFile(host: string, vmId: number, path: string): Promise<string>;
}

/** The guest agent does not answer (not installed yet, still starting, machine off): worth asking again, unlike any other error. */
export class GuestAgentSilent extends Error {}

/** A cluster's node as Rancher knows it. */
export interface RancherNode {
  /** `c-xxxxx:m-xxxxx` (Norman node) or `fleet-default/custom-xxxxxxxxxxxx` (CAPI Machine). */
  readonly id: string;
  /** The Kubernetes node's name; undefined until the machine has registered as one. */
  readonly nodeName: string | undefined;
  readonly state: string;
  readonly roles: readonly Role[];
}

/** A registration token's parts. The token is a secret: never logged, only handed on over standard input. */
export interface Registration {
  readonly server: string;
  readonly token: string;
  /** sha256 of Rancher's CA certificate; undefined when its certificate is publicly trusted. */
  readonly caChecksum: string | undefined;
  /** rke1: the agent image that Rancher's own node command names; undefined otherwise. */
  readonly agentImage: string | undefined;
  /** The cluster's agentEnvVars (proxies), if it has any. A proxy's URL may carry a password: handled like the token. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A complete snapshot of etcd. */
export interface EtcdSnapshot {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  /** Who holds it: a store away from the nodes (S3), the one node that took it (rke2, k3s), or every member that there was (rke1). */
  readonly heldBy: "store" | "members" | { readonly node: string };
}

export interface RancherApi {
  /** Version as `v2.11.3`. */
  version(): Promise<string>;
  /** A token that works now: Rancher rotates them (default 30 days since 2.15), so none is ever stored. */
  registration(): Promise<Registration>;
  nodes(): Promise<readonly RancherNode[]>;
  /** Removes the node from the cluster, and with it its etcd member. Absent is fine. */
  removeNode(id: string): Promise<void>;
  /** Snapshots of the cluster's etcd that can be restored from; failed ones and those whose file is gone are none. */
  snapshots(): Promise<readonly EtcdSnapshot[]>;
}

export type Role = "controlplane" | "etcd" | "worker";

/** What names a kind of object to the API server; T is what comes back. */
export interface Kind<T extends StoredObject = StoredObject> {
  readonly apiVersion: string;
  readonly kind: string;
  /** Only carries T; never set. */
  readonly type?: T;
}

/** An object as the API server returns it: metadata is always there. */
export type StoredObject = KubernetesObject & { metadata?: V1ObjectMeta };

export interface KubernetesApi {
  /** Server version as `v1.30.14`. */
  version(): Promise<string>;
  /** undefined when there is no such object, or no such kind in this cluster. */
  read<T extends StoredObject>(kind: Kind<T>, name: string, namespace?: string): Promise<T | undefined>;
  /** All objects of the kind, in one namespace or in all; empty when the cluster has no such kind. `onNode`: of pods, those that were put on this node. */
  list<T extends StoredObject>(
    kind: Kind<T>,
    options?: {
      readonly namespace?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly onNode?: string;
    },
  ): Promise<readonly T[]>;
  /** Throws ApiRefusal: `reason` AlreadyExists, or what a webhook or the server said. `dryRun` persists nothing. */
  create<T extends StoredObject>(object: T, options?: { readonly dryRun?: boolean }): Promise<T>;
  /** Needs `metadata.resourceVersion`; throws ApiRefusal with reason Conflict when someone wrote in between. */
  replace<T extends StoredObject>(object: T): Promise<T>;
  /**
   * JSON merge patch (null removes); an array is a JSON patch instead, which touches single entries of lists and whose `test` steps are conditions. Throws
   * ApiRefusal NotFound, and Invalid when a test does not hold.
   */
  patch<T extends StoredObject>(kind: Kind<T>, name: string, patch: object, namespace?: string): Promise<T>;
  /** Foreground deletion, not awaited. Absent is fine. With `uid` only that very object. */
  remove(kind: Kind, name: string, namespace?: string, options?: { readonly uid?: string }): Promise<void>;
  /** The last lines that a pod's only container has written; empty where it has not been started, or is gone. */
  podLog(pod: string, namespace: string, lines: number): Promise<string>;
  /** The eviction API, which honours disruption budgets. */
  evict(
    pod: string,
    namespace: string,
  ): Promise<{ readonly evicted: true } | { readonly evicted: false; readonly reason: string }>;
}

/** A JSON patch (RFC 6902), as far as operations use it. `path` is a JSON pointer: `~1` is a slash within a key. `add` also replaces what is there. */
export type JsonPatch = readonly (
  | { readonly op: "test" | "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }
)[];

/** What the API server (or a webhook behind it) refused. */
export class ApiRefusal extends Error {
  constructor(
    /** HTTP status. */
    readonly status: number,
    /** Kubernetes' reason word (`AlreadyExists`, `Conflict`, `InternalError` …). */
    readonly reason: string,
    message: string,
  ) {
    super(message);
    this.name = "ApiRefusal";
  }
}

export interface SshTarget {
  readonly address: string;
  readonly user: string;
  /**
   * `ssh-ed25519 AAAA…` as in known_hosts. undefined = first contact: the key is accepted and reported, and nothing secret may be sent
   * (`run` refuses `secret` input without it).
   */
  readonly hostKey: string | undefined;
}

export interface SshResult {
  readonly stdout: string;
  /** The key the server proved to hold in this very connection, as `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
}

export interface Ssh {
  /**
   * Runs one of our scripts (`operations/guest/<script>.sh`) as root on the target; `settings` become shell variables and `secrets` too, both
   * over standard input, neither in an argument. Throws SshFailure on a non-zero exit, a refused connection, or a key that is not `hostKey`.
   */
  run(
    target: SshTarget,
    script: GuestScript,
    settings: Readonly<Record<string, string>>,
    secrets?: Readonly<Record<string, string>>,
  ): Promise<SshResult>;
}

/** The scripts that run inside a node. A name, not a text, so that the pretend guest can model each without parsing shell. */
export type GuestScript = "provision" | "join-rke1" | "join-agent";

export class SshFailure extends Error {
  constructor(
    readonly kind: "unreachable" | "host-key" | "exit",
    message: string,
  ) {
    super(message);
    this.name = "SshFailure";
  }
}
