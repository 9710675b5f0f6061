import type { Context, RancherosOutputs } from "./context";

export function rancheros(context: Context): Promise<RancherosOutputs> {
  throw new Error(`${context.layer}: not built yet`);
}
