import * as pulumi from "@pulumi/pulumi";
import { declare, type AccessInput } from "../../operations/declare";
import { longhornClass } from "../../operations/kinds";
import { defaultClass, restoreDefaultClass } from "../../operations/storage/default-class";
import { storageReady } from "../../operations/storage/storage-ready";

export interface DefaultStorageArgs {
  /** Nodes that bring a disk. */
  readonly storageNodes: readonly string[];
  /** The class that volumes leave. */
  readonly oldStorageClass: string;
  /** Percent of each disk that Longhorn keeps free. */
  readonly reservedPercent: number;
  /** The release's revision: a changed release is waited for again. */
  readonly revision: pulumi.Input<number | undefined>;
  readonly access: AccessInput;
}

/** Longhorn's class as the only default, and the gate behind which claims may be made. */
export class DefaultStorage extends pulumi.ComponentResource {
  /** The class, once a claim of it would get a volume on every storage node. */
  readonly storageClass: pulumi.Output<string>;

  constructor(name: string, args: DefaultStorageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:DefaultStorage", name, args, opts);
    const { access, oldStorageClass } = args;
    const flag = declare(
      `${name}-default-class`,
      {
        create: defaultClass,
        // Converges: the record of an earlier run stays as it is.
        update: defaultClass,
        delete: restoreDefaultClass,
        access,
        input: { storageClass: longhornClass, oldStorageClass },
      },
      // The release, which a component's children do not wait for by themselves once it is registered.
      { parent: this, dependsOn: opts?.dependsOn },
    );
    const ready = declare(
      `${name}-storage-ready`,
      {
        create: storageReady,
        update: storageReady,
        access,
        input: pulumi.output(args.revision).apply((revision) => ({
          storageClass: longhornClass,
          nodes: [...args.storageNodes],
          reservedPercent: args.reservedPercent,
          revision,
        })),
      },
      { parent: this, dependsOn: flag.resource },
    );
    this.storageClass = ready.result.storageClass;
    this.registerOutputs({ storageClass: this.storageClass });
  }
}
