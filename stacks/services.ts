import type { Context, ServicesOutputs } from "./context";

export function services(context: Context): Promise<ServicesOutputs> {
  throw new Error(`${context.layer}: not built yet`);
}
