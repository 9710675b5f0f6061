import type { Datastore, Role, StoredObject } from "../../operations/clients";

/**
 * The pretend home: everything the program can touch, as plain data, so that it travels between the processes of a rehearsal and can be compared before and
 * after.
 */
export interface HomeState {
  /** Milliseconds since the epoch. */
  now: number;
  proxmox: {
    vms: Vm[];
    /** `checksum`: as the request that downloaded it named it. */
    images: { host: string; datastore: string; file: string; checksum?: string }[];
    datastores: (Datastore & { host: string; name: string })[];
    /** Of the token, by path. */
    privileges: Record<string, string[]>;
  };
  /** Where the systems are, and what the names of hosts stand for. */
  network: { urls: Record<"proxmox" | "rancher" | "kubernetes", string>; names: Record<string, string[]> };
  /** What runs inside the machines, by vmId. */
  guests: Record<number, Guest>;
  rancher: {
    version: string;
    clusterId: string;
    distribution: "rke1" | "rke2" | "k3s";
    /** Value of the registration token that Rancher's page of the cluster shows. */
    token: string;
    /** When it expires, in milliseconds since the epoch; absent: never. */
    tokenExpiresAt?: number;
    /** Tokens that were asked for beside it. */
    moreTokens?: RegistrationToken[];
    /** Hours between the recurring snapshots of etcd, which are kept in S3; absent: there are none. */
    snapshotEvery?: number;
    /** Snapshots beside those. */
    snapshots?: PretendSnapshot[];
    nodes: PretendRancherNode[];
  };
  /** `logs`: what pods have written, by `<namespace>/<pod>`. */
  kubernetes: {
    version: string;
    counter: number;
    objects: StoredObject[];
    metallbAnswersAt?: number;
    logs?: Record<string, string>;
  };
}

export interface Vm {
  vmId: number;
  name: string;
  host: string;
  status: "running" | "stopped";
  tags: string[];
  macs: string[];
  protection: boolean;
  /** GiB, in disk order. */
  disks: number[];
  /** GiB. */
  memory: number;
  /** Starts with its host. Absent: whatever `config` says. */
  onboot?: boolean;
  /** SMBIOS UUID. */
  uuid: string;
  /** Every setting as Proxmox keeps it in the machine's file, for the simulator of its API, which keeps what is above in step. Absent: derived from it. */
  config?: Record<string, string | number>;
  /** Settings written to the running machine that wait for its restart; null: to be removed. */
  pending?: Record<string, string | number | null>;
}

export interface Guest {
  /** `ssh-ed25519 AAAA…`. */
  hostKey: string;
  address: string;
  /** The guest agent answers. */
  agent: boolean;
  /** What the last provisioning was asked for; a second one with the same settings changes nothing. */
  provisioned?: Record<string, string>;
  joined: boolean;
  /** Instance id of the cloud-init data that it booted with. */
  instance: string;
}

export interface RegistrationToken {
  id: string;
  /** "" until Rancher's controller has filled it in, which is also when it gets its commands. */
  token: string;
  /** Milliseconds since the epoch; absent: never. */
  expiresAt?: number;
}

export interface PretendRancherNode {
  id: string;
  vmId: number;
  /** SMBIOS UUID of the machine that registered: another one under the same vmId is another member. Absent: whichever has the vmId. */
  uuid?: string;
  nodeName: string | undefined;
  state: "registering" | "active" | "cordoned" | "removing";
  roles: Role[];
}

/** A snapshot of etcd, as Rancher keeps account of it. */
export interface PretendSnapshot {
  name: string;
  /** Milliseconds since the epoch. */
  takenAt: number;
  heldBy: "store" | "members" | { node: string };
  /** Absent: complete. `running` is told apart from `failed` on rke1 only. `missing`: its file is gone. */
  state?: "running" | "failed" | "missing";
}
