import * as pulumi from "@pulumi/pulumi";
import type { Layer, StackName } from "../environment/stack";

/**
 * An output of another layer of the same environment. A missing stack or output says which layer to deploy first instead of the engine's stack trace.
 */
export function requireOutput<T>(self: StackName, layer: Layer, output: string): pulumi.Output<T> {
  const name = `${self.environment}-${layer}`;
  const reference = new pulumi.StackReference(name, {
    name: `${pulumi.getOrganization()}/${pulumi.getProject()}/${name}`,
  });
  return reference.getOutput(output).apply((value: unknown) => {
    if (value === undefined) {
      throw new Error(
        `${self.environment}-${self.layer} needs the output ${output} of ${name}: deploy ${name} first: \`pulumi up -s ${name}\``,
      );
    }
    return value as T;
  });
}
