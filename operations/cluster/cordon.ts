import type { V1Node } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { nodes } from "../kinds";

/** Says that we cordoned the Node, and for what: what anybody else cordoned is not ours to open again. */
const cordonAnnotation = "home-cluster/cordoned-for";

/**
 * What a node is cordoned for: `leave` and `restart` for as long as those take; `longhorn` because volumes of Longhorn cannot be attached there, for as long as
 * the volumes layer says so (without-longhorn.ts).
 */
export type Purpose = "leave" | "restart" | "longhorn";

/** What we cordoned the Node for; undefined when we did not. */
export function cordonedFor(node: V1Node | undefined): string | undefined {
  return node?.metadata?.annotations?.[cordonAnnotation];
}

/** Lets no new pod onto the node, and records on it whether that was our doing. */
export async function cordon(
  { kubernetes, log }: Pick<Clients, "kubernetes" | "log">,
  name: string,
  purpose: Purpose = "leave",
): Promise<void> {
  const node = await kubernetes.read(nodes, name);
  if (!node || node.spec?.unschedulable) return;
  // One patch, so that there is no moment in which it is cordoned and nobody knows by whom.
  await kubernetes.patch(nodes, name, {
    metadata: { annotations: { [cordonAnnotation]: purpose } },
    spec: { unschedulable: true },
  });
  log(`${name}: cordoned`);
}

/** Takes a cordon of ours back. Not one for Longhorn unless asked for it: a leave or a restart that is given up did not make it. */
export async function uncordon(
  { kubernetes, log }: Pick<Clients, "kubernetes" | "log">,
  name: string,
  purposes: readonly Purpose[] = ["leave", "restart"],
): Promise<void> {
  const node = await kubernetes.read(nodes, name);
  const purpose = cordonedFor(node);
  if (!purposes.some((one) => one === purpose)) return;
  await kubernetes.patch(nodes, name, {
    metadata: { annotations: { [cordonAnnotation]: null } },
    spec: { unschedulable: null },
  });
  log(`${name}: uncordoned`);
}
