import type { Clients } from "../clients";
import { longhornNamespace, longhornNodes, longhornReplicas, longhornVolumes, type LonghornNode } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { missingDisk } from "../storage/storage-ready";
import { patiently } from "./failure";
import type { Finding } from "./finding";
import type { Snapshot } from "./snapshot";

/** Seconds for all replicas to be built anew elsewhere; Longhorn itself says minutes to hours. */
const evictionSeconds = 4 * 3600;

/** Holds what the node's Longhorn settings were, as JSON, while a leave has changed them. */
const beforeAnnotation = "home-cluster/before-leave";

/** Names of replicas and backing images on the node's disks. Volumes that are detached count: their data is nowhere else either. */
export function heldBy(node: LonghornNode | undefined): string[] {
  return Object.values(node?.status?.diskStatus ?? {}).flatMap((disk) => [
    ...Object.keys(disk.scheduledReplica ?? {}),
    ...Object.keys(disk.scheduledBackingImage ?? {}).map((image) => `backing image ${image}`),
  ]);
}

/** A node that should hold nothing: Longhorn is kept off it, so what is there got there by somebody's hand. */
export function emptinessFindings({ longhorn }: Pick<Snapshot, "longhorn">, node: string): Finding[] {
  const held = heldBy(find(longhorn.nodes, node));
  if (held.length === 0) return [];
  return [
    {
      what: `${node}: Longhorn keeps data on it (${listed(held)})`,
      remedy:
        `let it move: \`kubectl -n ${longhornNamespace} patch nodes.longhorn.io ${node} --type merge ` +
        `-p '{"spec":{"allowScheduling":false,"evictionRequested":true}}'\``,
    },
  ];
}

/**
 * A node whose replicas are to move: each volume must find as many other nodes as it wants replicas, or its eviction never ends; and a volume that
 * is not healthy may have its last good replica here.
 */
export function evictionFindings({ longhorn }: Pick<Snapshot, "longhorn">, node: string): Finding[] {
  const here = longhorn.replicas.filter((replica) => replica.spec?.nodeID === node);
  const others = longhorn.nodes.filter((other) => other.metadata?.name !== node && missingDisk(other) === undefined);
  const names = [...new Set(here.map((replica) => replica.spec?.volumeName ?? ""))].sort();
  const findings = names.flatMap((name): Finding[] => {
    const volume = longhorn.volumes.find((other) => other.metadata?.name === name);
    const wanted = volume?.spec?.numberOfReplicas ?? 1;
    const healthy = longhorn.replicas.filter(({ spec }) => spec?.volumeName === name && !spec.failedAt);
    const last = healthy.length > 0 && healthy.every((replica) => replica.spec?.nodeID === node);
    const robustness = volume?.status?.robustness;
    const found: Finding[] = [];
    if (others.length < wanted) {
      found.push({
        what: `${node}: Longhorn volume ${name} wants ${wanted} replicas, and ${others.length} other nodes can take one${last ? "; its last one is here" : ""}`,
        remedy: "add a storage node first, or lower the volume's number of replicas",
      });
    }
    if (robustness === "degraded" || robustness === "faulted") {
      found.push({
        what: `${node}: Longhorn volume ${name} is ${robustness}${last ? " and its last good replica is here" : ""}`,
        remedy: "wait until Longhorn has rebuilt it, or mend it in Longhorn's UI",
      });
    }
    return found;
  });
  const images = heldBy(find(longhorn.nodes, node)).filter((name) => name.startsWith("backing image "));
  if (images.length > 0 && others.length === 0) {
    findings.push({
      what: `${node}: Longhorn keeps ${listed(images)} on it, and no other node can take it`,
      remedy: "add a storage node first",
    });
  }
  return findings;
}

/** Asks Longhorn to move everything off the node and waits until it has. A node that holds nothing is not touched. */
export async function evictLonghorn({ kubernetes, clock, log }: Clients, name: string): Promise<void> {
  const node = await kubernetes.read(longhornNodes, name, longhornNamespace);
  if (heldBy(node).length === 0) return;
  if (!node?.spec?.evictionRequested) {
    const { allowScheduling = true, evictionRequested = false } = node?.spec ?? {};
    const before = JSON.stringify({ allowScheduling, evictionRequested });
    const patch = {
      metadata: { annotations: { [beforeAnnotation]: before } },
      spec: { allowScheduling: false, evictionRequested: true },
    };
    await kubernetes.patch(longhornNodes, name, patch, longhornNamespace);
  }
  let left = -1;
  await waitFor(
    clock,
    {
      what: `${name}: Longhorn's replicas and backing images moving elsewhere`,
      timeoutSeconds: evictionSeconds,
      everySeconds: 15,
      firstSeconds: 1,
      next: "see in Longhorn's UI why they do not move (space, anti-affinity, a volume that is not healthy)",
    },
    async () => {
      const held = heldBy(await kubernetes.read(longhornNodes, name, longhornNamespace));
      if (held.length !== left) log(`${name}: ${held.length} Longhorn replicas and backing images to move`);
      left = held.length;
      if (left === 0) return true;
      throw new NotYet(`still there: ${listed(held)}`);
    },
  );
}

