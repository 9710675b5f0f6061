import * as pulumi from "@pulumi/pulumi";
import type { VolumeSpec } from "../../environment/schema";
import { cordonWithoutLonghorn, uncordonWithoutLonghorn } from "../../operations/cluster/without-longhorn";
import { declare, type AccessInput } from "../../operations/declare";
import { volumeId } from "../../operations/volumes/migration-pod";

export interface NodesWithoutLonghornArgs {
  /** Those that are past their copy; at least one. */
  readonly volumes: readonly Pick<VolumeSpec, "namespace" | "claim">[];
  /** To the Kubernetes API. */
  readonly access: AccessInput;
}

/**
 * No new pod on nodes to which no volume of Longhorn can be attached, from before the first cutover for as long as a volume is past its copy. What a cutover
 * relies on it looks at itself (`openWithoutLonghorn`); this is what makes it so.
 */
export class NodesWithoutLonghorn extends pulumi.ComponentResource {
  /** Names of the nodes, known once they are cordoned. */
  readonly cordoned: pulumi.Output<readonly string[]>;

  constructor(name: string, args: NodesWithoutLonghornArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:volumes:NodesWithoutLonghorn", name, args, opts);
    const cordoned = declare(
      `${name}-cordon`,
      {
        create: cordonWithoutLonghorn,
        // Converges, and runs for every further volume: a node may have come since, or somebody may have uncordoned one.
        update: cordonWithoutLonghorn,
        delete: uncordonWithoutLonghorn,
        access: args.access,
        input: { volumes: args.volumes.map(volumeId).sort() },
      },
      { parent: this, dependsOn: opts?.dependsOn },
    );
    this.cordoned = cordoned.result.cordoned;
    this.registerOutputs({ cordoned: this.cordoned });
  }
}

/** Whether a volume's stage lets its workload live on Longhorn. */
export function pastCopy({ stage }: { readonly stage: string }): boolean {
  return stage !== "copy";
}
