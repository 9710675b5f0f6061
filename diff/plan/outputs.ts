import type { Properties } from "../../rehearsal/record";
import type { RecordedResource } from "../format";
import { isMap } from "../values";
import { unknown } from "./unknown";

/** What a Kubernetes server adds to an object's metadata. */
const computed = ["uid", "resourceVersion", "creationTimestamp", "generation"];

/** What a preview shows of a resource that is about to be made (`old` undefined) or changed in place. What is left out is unknown. */
export function plannedOutputs({ type, inputs }: RecordedResource, old: RecordedResource | undefined): Properties {
  // A Command's outputs depend on all of its inputs; a release's status on everything (pulumi-command, pulumi-kubernetes helm_release.go).
  if (type === "command:local:Command" || type.includes(":helm.sh/")) return inputs;
  if (type.startsWith("kubernetes:")) {
    const known = old && isMap(old.outputs.metadata) ? old.outputs.metadata : {};
    const added = Object.fromEntries(computed.map((key) => [key, known[key] ?? unknown]));
    return { ...old?.outputs, ...inputs, metadata: { ...added, ...(isMap(inputs.metadata) ? inputs.metadata : {}) } };
  }
  return { ...old?.outputs, ...inputs };
}
