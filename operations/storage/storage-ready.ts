import { z } from "zod";
import type { KubernetesApi } from "../clients";
import {
  csiDrivers,
  csiNodes,
  longhornDriver,
  longhornNamespace,
  longhornNodes,
  storageClasses,
  type LonghornCondition,
  type LonghornNode,
} from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { isDefault } from "./default-class";

const schema = z.strictObject({
  storageClass: z.string(),
  /** Nodes that bring a disk. */
  nodes: z.array(z.string()).min(1),
  /** What the file wants each disk to keep free, in percent; requests of older checkouts do not say it. */
  reservedPercent: z.number().optional(),
  /** The release's revision, so that an upgraded or changed Longhorn is waited for again. Unknown in rehearsals that do not model it. */
  revision: z.number().optional(),
});

/** Seconds. Image pulls and the driver's registration on every node, after the release said ready at its first manager. */
const timeoutSeconds = 1200;

/**
 * Waits until a claim would really get a volume. Helm and the engine call Longhorn ready when one manager answers: its class, its driver and its
 * disks come later and from elsewhere.
 */
export const storageReady = defineOperation({
  verb: "storage-ready",
  needs: ["kubernetes"],
  schema,
  async run({ storageClass, nodes, reservedPercent }, { kubernetes, clock, log }) {
    await waitFor(
      clock,
      {
        what: "Longhorn's storage",
        timeoutSeconds,
        next: "`kubectl -n longhorn-system get pods,nodes.longhorn.io -o wide`, mend what is named above, then `pulumi up` again",
      },
      async () => {
        const missing = [
          ...(await missingClass(kubernetes, storageClass)),
          ...((await kubernetes.read(csiDrivers, longhornDriver)) ? [] : [`CSIDriver ${longhornDriver} is missing`]),
          ...(await Promise.all(nodes.map((node) => missingOnNode(kubernetes, node)))).flat(),
        ];
        if (missing.length > 0) throw new NotYet(missing.join("; "));
        return true;
      },
    );
    if (reservedPercent !== undefined) {
      for (const node of nodes) {
        const live = await kubernetes.read(longhornNodes, node, longhornNamespace);
        for (const line of otherReserves(live, reservedPercent)) log(`node ${node}: ${line}`);
      }
    }
    return { storageClass };
  },
});

/**
 * Disks that keep another share free than the file says. Longhorn reads the share when it makes a disk and never again (longhorn-manager v1.12.1,
 * syncDefaultDisks); the environment's rules count with the file's. Said and not set: the disk's owner may have set it in the UI on purpose.
 */
export function otherReserves(node: LonghornNode | undefined, percent: number): readonly string[] {
  return Object.entries(node?.spec?.disks ?? {}).flatMap(([disk, { storageReserved }]) => {
    const { storageMaximum = 0 } = node?.status?.diskStatus?.[disk] ?? {};
    if (storageReserved === undefined || storageMaximum === 0) return [];
    const live = Math.round((100 * storageReserved) / storageMaximum);
    if (live === percent) return [];
    return [
      `disk ${disk} keeps ${live} % free, longhorn.reservedPercent says ${percent}: Longhorn took it when the disk was made; change it in its UI (Node, Edit node and disks)`,
    ];
  });
}

async function missingClass(kubernetes: KubernetesApi, name: string): Promise<string[]> {
  const classes = await kubernetes.list(storageClasses);
  if (!classes.some((found) => found.metadata?.name === name)) return [`StorageClass ${name} is missing`];
  const defaults = classes.filter(isDefault).map((found) => found.metadata?.name ?? "");
  if (defaults.length === 1 && defaults[0] === name) return [];
  const which = defaults.length === 0 ? "none" : defaults.sort().join(" and ");
  return [`StorageClass ${name} is not the only default: marked as default is ${which}`];
}

async function missingOnNode(kubernetes: KubernetesApi, name: string): Promise<string[]> {
  const csiNode = await kubernetes.read(csiNodes, name);
  const registered = csiNode?.spec?.drivers?.some((driver) => driver.name === longhornDriver) ?? false;
  const disk = missingDisk(await kubernetes.read(longhornNodes, name, longhornNamespace));
  return [
    ...(registered ? [] : [`node ${name}: ${longhornDriver} is not registered with its kubelet`]),
    ...(disk === undefined ? [] : [`node ${name}: ${disk}`]),
  ];
}

/** Why Longhorn could not put a replica on the node; undefined when it can. */
export function missingDisk(node: LonghornNode | undefined): string | undefined {
  if (!node) return "Longhorn does not know it (is it labelled home-cluster/node=debian, and does its manager run?)";
  const bad = ["Ready", "Schedulable"].map((type) => failing(node.status?.conditions, type)).find(Boolean);
  if (bad !== undefined) return `Longhorn says ${bad}`;
  if (node.spec?.allowScheduling === false) return "scheduling is switched off in Longhorn";
  const disks = Object.entries(node.spec?.disks ?? {});
  if (disks.length === 0) return "no disk (is it labelled node.longhorn.io/create-default-disk=true?)";
  const reasons = disks.map(([disk, { allowScheduling }]) =>
    allowScheduling === false
      ? `disk ${disk} is switched off`
      : failing(node.status?.diskStatus?.[disk]?.conditions, "Schedulable", `disk ${disk} `),
  );
  return reasons.includes(undefined) ? undefined : reasons.join(", ");
}

/** What a condition says when it is not True; undefined when it is. */
function failing(conditions: readonly LonghornCondition[] | undefined, type: string, subject = ""): string | undefined {
  const found = conditions?.find((condition) => condition.type === type);
  if (found?.status === "True") return undefined;
  return `${subject}${type} is ${found ? `${found.status} (${found.reason || found.message || "no reason given"})` : "unknown"}`;
}
