import type { Context, NodesOutputs } from "./context";

export function nodes(context: Context): Promise<NodesOutputs> {
  throw new Error(`${context.layer}: not built yet`);
}
