import { at, whole } from "../origin";
import type { Finding } from "../problem";
import { formatMebibytes, gibibytesToMebibytes, toMebibytes } from "../quantity";
import type { Environment } from "../schema";

/**
 * Whether Longhorn has room. It plans with what volumes claim, not with what they hold: size times replicas, on at most (disk - reserve) of each disk, no two
 * replicas of a volume on one node (its defaults: over-provisioning 100 %, no soft anti-affinity). What ext4 keeps for itself, about 2 % of a disk, is left out of
 * account: the reserve is far larger.
 */

type Node = Environment["nodes"][number];

function storageNodes(environment: Environment): readonly Node[] {
  return environment.nodes.filter((node) => node.dataDisk !== undefined);
}

/** What Longhorn may plan with on each data disk, in MiB. */
function disks(environment: Environment): readonly number[] {
  const left = 100 - environment.longhorn.reservedPercent;
  return storageNodes(environment).map((node) => (gibibytesToMebibytes(node.dataDisk ?? 0) * left) / 100);
}

export function replicasAboveStorageNodes(environment: Environment): readonly Finding[] {
  const { replicas } = environment.longhorn;
  const count = storageNodes(environment).length;
  if (!whole(environment.nodes) || replicas <= count) return [];
  return [
    {
      path: at(environment.longhorn, "replicas"),
      value: String(replicas),
      why: `${count} of the nodes have a dataDisk, and two replicas never share one: every volume would stay degraded`,
      remedy: count === 0 ? "give the nodes a dataDisk" : `write ${count}, or give more nodes a dataDisk`,
    },
  ];
}

/** Together: a disk counts for no more than all volumes once, since it takes one replica of each. */
export function volumesAboveStorage(environment: Environment): readonly Finding[] {
  const { nodes, volumes, longhorn } = environment;
  // A volume that had to be left out could only need more; a node could have brought more.
  if (!whole(nodes)) return [];
  const room = disks(environment);
  if (room.length < longhorn.replicas) return [];
  const claimed = volumes.reduce((sum, volume) => sum + toMebibytes(volume.size), 0);
  const needed = claimed * longhorn.replicas;
  const brought = room.reduce((sum, disk) => sum + Math.min(disk, claimed), 0);
  if (needed <= brought) return [];
  return [
    {
      path: at(volumes),
      value: `${formatMebibytes(claimed)} with ${longhorn.replicas} replicas`,
      why: `needs ${formatMebibytes(needed)}, and after the reserve of ${longhorn.reservedPercent} % the data disks have room for ${formatMebibytes(brought)}`,
      remedy: "make the data disks larger, or the volumes smaller",
    },
  ];
}

/** Alone: a volume needs as many disks with room for all of it as it has replicas. */
export function volumeAboveDisk(environment: Environment): readonly Finding[] {
  const { nodes, volumes, longhorn } = environment;
  const room = disks(environment);
  // With fewer disks than replicas, replicasAboveStorageNodes says so.
  if (!whole(nodes) || room.length < longhorn.replicas) return [];
  return volumes.flatMap((volume) => {
    const fitting = room.filter((disk) => disk >= toMebibytes(volume.size)).length;
    if (fitting >= longhorn.replicas) return [];
    return [
      {
        path: at(volume, "size"),
        value: volume.size,
        why: `its ${longhorn.replicas} replicas need as many data disks with room for all of it, and after the reserve of ${longhorn.reservedPercent} % only ${fitting} would have it`,
        remedy: "make the data disks larger, or the volume smaller",
      },
    ];
  });
}

/** Longhorn's documented minimum (best practices: 4 vCPU, 4 GiB). */
const storageNodeMemory = 4;

export function storageNodeBelowMinimum(environment: Environment): readonly Finding[] {
  return storageNodes(environment)
    .filter((node) => node.memory < storageNodeMemory)
    .map((node) => ({
      path: at(node, "memory"),
      value: String(node.memory),
      why: `Longhorn asks for ${storageNodeMemory} GiB on every node that stores data`,
      remedy: `write ${storageNodeMemory} or more, or take its dataDisk away`,
    }));
}

/** Nodes with only controlplane or etcd are tainted by all three distributions, and Longhorn's manager does not tolerate that. */
export function storageOffWorkers(environment: Environment): readonly Finding[] {
  return storageNodes(environment)
    .filter((node) => whole(node.roles) && !node.roles.includes("worker"))
    .map((node) => ({
      path: at(node, "dataDisk"),
      value: String(node.dataDisk),
      why: `${node.name} is no worker, so Longhorn does not run there and the disk would stay unused`,
      remedy: "add the role worker, or take the dataDisk away",
    }));
}

/** Longhorn would take the tags, and never have anything there to choose them for. */
export function tagsWithoutDisk(environment: Environment): readonly Finding[] {
  return environment.nodes
    .filter((node) => node.storageTags.length > 0 && node.dataDisk === undefined)
    .map((node) => ({
      path: at(node, "storageTags"),
      value: node.storageTags.join(", "),
      why: `${node.name} brings no disk to Longhorn, so nothing is ever stored there`,
      remedy: "give it a dataDisk, or take its storageTags away",
    }));
}

/** Virtual size of Debian's genericcloud image, in GiB: a disk cannot be made smaller than what is imported into it. */
const imageSize = 3;

export function systemDiskBelowImage(environment: Environment): readonly Finding[] {
  return environment.nodes
    .filter((node) => node.systemDisk < imageSize)
    .map((node) => ({
      path: at(node, "systemDisk"),
      value: String(node.systemDisk),
      why: `the Debian image alone has ${imageSize} GiB, and a disk never shrinks`,
      remedy: `write ${imageSize} or more; 20 and more leave room for container images`,
    }));
}

/** Old and new machines run side by side until the old ones are retired. */
export function hostMemoryExceeded(environment: Environment): readonly Finding[] {
  const { nodes, oldNodes } = environment;
  return environment.proxmox.hosts.flatMap((host) => {
    const machines = [...nodes, ...oldNodes.filter((node) => !node.retired)].filter((node) => node.host === host.name);
    const needed = machines.reduce((sum, node) => sum + node.memory, 0);
    if (needed <= host.memory) return [];
    return [
      {
        path: at(host, "memory"),
        value: String(host.memory),
        why: `the machines on ${host.name} need ${needed} GiB while old and new run side by side: ${machines.map((node) => `${node.name} ${node.memory}`).join(", ")}`,
        remedy: "give the machines less memory, or move one to another host",
      },
    ];
  });
}
