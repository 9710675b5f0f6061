import * as pulumi from "@pulumi/pulumi";
import type { Layer, StackName } from "../environment/stack";
import { readableError } from "../operations/readable";
import type { Context, NodesOutputs } from "./context";

/**
 * An output of another layer of the same environment, awaited before anything is registered. Throws what to deploy first: a missing output by itself, a missing
 * stack through the reference's name, since the engine ends the run with its own words and that name. Awaited and not an output, because a component whose
 * dependsOn is refused makes the engine wait for ever (tried).
 */
export async function requireOutput<T>(self: StackName, layer: Layer, output: string): Promise<T> {
  const stack = `${self.environment}-${layer}`;
  const reference = new pulumi.StackReference(`${stack} (deployed first)`, {
    name: `${pulumi.getOrganization()}/${pulumi.getProject()}/${stack}`,
  });
  const details: { readonly value?: unknown; readonly secretValue?: unknown } =
    await reference.getOutputDetails(output);
  const found = details.value ?? details.secretValue;
  if (found === undefined) throw deployFirst(self, `the output ${output} of ${stack}`, stack);
  return found as T;
}

/** The file's nodes as the nodes layer deployed them; refused while one of them is only in the file. */
export async function requireNodes(context: Context): Promise<NodesOutputs["nodes"]> {
  const deployed = await requireOutput<NodesOutputs["nodes"]>(context, "nodes", "nodes");
  const missing = context.file.nodes.filter((node) => !(node.name in deployed)).map((node) => node.name);
  if (missing.length > 0)
    throw deployFirst(context, `${missing.join(", ")} of the file`, `${context.environment}-nodes`);
  return deployed;
}

function deployFirst({ environment, layer }: StackName, what: string, stack: string): Error {
  return readableError(`${environment}-${layer} needs ${what}: deploy ${stack} first: \`pulumi up -s ${stack}\``);
}
