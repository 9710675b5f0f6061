import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { ask, type AccessInput } from "../../operations/declare";
import { debianLabels, longhornNamespace } from "../../operations/kinds";
import { checkLonghornRelease } from "../../operations/storage/check-longhorn-release";
import { versions } from "../../versions";

export interface LonghornReleaseArgs {
  readonly longhorn: Environment["longhorn"];
  /** Output of the Namespace, so that the release waits for it. */
  readonly namespace: pulumi.Input<string>;
  /** Name of the Secret with the backup store's keys; undefined for NFS. */
  readonly backupSecret: pulumi.Input<string> | undefined;
  readonly access: AccessInput;
}

/** Seconds that Helm waits. Above the 900 that the chart's own upgrade and uninstall Jobs may take (Pulumi's default of 300 would cut them off). */
const helmTimeout = 1200;
/** What the engine waits, a little longer, so that Helm's own message is the one that is seen. */
const engineTimeout = "30m";

/** Longhorn's Helm release, after a look at what lives in the cluster. */
export class LonghornRelease extends pulumi.ComponentResource {
  /** Changes with every installation and upgrade; undefined where the provider does not say it. */
  readonly revision: pulumi.Output<number | undefined>;

  constructor(name: string, args: LonghornReleaseArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:LonghornRelease", name, args, opts);
    const { chart, version, repository } = versions.charts.longhorn;
    const { path, repository: mirror } = args.longhorn.chart;
    const declared = { name: "longhorn", namespace: longhornNamespace, chart, version, ...(path && { path }) };
    const checked = ask(checkLonghornRelease, args.access, declared, { parent: this });
    const release = new kubernetes.helm.v3.Release(
      `${name}-release`,
      {
        // Explicit: an automatic name gets a random suffix, and a later change of either replaces the release.
        name: "longhorn",
        namespace: args.namespace,
        // From the answer, so that a refusal leaves nothing to register, in a preview as in an update.
        chart: checked.chart,
        version: checked.version,
        ...(!path && { repositoryOpts: { repo: mirror ?? repository } }),
        // The Namespace is a resource of its own: one made by Helm would carry no project and no Pod Security labels.
        createNamespace: false,
        // A rollback is a downgrade, which Longhorn does not support: a failed upgrade is finished forwards.
        atomic: false,
        timeout: helmTimeout,
        values: longhornValues(args.longhorn, args.backupSecret),
      },
      {
        parent: this,
        // Its deletion, and so every replacement, uninstalls the CRDs and every volume with them.
        protect: !args.longhorn.leaving,
        // The net below `protect`, for somebody who takes that off by hand: Longhorn stays, the engine forgets it.
        retainOnDelete: !args.longhorn.leaving,
        customTimeouts: { create: engineTimeout, update: engineTimeout, delete: engineTimeout },
      },
    );
    this.revision = release.status.revision;
    this.registerOutputs({ revision: this.revision });
  }
}

/** What is set of the chart's values. Helm ignores keys that it does not know: given-charts.ts looks them up in the values.yaml of a chart at hand. */
export function longhornValues(
  longhorn: Environment["longhorn"],
  backupSecret: pulumi.Input<string> | undefined,
): Record<string, unknown> {
  const { replicas, reservedPercent, backup, leaving } = longhorn;
  const nodeSelector = debianLabels;
  return {
    // The first of Longhorn's two selectors: manager, driver, UI. A RancherOS node has another kubelet root and no iSCSI, and breaks the others.
    global: { nodeSelector },
    longhornManager: { nodeSelector },
    longhornDriver: { nodeSelector },
    longhornUI: { nodeSelector },
    // Not detected: the detecting pod would speak for all nodes after a look at one.
    csi: { kubeletRootDir: "/var/lib/kubelet" },
    persistence: {
      defaultClass: true,
      defaultClassReplicaCount: replicas,
      // A claim deleted by mistake, or replaced by a tool, must not take the data along; see docs/decisions/longhorn-release.md for the price.
      reclaimPolicy: "Retain",
    },
    defaultSettings: {
      // Only nodes with a data disk carry the label; the others would give their system disk.
      createDefaultDiskLabeledNodes: true,
      defaultDataPath: "/var/lib/longhorn/",
      storageReservedPercentageForDefaultDisk: reservedPercent,
      // Of volumes made in the UI; the class has its own count above.
      defaultReplicaCount: replicas,
      // Longhorn's default, said so that no change in the UI stays: the policies that evict move every replica at each cordon, a reboot included.
      // A node that leaves for good has its replicas evicted by the operation that removes it.
      nodeDrainPolicy: "block-if-contains-last-replica",
      // The second selector: instance managers, the CSI plugin, engine images.
      systemManagedComponentsNodeSelector: Object.entries(nodeSelector)
        .map(([key, value]) => `${key}:${value}`)
        .join(";"),
      // Without it Longhorn's uninstaller refuses. Said in both directions: a key left out keeps what was set before.
      deletingConfirmationFlag: leaving,
    },
    // Empty for the same reason: a key left out would leave a removed target in place.
    defaultBackupStore: {
      backupTarget: backup ? backupTarget(backup.target) : "",
      backupTargetCredentialSecret: backupSecret ?? "",
      ...(backup && { pollInterval: backup.pollInterval }),
    },
    // The Ingress is ours (LonghornIngress): it must not exist before the Secret that it asks passwords from.
    ingress: { enabled: false },
    // Helm runs hooks here, so Longhorn's own look before an upgrade stays on, behind ours.
    preUpgradeChecker: { jobEnabled: true, upgradeVersionCheck: true },
  };
}

/** Longhorn takes an S3 target only with a path, if only a slash (longhorn.io, "Setting a Backup Target"). */
function backupTarget(target: string): string {
  return target.startsWith("s3://") && !target.endsWith("/") ? `${target}/` : target;
}
