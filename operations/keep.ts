import { z } from "zod";
import { defineOperation } from "./operation";

/**
 * The update of an effect that must happen once: the new inputs are recorded for a later delete, nothing else happens, and the result stays what
 * `create` returned (`dispatch` repeats it from what @pulumi/command hands on).
 */
export const keep = defineOperation({ verb: "keep", needs: [], schema: z.unknown(), run: async () => ({}) });
