import type { Clock } from "../../operations/clients";
import { longhornNamespace, longhornNodes, longhornReplicas, type LonghornNode } from "../../operations/kinds";
import type { PretendKubernetes } from "./kubernetes";

/** Seconds for one replica to be built anew. */
const rebuildSeconds = 60;

/**
 * What Longhorn does when a node's eviction is requested: one after the other, a replica is built on a node that takes one and has none of its
 * volume, then the old one goes. What finds no such node stays, as in the real one; so does everything once the request is taken back.
 */
export async function moveReplicas(kubernetes: PretendKubernetes, clock: Clock, name: string): Promise<void> {
  const nodes = async (): Promise<readonly LonghornNode[]> =>
    kubernetes.list(longhornNodes, { namespace: longhornNamespace });
  const node = async (): Promise<LonghornNode | undefined> =>
    (await nodes()).find((other) => other.metadata?.name === name);
  const held = Object.values((await node())?.status?.diskStatus ?? {});
  const replicas = held.flatMap((disk) => Object.keys(disk.scheduledReplica ?? {}));
  const images = held.flatMap((disk) => Object.keys(disk.scheduledBackingImage ?? {}));
  for (const item of [...replicas, ...images]) {
    await clock.sleep(rebuildSeconds * 1000);
    if (!(await node())?.spec?.evictionRequested) return;
    const replica = await kubernetes.read(longhornReplicas, item, longhornNamespace);
    const taken = (await kubernetes.list(longhornReplicas, { namespace: longhornNamespace }))
      .filter((other) => other.spec?.volumeName === replica?.spec?.volumeName)
      .map((other) => other.spec?.nodeID);
    const target = (await nodes()).find(
      (other) =>
        other.metadata?.name !== name &&
        other.spec?.allowScheduling !== false &&
        Object.keys(other.status?.diskStatus ?? {}).length > 0 &&
        !taken.includes(other.metadata?.name),
    )?.metadata?.name;
    if (target === undefined) continue;
    if (replica) await kubernetes.patch(longhornReplicas, item, { spec: { nodeID: target } }, longhornNamespace);
    await place(kubernetes, target, item, images.includes(item));
    await takeOff(kubernetes, name, item);
  }
}

async function place(kubernetes: PretendKubernetes, name: string, item: string, image: boolean): Promise<void> {
  const node = await kubernetes.read(longhornNodes, name, longhornNamespace);
  const disk = Object.keys(node?.status?.diskStatus ?? {})[0] ?? "default-disk";
  const status = { diskStatus: { [disk]: { [image ? "scheduledBackingImage" : "scheduledReplica"]: { [item]: 1 } } } };
  await kubernetes.patch(longhornNodes, name, { status }, longhornNamespace);
}

async function takeOff(kubernetes: PretendKubernetes, name: string, item: string): Promise<void> {
  const node = await kubernetes.read(longhornNodes, name, longhornNamespace);
  const without = { scheduledReplica: { [item]: null }, scheduledBackingImage: { [item]: null } };
  const disks = Object.keys(node?.status?.diskStatus ?? {}).map((disk) => [disk, without]);
  await kubernetes.patch(
    longhornNodes,
    name,
    { status: { diskStatus: Object.fromEntries(disks) as object } },
    longhornNamespace,
  );
}
