import * as pulumi from "@pulumi/pulumi";
import { loadEnvironment, loadSecrets } from "./environment/load";
import { parseStackName } from "./environment/stack";
import { readableError, readably } from "./operations/readable";
import type { Context } from "./stacks/context";
import { nodes } from "./stacks/nodes";
import { rancheros } from "./stacks/rancheros";
import { services } from "./stacks/services";
import { volumes } from "./stacks/volumes";
import { refuseUnresolved } from "./versions";

const stacks = { nodes, services, volumes, rancheros };

/** Runs the one layer that the stack's name says: `home-nodes` is the layer `nodes` of the environment `home`. */
export = async (): Promise<object> => {
  const context = prepare();
  try {
    return await stacks[context.layer](context);
  } catch (error) {
    // A missing secret, for one, is found only where the layer uses it.
    throw pulumi.RunError.isInstance(error) ? readably(error, error.message) : error;
  }
};

/** Everything that can be refused before a resource is registered. What is wrong is the operator's to mend, so no stack trace hides it. */
function prepare(): Context {
  try {
    const stack = parseStackName(pulumi.getStack());
    const file = loadEnvironment();
    refuseUnresolved(stack.layer);
    return { ...stack, file, secrets: loadSecrets() };
  } catch (error) {
    throw readableError(error instanceof Error ? error.message : String(error));
  }
}
