import { createHash } from "node:crypto";
import { secret } from "../record";
import type { Model } from ".";

/** Random values that are the same in every rehearsal: derived from the resource's URN. */
export const randomValue: Model = async ({ registration, inputs }) => {
  const result = createHash("sha512")
    .update(registration.urn)
    .digest("hex")
    .slice(0, Number(inputs.length ?? 16));
  return { id: "none", outputs: { result: secret(result) } };
};
