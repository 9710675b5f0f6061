import type { EtcdSnapshot } from "../clients";
import { isLeavingMember, isMember } from "./etcd";
import type { Finding } from "./finding";
import type { Leaver, Snapshot } from "./snapshot";

/** What a state recorded before the setting was there; the default of the file. */
export const defaultSnapshotHours = 24;

const hour = 3_600_000;
const take =
  "take one in Rancher (Cluster Management, the cluster's menu, Take Snapshot) and wait until it is complete";

/**
 * A member leaves only while there is a way back from a lost quorum: a complete snapshot, young enough, held by what stays. `leaving` are all nodes that are to
 * go: what only they hold goes with them. A leave that is no member asks for nothing; so does a cluster whose datastore is not in its nodes.
 */
export function snapshotFindings(
  { nodes, rancher, etcd }: Pick<Snapshot, "nodes" | "rancher" | "etcd">,
  leaver: Leaver,
  { leaving, snapshotHours }: { readonly leaving: readonly string[]; readonly snapshotHours: number },
): Finding[] {
  if (!isLeavingMember({ nodes, rancher }, leaver)) return [];
  const staying = nodes.filter((node) => isMember(node) && !leaving.includes(node.metadata?.name ?? ""));
  const outlives = ({ heldBy, takenAt }: EtcdSnapshot): boolean => {
    if (heldBy === "store") return true;
    if (heldBy !== "members") return staying.some((node) => node.metadata?.name === heldBy.node);
    // Those that joined later never got it.
    return staying.some(({ metadata }) => new Date(metadata?.creationTimestamp ?? 0).getTime() <= takenAt);
  };
  const byAge = [...etcd.snapshots].sort((a, b) => b.takenAt - a.takenAt);
  const ageOf = ({ takenAt }: EtcdSnapshot): number => (etcd.seenAt - takenAt) / hour;
  const young = byAge.filter((one) => ageOf(one) <= snapshotHours);
  if (young.some(outlives)) return [];
  const [newest] = byAge;
  if (!newest) {
    return [
      {
        what: "etcd: Rancher knows no complete snapshot of it, so there is no way back from a lost quorum",
        remedy: `switch recurring snapshots on in Rancher (the cluster's Edit Config, etcd), then ${take}`,
      },
    ];
  }
  const [first] = young;
  if (first) {
    return [
      {
        what: `etcd: its snapshots of the last ${snapshotHours} h are on nodes that go and nowhere else (the newest is ${first.name})`,
        remedy: `${take}: the nodes that stay hold that one; S3 as their target holds each`,
      },
    ];
  }
  return [
    {
      what: `etcd: its newest complete snapshot, ${newest.name}, is ${Math.floor(ageOf(newest))} h old, and at most ${snapshotHours} h are allowed`,
      remedy: take,
    },
  ];
}
