import type { V1Pod } from "@kubernetes/client-node";
import { isReady } from "../../cluster/selector";
import type { Clients } from "../../clients";
import { claims, nodes, pods, volumeAttachments } from "../../kinds";
import { NotYet, waitFor } from "../../poll";
import { called } from "../agreement";
import { describeConsumer } from "../consumers";
import type { VolumeRef } from "../ledger";
import { isMigration } from "../migration-pod";
import { isLeaving } from "./levers";
import { hasEnded } from "./observe";
import { volumesOf } from "./template";

export interface NoMountOptions {
  readonly timeoutSeconds: number;
  /** The command that takes everything back, named in the refusal. */
  readonly rollback: string;
}

/**
 * Waits until no pod refers to the claim (one that is terminating does until it is gone; one that has ended, or is a migration's, does not) and, where the driver
 * of its volume attaches, no VolumeAttachment of it stands on a node without a pod of ours. A Refusal names what is left, pods with their owner, so that
 * one that appeared meanwhile is seen. The same look, without waiting, is `mounts`: empty means that nothing is.
 */
export async function awaitNoMount(clients: Clients, volume: VolumeRef, options: NoMountOptions): Promise<void> {
  let told = "";
  await waitFor(
    clients.clock,
    {
      what: `${called(volume)}: still in use`,
      timeoutSeconds: options.timeoutSeconds,
      // Every second of it is one in which the workload is down.
      everySeconds: 1,
      next: `stop what is left, then run \`pulumi up\` again; \`${options.rollback}\` takes everything back`,
    },
    async () => {
      const left = await mounts(clients.kubernetes, volume);
      if (left.length === 0) return true;
      const reason = left.join("; ");
      if (reason !== told) clients.log(`${called(volume)}: waiting for ${reason}`);
      told = reason;
      throw new NotYet(reason);
    },
  );
}

/** What uses or holds the claim's volume now, a line each. */
export async function mounts(kubernetes: Clients["kubernetes"], volume: VolumeRef): Promise<readonly string[]> {
  const { namespace, claim } = volume;
  const all = (await kubernetes.list(pods, { namespace })).filter((pod) => refers(pod, claim) && !hasEnded(pod));
  const theirs = all.filter((pod) => !isMigration(pod));
  const ours = new Set(all.filter(isMigration).map(({ spec }) => spec?.nodeName));
  const lines = await Promise.all(theirs.map((pod) => describe(kubernetes, pod)));
  const volumeName = (await kubernetes.read(claims, claim, namespace))?.spec?.volumeName;
  // An NFS volume has none, nor does one whose driver does not attach.
  const attachments = (await kubernetes.list(volumeAttachments)).filter(
    ({ spec }) => spec.source.persistentVolumeName === volumeName && !ours.has(spec.nodeName),
  );
  if (volumeName === undefined) return lines;
  return [...lines, ...attachments.map(({ spec }) => `PersistentVolume ${volumeName} attached to ${spec.nodeName}`)];
}

function refers(pod: V1Pod, claim: string): boolean {
  return (
    volumesOf(pod.spec, claim).length > 0 ||
    (pod.spec?.volumes ?? []).some((one) => one.ephemeral && `${pod.metadata?.name}-${one.name}` === claim)
  );
}

async function describe(kubernetes: Clients["kubernetes"], pod: V1Pod): Promise<string> {
  const owner = pod.metadata?.ownerReferences?.find(({ controller }) => controller);
  const node = pod.spec?.nodeName;
  const said = describeConsumer({
    pod: pod.metadata?.name ?? "",
    ...(owner && { owner: `${owner.kind}/${owner.name}` }),
    ...(node !== undefined && { node }),
  });
  if (!isLeaving(pod)) return said;
  const live = node === undefined ? undefined : await kubernetes.read(nodes, node);
  // Its kubelet would have to say that it is gone.
  const dead = node !== undefined && !(live && isReady(live)) ? `, and ${node} is not Ready` : "";
  return `${said}, terminating${dead}`;
}
