import type { Context, VolumesOutputs } from "./context";

export function volumes(context: Context): Promise<VolumesOutputs> {
  throw new Error(`${context.layer}: not built yet`);
}
