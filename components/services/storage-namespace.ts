import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { longhornNamespace } from "../../operations/kinds";
import { podSecurity } from "../../operations/pod-security";

export interface StorageNamespaceArgs {
  /** Rancher project, `<cluster>:<project>`. */
  readonly project: string;
  /** The switch by which Longhorn may be uninstalled, and this with it. */
  readonly leaving: boolean;
}

/** The namespace of Longhorn and of everything beside it, in the Rancher project for storage. */
export class StorageNamespace extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;

  constructor(name: string, args: StorageNamespaceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:StorageNamespace", name, args, opts);
    const namespace = new kubernetes.core.v1.Namespace(
      `${name}-namespace`,
      {
        metadata: {
          name: longhornNamespace,
          // The annotation, with the cluster in it: Rancher makes the label of the same name from it and ignores one set by hand.
          annotations: { "field.cattle.io/projectId": args.project },
          // Longhorn's pods mount the host's devices. At a stricter level they are refused, in events that nobody reads.
          labels: podSecurity("privileged"),
        },
      },
      {
        parent: this,
        // Deleting a namespace deletes whatever is in it, Longhorn's volumes first of all, in no order that its finalizers survive.
        protect: !args.leaving,
        // The net below `protect`, for somebody who takes that off by hand: the engine forgets the namespace, the cluster keeps it.
        retainOnDelete: !args.leaving,
      },
    );
    this.namespace = namespace.metadata.name;
    this.registerOutputs({ namespace: this.namespace });
  }
}
