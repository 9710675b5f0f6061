import type { Clients } from "../clients";
import { nodes } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { patiently } from "./failure";
import type { Finding } from "./finding";
import { silentMembers } from "./etcd";
import { isReady } from "./selector";
import { removalAnnotation, stageOf, type Leaver, type Snapshot } from "./snapshot";

/**
 * Seconds for Rancher to take a node out: rke1 runs a cleaning Job on it and reconciles the whole cluster; rke2 waits for etcd's members to agree.
 */
const removalSeconds = 1800;
/** Seconds for the Kubernetes node to go after Rancher's, and for the other members to be Ready again after the reconciliation. */
const afterwardsSeconds = 900;

/** States in which a removal ends well. `removing` is one that goes on. */
const removable = ["active", "cordoned", "draining", "drained", "removing"];

/** What stands against removing this node, as Rancher and the Kubernetes node show it. `ifLost`: what to do where its machine never comes back. */
export function membershipFindings(
  snapshot: Pick<Snapshot, "nodes" | "rancher">,
  leaver: Leaver,
  ifLost: string,
): Finding[] {
  const name = leaver.node;
  const node = snapshot.nodes.find((other) => other.metadata?.name === name);
  const known = snapshot.rancher.filter((other) => other.nodeName === name);
  const findings = recordFindings(snapshot, leaver);
  for (const { id, state } of known.filter((other) => !removable.includes(other.state))) {
    findings.push({
      what: `${name}: Rancher calls ${id} ${state}`,
      remedy: "wait until it is active, or mend it in Rancher",
    });
  }
  if (node && !isReady(node)) {
    findings.push({
      what: `${name}: is not Ready; Rancher cleans a node through its kubelet, and without it the removal never ends`,
      remedy: `start its machine; if it is lost for good, ${ifLost}`,
    });
  }
  return findings;
}

/** Whether Rancher's node and the Kubernetes node of this name are one of each, and the one that was recorded. */
export function recordFindings(snapshot: Pick<Snapshot, "nodes" | "rancher">, leaver: Leaver): Finding[] {
  const name = leaver.node;
  const node = snapshot.nodes.find((other) => other.metadata?.name === name);
  const known = snapshot.rancher.filter((other) => other.nodeName === name);
  const findings: Finding[] = [];
  if (known.length > 1) {
    findings.push({
      what: `${name}: Rancher has ${known.length} nodes of this name (${known.map((other) => other.id).join(", ")})`,
      remedy: "remove the one that is no longer there, in Rancher",
    });
  }
  if (known.length === 0) {
    findings.push({
      what: `${name}: is in the cluster, but Rancher does not know it, so its etcd membership would not be taken back`,
      remedy: "check `rancher.clusterId` in the environment file against Rancher's page of the cluster",
    });
  }
  const address = node?.status?.addresses?.find((entry) => entry.type === "InternalIP")?.address;
  if (leaver.address !== undefined && address !== undefined && address !== leaver.address) {
    findings.push({
      what: `${name}: the cluster's node of this name has the address ${address}, and ${leaver.address} was recorded: another machine`,
      remedy: "correct the entry in the environment file and run `pulumi up`, which records it",
    });
  }
  return findings;
}

/** Another removal that Rancher has begun and not ended: two at a time is how a cluster loses its quorum. */
export function otherRemovalFindings({ rancher }: Pick<Snapshot, "rancher">, name: string): Finding[] {
  return rancher
    .filter((other) => other.state === "removing" && other.nodeName !== name)
    .map((other) => ({
      what: `${name}: Rancher is still removing ${other.nodeName ?? other.id}`,
      remedy: "go on with that node first, or wait until it is gone",
    }));
}

/** Marks the Node, then has Rancher remove it and with it its etcd member. From here on nothing can be taken back. */
export async function requestRemoval({ kubernetes, rancher, log }: Clients, name: string): Promise<void> {
  const known = (await rancher.nodes()).filter((other) => other.nodeName === name);
  if (await kubernetes.read(nodes, name)) {
    await kubernetes.patch(nodes, name, { metadata: { annotations: { [removalAnnotation]: "requested" } } });
  }
  // Asked twice, Rancher's answer may be that there is nothing to remove.
  for (const { id } of known.filter((other) => other.state !== "removing")) {
    log(`${name}: removal asked of Rancher (${id})`);
    await rancher.removeNode(id);
  }
}

/** Takes the mark of a request that did not get through off the Node. */
export async function withdrawRequest({ kubernetes }: Clients, name: string): Promise<void> {
  const node = await kubernetes.read(nodes, name);
  if (node?.metadata?.annotations?.[removalAnnotation] === undefined) return;
  await kubernetes.patch(nodes, name, { metadata: { annotations: { [removalAnnotation]: null } } });
}

/** Whether Rancher has been told after all. When that cannot be read it has: what may be lost is treated as lost. */
export async function wasTold({ kubernetes, rancher }: Clients, name: string): Promise<boolean> {
  try {
    const node = await kubernetes.read(nodes, name);
    return stageOf({ nodes: node ? [node] : [], rancher: await rancher.nodes() }, name) !== "member";
  } catch {
    return true;
  }
}

/**
 * Waits until Rancher and Kubernetes no longer know the node, and every other etcd member is Ready. `lost`: its machine is gone for good, so that nobody misses a
 * Node that Rancher leaves behind because it could not reach the cluster for a moment.
 */
export async function awaitRemoval(
  { kubernetes, rancher, clock, log }: Clients,
  name: string,
  lost = false,
): Promise<void> {
  await waitFor(
    clock,
    {
      what: `${name}: removal by Rancher`,
      timeoutSeconds: removalSeconds,
      everySeconds: 10,
      firstSeconds: 1,
      next: lost
        ? `see what Rancher says on the page of ${name}; where it never ends, docs/decisions/machine-identity.md has what is left to do by hand`
        : `see what Rancher says on the page of ${name}; its machine must stay on until it is gone there`,
    },
    patiently(async () => {
      const known = (await rancher.nodes()).find((other) => other.nodeName === name);
      if (known) throw new NotYet(`Rancher calls ${known.id} ${known.state}`);
      return true;
    }),
  );
  await waitFor(
    clock,
    {
      what: `${name}: Kubernetes node gone`,
      timeoutSeconds: afterwardsSeconds,
      everySeconds: 10,
      firstSeconds: 1,
      next: `see who still keeps it: \`kubectl get node ${name} -o yaml\``,
    },
    patiently(async () => {
      const node = await kubernetes.read(nodes, name);
      if (!node) return true;
      const { uid } = node.metadata ?? {};
      if (lost && uid !== undefined) await kubernetes.remove(nodes, name, undefined, { uid });
      throw new NotYet("it is still there, though Rancher has removed it");
    }),
  );
  await waitFor(
    clock,
    {
      what: `${name}: the other etcd members Ready after its removal`,
      timeoutSeconds: afterwardsSeconds,
      everySeconds: 10,
      firstSeconds: 1,
      next: "see what they say: `kubectl get nodes -o wide`",
    },
    patiently(async () => {
      const silent = silentMembers(await kubernetes.list(nodes), name);
      if (silent.length > 0) throw new NotYet(`not Ready: ${silent.join(", ")}`);
      return true;
    }),
  );
  log(`${name}: out of Rancher, etcd and Kubernetes`);
}
