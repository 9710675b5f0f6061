import { at, whole } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** Roles, and etcd's arithmetic from the file alone: a cluster of n members works while n/2 + 1 of them do. Live health is the delete operation's business. */

/** Whether no node and no role had to be left out: with one missing, every count would accuse the wrong thing. */
function counted(environment: Environment): boolean {
  return [environment.nodes, environment.oldNodes].every(
    (list) => whole(list) && list.every((node) => whole(node.roles)),
  );
}

function members(nodes: readonly { readonly roles: readonly string[] }[]): number {
  return nodes.filter((node) => node.roles.includes("etcd")).length;
}

export function etcdFinalCount(environment: Environment): readonly Finding[] {
  if (!counted(environment)) return [];
  const count = members(environment.nodes);
  if (count >= 3 && count % 2 === 1) return [];
  const why =
    count < 3
      ? `once the old nodes are gone, losing one of ${count} members stops the cluster`
      : `an even number survives no more losses than ${count - 1} members do, and one more can fail`;
  return [
    {
      path: at(environment.nodes),
      value: `${count} with role etcd`,
      why,
      remedy: "give the role etcd to 3 or 5 of the new nodes",
    },
  ];
}

/** Retired in the order of the file. After each step the rest must survive one more loss, which takes three members. */
export function etcdWhileRetiring(environment: Environment): readonly Finding[] {
  if (!counted(environment)) return [];
  const leaving = environment.oldNodes.filter((node) => !node.retired && node.roles.includes("etcd"));
  return leaving.flatMap((node, index): Finding[] => {
    const left = members(environment.nodes) + leaving.length - index - 1;
    const found = { path: at(node), value: node.name };
    if (left < 3) {
      return [
        {
          ...found,
          why: `once it has left, ${left} etcd ${left === 1 ? "member is" : "members are"} there, and losing one more stops the cluster`,
          remedy: "give the role etcd to more of the new nodes",
        },
      ];
    }
    // The last step leaves the final count, which has a rule of its own.
    if (left % 2 === 1 || index === leaving.length - 1) return [];
    return [
      {
        ...found,
        severity: "warning",
        why: `once it has left, ${left} etcd members are there: an even number survives no more losses than ${left - 1}`,
        remedy: "retire the next node soon after this one",
      },
    ];
  });
}

/** What the old nodes did, the new ones must do. */
export function roleNotCovered(environment: Environment): readonly Finding[] {
  if (!counted(environment)) return [];
  return (["controlplane", "worker"] as const)
    .filter((role) => !environment.nodes.some((node) => node.roles.includes(role)))
    .map((role) => ({
      path: at(environment.nodes),
      value: `0 with role ${role}`,
      why: `once the old nodes are gone, no node of the cluster is a ${role}`,
      remedy: `give the role ${role} to at least one of the new nodes`,
    }));
}
