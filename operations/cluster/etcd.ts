import type { V1Node } from "@kubernetes/client-node";
import type { Finding } from "./finding";
import { isReady } from "./selector";
import type { Leaver, Snapshot } from "./snapshot";

/** Fewer members than this do not survive the loss of one. */
const fewest = 3;

/** What rke1, rke2 and k3s alike put on their members. */
const etcdLabel = "node-role.kubernetes.io/etcd";

/**
 * etcd's arithmetic on the live nodes, for one leave or for all that are to come: what remains must be enough to lose one more, and every one of it
 * must be healthy now, because a cluster that is short of one member already loses its quorum with the next. A leave that is no member asks for
 * nothing.
 */
export function etcdFindings(
  { nodes, rancher }: Pick<Snapshot, "nodes" | "rancher">,
  leavers: readonly Leaver[],
): Finding[] {
  const names = new Set(leavers.map((leaver) => leaver.node));
  const leaving = leavers.filter((leaver) => isLeavingMember({ nodes, rancher }, leaver));
  if (leaving.length === 0) return [];
  const remaining = nodes.filter((node) => isMember(node) && !names.has(node.metadata?.name ?? ""));
  const healthy = remaining.filter(isReady);
  const who = leaving.map((leaver) => leaver.node).join(", ");
  const findings: Finding[] = [];
  if (remaining.length < fewest) {
    findings.push({
      what: `etcd: without ${who} ${members(remaining.length)} left, and fewer than ${fewest} do not survive the loss of one`,
      remedy: "add nodes with the role etcd first (`pulumi up` of the nodes layer)",
    });
  }
  if (healthy.length < remaining.length) {
    const quorum = quorumOf(remaining.length);
    const consequence =
      healthy.length < quorum ? "so the cluster would lose its quorum" : "so the next loss would cost the quorum";
    const silent = remaining.filter((node) => !isReady(node)).map((node) => node.metadata?.name);
    findings.push({
      what: `etcd: without ${who} ${healthy.length} of ${members(remaining.length)} Ready (not: ${silent.join(", ")}), a quorum is ${quorum}, ${consequence}`,
      remedy: `mend ${silent.join(" and ")} first (\`kubectl describe node ${silent[0]}\`)`,
    });
  }
  return findings;
}

/** Whether its leave takes a member out of etcd, by any word that there is of it. */
export function isLeavingMember(
  { nodes, rancher }: Pick<Snapshot, "nodes" | "rancher">,
  { node, roles }: Leaver,
): boolean {
  return (
    roles.includes("etcd") ||
    nodes.some((live) => live.metadata?.name === node && isMember(live)) ||
    rancher.some((known) => known.nodeName === node && known.roles.includes("etcd"))
  );
}

/**
 * The arithmetic for a member that is lost already. Taking it out makes nothing worse as long as the others can agree to it: a quorum of the members that
 * there were, the lost one counted. It even has to go before another joins. What must not be is a second one that is silent too.
 */
export function lostMemberFindings({ nodes }: Pick<Snapshot, "nodes">, { node: name, roles }: Leaver): Finding[] {
  const live = nodes.find((node) => node.metadata?.name === name);
  if (!roles.includes("etcd") && !(live && isMember(live))) return [];
  const others = nodes.filter((node) => isMember(node) && node.metadata?.name !== name);
  const silent = others.filter((node) => !isReady(node)).map((node) => node.metadata?.name);
  const quorum = quorumOf(others.length + 1);
  if (others.length < quorum) {
    return [
      {
        what: `etcd: beside ${name} ${members(others.length)} left, and a quorum of the ${others.length + 1} that there were is ${quorum}`,
        remedy: "restore the cluster from an etcd snapshot: nothing can be taken out of an etcd without a quorum",
      },
    ];
  }
  if (silent.length === 0) return [];
  return [
    {
      what: `etcd: beside ${name}, which is lost, ${silent.join(", ")} is not Ready`,
      remedy: `mend ${silent.join(" and ")} first (\`kubectl describe node ${silent[0]}\`)`,
    },
  ];
}

/** The members beside one node that are not Ready now; for the look after a removal. */
export function silentMembers(nodes: readonly V1Node[], except: string): string[] {
  return nodes
    .filter((node) => isMember(node) && !isReady(node))
    .map((node) => node.metadata?.name ?? "")
    .filter((name) => name !== except);
}

export function quorumOf(members: number): number {
  return Math.floor(members / 2) + 1;
}

export function isMember(node: V1Node): boolean {
  return node.metadata?.labels?.[etcdLabel] !== undefined;
}

function members(count: number): string {
  return count === 1 ? "1 member is" : `${count} members are`;
}
