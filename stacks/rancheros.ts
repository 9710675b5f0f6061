import { OldNode } from "../components/rancheros/old-node";
import { retirements } from "../components/rancheros/retirement";
import { RetirementGate } from "../components/rancheros/retirement-gate";
import type { Context, Declared, RancherosOutputs } from "./context";
import { access, operationsProvider } from "./providers";

/** The layer rancheros: every old node that is not retired, recorded and not adopted, and the gate that reports before any of them goes. */
export function rancheros(context: Context): Declared<RancherosOutputs> {
  const stack = `${context.environment}-${context.layer}`;
  const recorded = retirements(context.file, stack);
  if (recorded.length === 0) return { nodes: {} };
  const ways = access(context, ["proxmox", "rancher", "kubernetes"]);
  const providers = [operationsProvider()];

  const oldNodes = recorded.map((retirement) => ({
    name: retirement.node,
    component: new OldNode(retirement.node, { retirement, access: ways }, { providers }),
  }));
  new RetirementGate(
    "retirement",
    { stack, retirements: recorded, access: ways },
    { providers, dependsOn: oldNodes.map(({ component }) => component) },
  );
  return { nodes: Object.fromEntries(oldNodes.map(({ name, component }) => [name, component.identity])) };
}
