import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import type { AccessInput } from "../../operations/declare";
import { DefaultStorage } from "./default-storage";
import { LonghornBackup, type BackupCredentials } from "./longhorn-backup";
import { LonghornRelease } from "./longhorn-release";
import { RecurringJobs } from "./recurring-jobs";
import { StorageNamespace } from "./storage-namespace";

export interface LonghornArgs {
  readonly longhorn: Environment["longhorn"];
  /** Rancher project for storage, `<cluster>:<project>`. */
  readonly project: string;
  /** Names of the nodes that bring a disk; see `storageNodes`. */
  readonly storageNodes: readonly string[];
  /** The class that volumes leave. */
  readonly oldStorageClass: string;
  /** To the Kubernetes API. */
  readonly access: AccessInput;
  /** Exactly when the backup target is S3. */
  readonly backupCredentials?: BackupCredentials;
}

/** Longhorn as the cluster's default storage, with its backup target and recurring jobs. The UI's way in is LonghornUi, its way out LonghornGuard. */
export class Longhorn extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** The class for new claims, once a claim of it would get a volume on every storage node. */
  readonly storageClass: pulumi.Output<string>;

  constructor(name: string, args: LonghornArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:Longhorn", name, args, opts);
    const { longhorn, access } = args;
    const { namespace } = new StorageNamespace(
      `${name}-storage`,
      { project: args.project, leaving: longhorn.leaving },
      { parent: this },
    );
    const backup =
      args.backupCredentials &&
      new LonghornBackup(`${name}-backup`, { credentials: args.backupCredentials, namespace }, { parent: this });
    const release = new LonghornRelease(
      `${name}-helm`,
      { longhorn, namespace, backupSecret: backup?.secretName, access },
      { parent: this },
    );
    const storage = new DefaultStorage(
      `${name}-default`,
      {
        storageNodes: args.storageNodes,
        oldStorageClass: args.oldStorageClass,
        reservedPercent: longhorn.reservedPercent,
        revision: release.revision,
        access,
      },
      { parent: this, dependsOn: release },
    );
    new RecurringJobs(
      `${name}-jobs`,
      { jobs: longhorn.recurringJobs, namespace },
      { parent: this, dependsOn: storage },
    );
    this.namespace = namespace;
    this.storageClass = storage.storageClass;
    this.registerOutputs({ namespace: this.namespace, storageClass: this.storageClass });
  }
}

/** The nodes of the file that bring a disk to Longhorn. */
export function storageNodes(file: Pick<Environment, "nodes">): readonly string[] {
  return file.nodes.filter((node) => node.dataDisk !== undefined).map((node) => node.name);
}
