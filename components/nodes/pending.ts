import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../environment/schema";
import { accessFor, ask, type AccessInput } from "../../operations/declare";
import { checkPending } from "../../operations/nodes/pending";

/** Asks, at every preview and update, what waits for a restart, and warns of it once for all nodes. */
export function warnOfPending(
  { nodes, access }: { readonly nodes: readonly NodeSpec[]; readonly access: AccessInput },
  opts: pulumi.InvokeOutputOptions,
): void {
  const machines = nodes.map(({ name, host, vmId }) => ({ name, host, vmId }));
  ask(checkPending, accessFor(access, checkPending), { nodes: machines }, opts).apply(({ pending }) => {
    const warning = pendingWarning(nodes, pending);
    if (warning !== undefined) void pulumi.log.warn(warning);
  });
}

/** Each node with what waits, and the next step for those that may not restart yet and for those that may. */
function pendingWarning(
  nodes: readonly NodeSpec[],
  pending: Readonly<Record<string, readonly string[]>>,
): string | undefined {
  const waiting = nodes.filter((node) => (pending[node.name] ?? []).length > 0);
  if (waiting.length === 0) return undefined;
  const told = waiting.map((node) => `${node.name} (${(pending[node.name] ?? []).join(", ")})`).join(", ");
  const asked = waiting.filter((node) => !node.restart).map((node) => node.name);
  const allowed = waiting.filter((node) => node.restart).map((node) => node.name);
  return [
    `waits for a restart: ${told}`,
    ...(asked.length === 0
      ? []
      : [
          `  to apply it: \`restart: true\` on ${asked.join(", ")} in the environment file, then \`pulumi up\`: one node at a time is drained, restarted and awaited`,
        ]),
    // A step whose inputs are those of its last success is not run again, and what was changed in Proxmox by hand is in no input.
    ...(allowed.length === 0
      ? []
      : [
          `  \`restart: true\` on ${allowed.join(", ")}: \`pulumi up\` applies what the environment file changed; anything else: \`pulumi up ${allowed.map((name) => `--replace '**::${name}-restart-step'`).join(" ")}\``,
        ]),
  ].join("\n");
}
