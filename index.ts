import * as pulumi from "@pulumi/pulumi";
import { loadEnvironment, loadSecrets } from "./environment/load";
import { parseStackName } from "./environment/stack";
import { nodes } from "./stacks/nodes";
import { rancheros } from "./stacks/rancheros";
import { services } from "./stacks/services";
import { volumes } from "./stacks/volumes";
import { refuseUnresolved } from "./versions";

const stacks = { nodes, services, volumes, rancheros };

/** Runs the one layer that the stack's name says: `home-nodes` is the layer `nodes` of the environment `home`. */
export = async (): Promise<object> => {
  const stack = parseStackName(pulumi.getStack());
  const environment = loadEnvironment();
  refuseUnresolved(stack.layer);
  return stacks[stack.layer]({ ...stack, file: environment, secrets: loadSecrets() });
};
