/** The layers, in the order in which they go up. */
export const layers = ["nodes", "services", "volumes", "rancheros"] as const;
export type Layer = (typeof layers)[number];

/** A stack name taken apart: `home-nodes` is the layer `nodes` of the environment `home`. */
export interface StackName {
  readonly environment: string;
  readonly layer: Layer;
}

/** Splits at the last hyphen, since environments may carry hyphens and layers do not. Throws with the names to use. */
export function parseStackName(stack: string): StackName {
  const hyphen = stack.lastIndexOf("-");
  const environment = stack.slice(0, Math.max(hyphen, 0));
  const layer = layers.find((known) => known === stack.slice(hyphen + 1));
  if (environment === "" || layer === undefined) {
    const example = environment === "" ? "home" : environment;
    throw new Error(
      `stack ${stack}: not <environment>-<layer>; use one of ${layers.map((known) => `${example}-${known}`).join(", ")}: ` +
        `\`pulumi stack select ${example}-nodes\``,
    );
  }
  return { environment, layer };
}
