import type { Role, StoredObject } from "../../operations/clients";

/**
 * The pretend home: everything the program can touch, as plain data, so that it travels between the processes of a rehearsal and can be compared before and
 * after.
 */
export interface HomeState {
  /** Milliseconds since the epoch. */
  now: number;
  proxmox: { vms: Vm[]; images: { host: string; datastore: string; file: string }[] };
  /** What runs inside the machines, by vmId. */
  guests: Record<number, Guest>;
  rancher: { version: string; token: string; nodes: PretendRancherNode[] };
  kubernetes: { version: string; counter: number; objects: StoredObject[]; metallbAnswersAt?: number };
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
}

export interface PretendRancherNode {
  id: string;
  vmId: number;
  nodeName: string | undefined;
  state: "registering" | "active" | "cordoned" | "removing";
  roles: Role[];
}
