import { z } from "zod";
import type { Clients } from "../clients";
import { capacityFindings } from "../cluster/capacity";
import { etcdFindings } from "../cluster/etcd";
import { failureOf } from "../cluster/failure";
import { refuseFindings, type Finding } from "../cluster/finding";
import { look, stageOf, type Snapshot } from "../cluster/snapshot";
import { defineOperation } from "../operation";
import { lookAtWays } from "./address-findings";
import { explained, preflight, refuseUnreachable, type Known } from "./preflight";
import { retirementInput, type RetirementInput } from "./retirement-input";

const schema = z.object({ stack: z.string().min(1), nodes: z.array(retirementInput) });

/** Records the nodes for the deletion, which cannot read the file: `destroy` does not run the program. */
export const guardRetirement = defineOperation({
  verb: "guard-retirement",
  needs: [],
  schema,
  run: async ({ nodes }) => ({ nodes: nodes.map(({ node }) => node) }),
});

/**
 * One report of everything that stands against retiring the old nodes, read-only. It comes first so that the operator sees it whole and before the
 * first node is touched; nothing relies on it, since each retirement looks again for itself.
 */
export const checkRetirement = defineOperation({
  verb: "check-retirement",
  needs: ["proxmox", "rancher", "kubernetes"],
  schema,
  run: (input, clients) => explained(input.stack, () => check(input, clients)),
});

async function check({ stack, nodes }: z.infer<typeof schema>, clients: Clients): Promise<{ nodes: string[] }> {
  await refuseUnreachable(clients, stack, ["Kubernetes", "Rancher", "Proxmox"], `\`pulumi up -s ${stack}\``);
  const snapshot = await look(clients);
  const findings: Finding[] = [];
  const [first] = nodes;
  // Recorded alike of all.
  const ways = first && (await lookAtWays(clients, snapshot, first));
  for (const input of nodes) findings.push(...(await findingsOf(clients, input, ways && { snapshot, ways })));
  const members = nodes.filter(({ node }) => stageOf(snapshot, node) === "member");
  findings.push(...etcdFindings(snapshot, members));
  findings.push(
    ...roomForAll(
      snapshot,
      members.map(({ node }) => node),
    ),
  );
  refuseFindings(
    `${stack}: no old node was retired, nothing was touched`,
    // What concerns all of them, such as a volume, is found once for each.
    [...new Map(findings.map((found) => [found.what, found])).values()],
    `mend what is named, then \`pulumi destroy -s ${stack}\``,
  );
  return { nodes: nodes.map(({ node }) => node) };
}

/** One node's findings; that its machine cannot even be told is one of them, so that the report goes on to the next. */
async function findingsOf(
  clients: Clients,
  input: RetirementInput,
  known: Known | undefined,
): Promise<readonly Finding[]> {
  try {
    return (await preflight(clients, input, known)).findings;
  } catch (error) {
    const { what, why, next } = failureOf(error);
    return [
      { what: `${input.node}: its look ended early: ${what}: ${why}`, remedy: next ?? "run the same command again" },
    ];
  }
}

/** What of all nodes together finds no room although each node's pods alone would: those that do not are in its own findings. */
function roomForAll(snapshot: Snapshot, nodes: readonly string[]): readonly Finding[] {
  if (nodes.some((node) => capacityFindings(snapshot, [node], nodes).length > 0)) return [];
  return capacityFindings(snapshot, nodes, nodes);
}
