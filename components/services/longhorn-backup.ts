import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";

/** The keys of the backup store, secret from the moment they are read. */
export interface BackupCredentials {
  readonly accessKey: pulumi.Output<string>;
  readonly secretKey: pulumi.Output<string>;
}

/** Name of the Secret with these keys, which Longhorn is told. */
export const longhornBackupSecret = "longhorn-backup";

export interface LonghornBackupArgs {
  readonly credentials: BackupCredentials;
  readonly namespace: pulumi.Input<string>;
}

/** The Secret by which Longhorn reaches an S3 backup target. NFS needs none. */
export class LonghornBackup extends pulumi.ComponentResource {
  /** Known once the Secret exists. */
  readonly secretName: pulumi.Output<string>;

  constructor(name: string, args: LonghornBackupArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:LonghornBackup", name, args, opts);
    const secret = new kubernetes.core.v1.Secret(
      `${name}-secret`,
      {
        metadata: { name: longhornBackupSecret, namespace: args.namespace },
        type: "Opaque",
        // Not `stringData`, which is write-only and would never show a change made by hand.
        data: {
          AWS_ACCESS_KEY_ID: base64(args.credentials.accessKey),
          AWS_SECRET_ACCESS_KEY: base64(args.credentials.secretKey),
        },
      },
      { parent: this },
    );
    this.secretName = secret.metadata.name;
    this.registerOutputs({ secretName: this.secretName });
  }
}

/** Whether a backup target needs credentials. */
export function isS3(backup: Environment["longhorn"]["backup"]): boolean {
  return backup?.target.startsWith("s3://") ?? false;
}

function base64(text: pulumi.Output<string>): pulumi.Output<string> {
  return text.apply((plain) => Buffer.from(plain, "utf8").toString("base64"));
}