/** Gives the node's Longhorn settings back as they were before our leave; replicas that moved stay where they are. */
export async function recallEviction({ kubernetes, log }: Clients, name: string): Promise<void> {
  const node = await kubernetes.read(longhornNodes, name, longhornNamespace);
  const before = node?.metadata?.annotations?.[beforeAnnotation];
  if (before === undefined) return;
  const spec = JSON.parse(before) as unknown;
  const patch = { metadata: { annotations: { [beforeAnnotation]: null } }, spec };
  await kubernetes.patch(longhornNodes, name, patch, longhornNamespace);
  log(`${name}: Longhorn may use it again`);
}

/**
 * Volumes whose data is nowhere but on this node: every other replica has failed, or never was whole. Where the node's machine is gone for good, that is data
 * lost, and taking the replica's record away would only hide it.
 */
export function onlyHereFindings({ longhorn }: Pick<Snapshot, "longhorn">, node: string): Finding[] {
  const here = longhorn.replicas.filter((replica) => replica.spec?.nodeID === node);
  const names = [...new Set(here.map((replica) => replica.spec?.volumeName ?? ""))].sort();
  return names.flatMap((name): Finding[] => {
    const good = longhorn.replicas.filter(
      ({ spec }) => spec?.volumeName === name && spec.nodeID !== node && !spec.failedAt && spec.healthyAt !== "",
    );
    if (good.length > 0) return [];
    const { namespace, pvcName } =
      longhorn.volumes.find((volume) => volume.metadata?.name === name)?.status?.kubernetesStatus ?? {};
    const claim = pvcName === undefined ? "" : ` (claim ${namespace}/${pvcName})`;
    return [
      {
        what: `${node}: its machine is gone, and with it the only good replica of Longhorn volume ${name}${claim}`,
        remedy:
          "restore the volume from a backup under another name, then delete this one in Longhorn's UI; or delete it, and its data is gone",
      },
    ];
  });
}

/**
 * Takes a node that is gone from Kubernetes out of Longhorn. Its webhook refuses that until Longhorn itself has noticed, scheduling is off, and no replica is on
 * record there (longhorn-manager v1.12, webhook/resources/node/validator.go). A replica is taken off the record only where another one is good.
 */
export async function forgetInLonghorn({ kubernetes, clock, log }: Clients, name: string): Promise<void> {
  const inLonghorn = { namespace: longhornNamespace };
  const read = (): Promise<LonghornNode | undefined> => kubernetes.read(longhornNodes, name, longhornNamespace);
  if (!(await read())) return;
  await waitFor(
    clock,
    {
      what: `${name}: gone from Longhorn`,
      timeoutSeconds: 600,
      next: `see why it stays: \`kubectl -n ${longhornNamespace} get nodes.longhorn.io ${name} -o yaml\``,
    },
    patiently(async () => {
      const replicas = await kubernetes.list(longhornReplicas, inLonghorn);
      const here = replicas.filter((replica) => replica.spec?.nodeID === name && !replica.metadata?.deletionTimestamp);
      if (here.length > 0) {
        const volumes = await kubernetes.list(longhornVolumes, inLonghorn);
        const [finding] = onlyHereFindings({ longhorn: { nodes: [], replicas, volumes } }, name);
        if (finding) throw new NotYet(`${finding.what}: ${finding.remedy}`);
        for (const { metadata } of here) {
          log(`${name}: Longhorn forgets the replica ${metadata?.name}, which others have`);
          await kubernetes.remove(longhornReplicas, metadata?.name ?? "", longhornNamespace);
        }
      }
      // Longhorn's finalizer may have let go of it since the last look.
      const node = await read();
      if (!node) return true;
      if (node.spec?.allowScheduling !== false) {
        await kubernetes.patch(longhornNodes, name, { spec: { allowScheduling: false } }, longhornNamespace);
      }
      await kubernetes.remove(longhornNodes, name, longhornNamespace);
      if (await read()) throw new NotYet("it is being removed");
      return true;
    }),
  );
}

function find(nodes: readonly LonghornNode[], name: string): LonghornNode | undefined {
  return nodes.find((node) => node.metadata?.name === name);
}

function listed(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return `${names.slice(0, 5).join(", ")}${more}`;
}
