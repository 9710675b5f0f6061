import type { V1Node } from "@kubernetes/client-node";
import type { VmIdentity } from "../clients";
import { isMember } from "../cluster/etcd";
import type { Finding } from "../cluster/finding";
import { mistakenIdentity, type Recorded } from "../cluster/machine";
import { placementFindings } from "../cluster/placement";
import { otherRemovalFindings } from "../cluster/rancher-removal";
import { isReady } from "../cluster/selector";
import { stageOf, type Snapshot } from "../cluster/snapshot";

/** On a Node whose machine we shut down for a restart: the boot that it had then, so that a rerun can tell whether it has come back. */
export const restartAnnotation = "home-cluster/restart";

/** Which boot the kubelet speaks of. "unknown" where it does not say. */
export function bootOf(node: V1Node): string {
  return node.status?.nodeInfo?.bootID || "unknown";
}

/** Everything that stands against this node's being away for a moment, from what is live now. */
export function restartFindings(
  snapshot: Snapshot,
  recorded: Recorded,
  machine: { readonly live: VmIdentity; readonly agent: boolean },
): Finding[] {
  const name = recorded.node;
  const stage = stageOf(snapshot, name);
  const node = snapshot.nodes.find((other) => other.metadata?.name === name);
  if (!node || stage !== "member") {
    const what = stage === "removing" ? "is being removed from the cluster" : "is not in the cluster";
    return [{ what: `${name}: ${what}`, remedy: "see its page in Rancher; `pulumi up --refresh` once it is a member" }];
  }
  const others = snapshot.nodes.filter((other) => other !== node);
  return [
    ...machineFindings(node, recorded, machine),
    ...otherRemovalFindings(snapshot, name),
    ...othersFindings(name, others),
    ...quorumFindings(node, others),
    // The only node has nowhere to send anything: what runs there is away with it, and comes back with it.
    ...(others.length === 0
      ? []
      : [...placementFindings(snapshot, name, []), ...replicaFindings(snapshot.longhorn, name)]),
  ];
}

/** What the operator should know of a restart that nothing stands against. */
export function announcement(name: string, nodes: readonly V1Node[]): string | undefined {
  if (nodes.length === 1) return "it is the only node, so the API and all that runs are away until it is back";
  const controlling = nodes.filter(isControlPlane).map(({ metadata }) => metadata?.name);
  return controlling.length === 1 && controlling.includes(name)
    ? "it is the only control plane node, so the API is away until it is back"
    : undefined;
}

function machineFindings(
  node: V1Node,
  recorded: Recorded,
  { live, agent }: { readonly live: VmIdentity; readonly agent: boolean },
): Finding[] {
  const { node: name, vm } = recorded;
  const findings: Finding[] = [];
  const mistaken = otherMachine(live, recorded, node);
  if (mistaken !== undefined) {
    findings.push({
      what: `${name}: machine ${vm.vmId} on ${vm.host} is another one (${mistaken})`,
      remedy: "find out whose it is, and correct the entry in the environment file",
    });
  }
  if (!agent) {
    findings.push({
      what: `${name}: its guest agent does not answer, so nobody could tell when it is back`,
      remedy: `mend it in the guest: \`sudo systemctl restart qemu-guest-agent\` (\`qm terminal ${vm.vmId}\` on ${vm.host})`,
    });
  }
  if (!isReady(node)) {
    findings.push({
      what: `${name}: is not Ready, so its pods cannot be moved in order`,
      remedy: `see why (\`kubectl describe node ${name}\`)`,
    });
  }
  return findings;
}

/** Why the live machine is not the node's; undefined when it is. The kubelet reports the UUID of the machine that it runs on. */
export function otherMachine(live: VmIdentity, recorded: Recorded, node: V1Node | undefined): string | undefined {
  const reported = (node?.status?.nodeInfo?.systemUUID ?? "").toLowerCase();
  const other = reported !== "" && live.uuid !== "" && reported !== live.uuid;
  return (
    mistakenIdentity(live, recorded) ??
    (other ? `its UUID is ${live.uuid}, the cluster's node runs on ${reported}` : undefined)
  );
}

/** One node at a time, whoever began with another. */
function othersFindings(name: string, others: readonly V1Node[]): Finding[] {
  return others
    .filter((other) => other.metadata?.annotations?.[restartAnnotation] !== undefined)
    .map(({ metadata }) => ({
      what: `${name}: the restart of ${metadata?.name} has not ended`,
      remedy: `go on with ${metadata?.name} first (\`pulumi up\`)`,
    }));
}

/** While a member is away, the others are the quorum: two cannot spare one, and of more every other one must work. */
function quorumFindings(node: V1Node, others: readonly V1Node[]): Finding[] {
  const name = node.metadata?.name ?? "";
  const findings = others
    .filter((other) => (isMember(other) || isControlPlane(other)) && !isReady(other))
    .map(({ metadata }) => ({
      what: `${name}: the control plane or etcd node ${metadata?.name} is not Ready`,
      remedy: `mend it first (\`kubectl describe node ${metadata?.name}\`)`,
    }));
  const members = others.filter(isMember);
  if (isMember(node) && members.length === 1) {
    findings.push({
      what: `${name}: is one of 2 etcd members, and while it is away ${members[0]?.metadata?.name} alone is no quorum`,
      remedy: "add a node with the role etcd first (`pulumi up` of the nodes layer)",
    });
  }
  return findings;
}

/** Volumes whose data would be out of reach, or that are short of a replica already. A detached one is read by nobody. */
function replicaFindings(longhorn: Snapshot["longhorn"], node: string): Finding[] {
  return volumesOn(longhorn, node).flatMap(({ metadata, status }): Finding[] => {
    const name = metadata?.name ?? "";
    const healthy = longhorn.replicas.filter(({ spec }) => spec?.volumeName === name && !spec.failedAt);
    const last = healthy.length > 0 && healthy.every(({ spec }) => spec?.nodeID === node);
    if (isShort(status?.robustness)) {
      return [
        {
          what: `${node}: Longhorn volume ${name} is ${status?.robustness}${last ? " and its last good replica is here" : ""}`,
          remedy: "wait until Longhorn has rebuilt it, or mend it in Longhorn's UI",
        },
      ];
    }
    if (!last || status?.state === "detached") return [];
    return [
      {
        what: `${node}: the only replica of Longhorn volume ${name} is here`,
        remedy: "give it another replica, or stop its workload for as long",
      },
    ];
  });
}

/** Volumes with a replica on the node that are short of one, by name. */
export function shortVolumes(longhorn: Snapshot["longhorn"], node: string): string[] {
  return volumesOn(longhorn, node).flatMap(({ metadata, status }) =>
    isShort(status?.robustness) ? [`${metadata?.name} is ${status?.robustness}`] : [],
  );
}

function volumesOn(longhorn: Snapshot["longhorn"], node: string): Snapshot["longhorn"]["volumes"] {
  const here = longhorn.replicas.filter(({ spec }) => spec?.nodeID === node).map(({ spec }) => spec?.volumeName);
  return longhorn.volumes.filter(({ metadata }) => here.includes(metadata?.name));
}

function isShort(robustness: string | undefined): boolean {
  return robustness === "degraded" || robustness === "faulted";
}

/** rke1 writes `controlplane`, rke2 and k3s write `control-plane`. */
function isControlPlane(node: V1Node): boolean {
  const labels = node.metadata?.labels ?? {};
  return ["controlplane", "control-plane"].some((role) => `node-role.kubernetes.io/${role}` in labels);
}
