import type { V1Node } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { nodes, pods, volumeAttachments } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { lostMemberFindings } from "./etcd";
import { failureOf, patiently } from "./failure";
import type { Finding } from "./finding";
import { pastReturn, type Commands } from "./leave-cluster";
import type { Held } from "./lease";
import { forgetInLonghorn, onlyHereFindings } from "./longhorn-eviction";
import { mistakenIdentity, type Machine, type Recorded } from "./machine";
import { evictable } from "./placement";
import { awaitRemoval, otherRemovalFindings, recordFindings, requestRemoval, wasTold } from "./rancher-removal";
import { isReady } from "./selector";
import { stageOf, type Leaver, type Snapshot } from "./snapshot";

/**
 * Kubernetes' own way to say that a node will not come back as it was: its pods are deleted without a kubelet, and their volumes are detached at once instead of
 * after six minutes (Kubernetes 1.26 and later; before, both wait for the Node to go).
 */
const outOfService = { key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" };

/** Seconds for the control plane to delete the pods of a node that is out of service and to detach their volumes. */
const freeingSeconds = 300;
/** Seconds for Kubernetes to notice that a kubelet is silent: 40, or 50 since 1.32, and some for a slow control plane. */
const noticeSeconds = 180;

/**
 * Whether the machine that was recorded is gone for good: nothing has its id, or the one that was made in its place does. Without a recorded UUID only the former
 * can be told, and of somebody else's machine under the id nothing follows.
 */
export function isLost(
  machine: Machine,
  recorded: Recorded & { readonly vm: { readonly uuid?: string | undefined } },
): boolean {
  if (machine.state !== "there") return machine.state === "gone";
  const [live, known] = [machine.live.uuid.toLowerCase(), (recorded.vm.uuid ?? "").toLowerCase()];
  return live !== "" && known !== "" && live !== known && mistakenIdentity(machine.live, recorded) === undefined;
}

/** Waits until Kubernetes has noticed that the node's machine is gone; that it has not by then is for the findings to say. */
export async function awaitSilence({ kubernetes, clock, log }: Clients, name: string): Promise<void> {
  const isUp = async (): Promise<boolean> => {
    const node = await kubernetes.read(nodes, name);
    return node !== undefined && isReady(node);
  };
  if (!(await isUp())) return;
  log(`${name}: its machine is gone, waiting until Kubernetes has noticed`);
  const until = clock.now() + noticeSeconds * 1000;
  while (clock.now() < until && (await isUp())) await clock.sleep(5_000);
}

/** Everything that stands against taking the node of a lost machine out of the cluster. */
export function lostFindings(snapshot: Snapshot, leaver: Leaver): Finding[] {
  const name = leaver.node;
  const volumes = onlyHereFindings(snapshot, name);
  if (stageOf(snapshot, name) !== "member") return volumes;
  const node = snapshot.nodes.find((other) => other.metadata?.name === name);
  const alive: Finding[] =
    node && isReady(node)
      ? [
          {
            what: `${name}: Proxmox does not have its machine any more, and its node is Ready: it runs somewhere else`,
            remedy: `find out where before anything else: \`kubectl get node ${name} -o wide\``,
          },
        ]
      : [];
  return [
    ...alive,
    ...otherRemovalFindings(snapshot, name),
    ...recordFindings(snapshot, leaver),
    ...lostMemberFindings(snapshot, leaver),
    ...volumes,
  ];
}

/**
 * Takes the node of a lost machine out of the cluster: no drain through a kubelet that is not there, no eviction of replicas that nobody can read. Its pods and
 * volumes are freed, Rancher takes the node and its etcd member out, then Longhorn forgets it. Every step does nothing where it is done already.
 */
export async function removeLost(
  clients: Clients,
  held: Held,
  snapshot: Snapshot,
  leaver: Leaver,
  commands: Pick<Commands, "goOn">,
): Promise<void> {
  const name = leaver.node;
  if (stageOf(snapshot, name) !== "gone") {
    try {
      await held.check();
      await freePods(clients, name);
      await held.check();
      await requestRemoval(clients, name);
    } catch (error) {
      if (!(await wasTold(clients, name))) throw notOut(name, error, commands);
      throw pastReturn(`${name}: is being removed and did not leave`, error, commands);
    }
  }
  try {
    await awaitRemoval(clients, name, true);
    await forgetInLonghorn(clients, name);
  } catch (error) {
    throw pastReturn(`${name}: is being removed and did not leave`, error, commands);
  }
}

/** The failure of a removal that Rancher was not told of. There is nothing to put back: the machine does not come back. */
function notOut(name: string, error: unknown, { goOn }: Pick<Commands, "goOn">): Refusal {
  const { what, why, next } = failureOf(error);
  return new Refusal({
    what: `${name}: its machine is lost, and its node is still in the cluster: ${what}`,
    why,
    next: `${next === undefined ? "" : `${next}; `}to go on: ${goOn}`,
  });
}

/** Marks the Node as out of service and waits until its pods and volumes are free; what is not by then goes with the Node. */
async function freePods(clients: Clients, name: string): Promise<void> {
  const { kubernetes, clock, log } = clients;
  if (!(await kubernetes.read(nodes, name))) return;
  await waitFor(
    clock,
    {
      what: `${name}: the mark that it is out of service`,
      timeoutSeconds: 60,
      next: `see who writes it: \`kubectl get node ${name} -o yaml\``,
    },
    patiently(async () => {
      const node = await kubernetes.read(nodes, name);
      if (!node || isMarked(node)) return true;
      const { metadata, spec } = node;
      // With the version that was read: Kubernetes writes taints of its own onto a node that fell silent.
      await kubernetes.patch(nodes, name, {
        metadata: { resourceVersion: metadata?.resourceVersion },
        spec: { taints: [...(spec?.taints ?? []), outOfService] },
      });
      log(`${name}: its machine is gone for good, marked as out of service`);
      return true;
    }),
  );
  try {
    await waitFor(
      clock,
      { what: `${name}: its pods and volumes free`, timeoutSeconds: freeingSeconds, next: "" },
      patiently(async () => {
        const left = evictable(await kubernetes.list(pods), name).length;
        const attached = (await kubernetes.list(volumeAttachments)).filter(({ spec }) => spec.nodeName === name).length;
        if (left + attached > 0) throw new NotYet(`${left} pods and ${attached} attached volumes`);
        return true;
      }),
    );
  } catch (error) {
    log(`${name}: still on it: ${failureOf(error).why.replace("last seen: ", "")}; they go with the Node`);
  }
}

function isMarked(node: V1Node): boolean {
  return (node.spec?.taints ?? []).some(
    ({ key, effect }) => key === outOfService.key && effect === outOfService.effect,
  );
}
