import type { Registration } from "../../rehearsal/record";

/** The options of a resource that was registered with none. */
export const noOptions: Registration["options"] = {
  protect: false,
  retainOnDelete: false,
  deleteBeforeReplace: false,
  deletedWith: "",
  ignoreChanges: [],
  importId: "",
  customTimeouts: { create: "", update: "", delete: "" },
  aliases: [],
  additionalSecretOutputs: [],
};
