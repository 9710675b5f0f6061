import type * as k8s from "@kubernetes/client-node";
import type { Kind, StoredObject } from "./clients";

/** The kinds that operations read or write; the type parameter is what the API server returns for them. */
const core = <T extends StoredObject>(kind: string): Kind<T> => ({ apiVersion: "v1", kind });

export const nodes = core<k8s.V1Node>("Node");
export const pods = core<k8s.V1Pod>("Pod");
export const services = core<k8s.V1Service>("Service");
export const secrets = core<k8s.V1Secret>("Secret");
export const configMaps = core<k8s.V1ConfigMap>("ConfigMap");
export const namespaces = core<k8s.V1Namespace>("Namespace");
export const claims = core<k8s.V1PersistentVolumeClaim>("PersistentVolumeClaim");
export const volumes = core<k8s.V1PersistentVolume>("PersistentVolume");
export const events = core<k8s.CoreV1Event>("Event");
export const deployments: Kind<k8s.V1Deployment> = { apiVersion: "apps/v1", kind: "Deployment" };
export const statefulSets: Kind<k8s.V1StatefulSet> = { apiVersion: "apps/v1", kind: "StatefulSet" };
export const daemonSets: Kind<k8s.V1DaemonSet> = { apiVersion: "apps/v1", kind: "DaemonSet" };
export const replicaSets: Kind<k8s.V1ReplicaSet> = { apiVersion: "apps/v1", kind: "ReplicaSet" };
export const cronJobs: Kind<k8s.V1CronJob> = { apiVersion: "batch/v1", kind: "CronJob" };
export const autoscalers: Kind<k8s.V2HorizontalPodAutoscaler> = {
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
};
export const jobs: Kind<k8s.V1Job> = { apiVersion: "batch/v1", kind: "Job" };
export const leases: Kind<k8s.V1Lease> = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" };
export const storageClasses: Kind<k8s.V1StorageClass> = { apiVersion: "storage.k8s.io/v1", kind: "StorageClass" };
export const csiDrivers: Kind<k8s.V1CSIDriver> = { apiVersion: "storage.k8s.io/v1", kind: "CSIDriver" };
export const csiNodes: Kind<k8s.V1CSINode> = { apiVersion: "storage.k8s.io/v1", kind: "CSINode" };
export const volumeAttachments: Kind<k8s.V1VolumeAttachment> = {
  apiVersion: "storage.k8s.io/v1",
  kind: "VolumeAttachment",
};
export const disruptionBudgets: Kind<k8s.V1PodDisruptionBudget> = {
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
};

/** A condition of a Longhorn object. */
export interface LonghornCondition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
}

/** Longhorn's node object, with the fields that leaving and placement read. */
export interface LonghornNode extends StoredObject {
  spec?: {
    allowScheduling?: boolean;
    evictionRequested?: boolean;
    /** `storageReserved`: bytes. */
    disks?: Record<string, { allowScheduling?: boolean; path?: string; storageReserved?: number }>;
  };
  status?: {
    conditions?: LonghornCondition[];
    diskStatus?: Record<
      string,
      {
        conditions?: LonghornCondition[];
        scheduledReplica?: Record<string, number>;
        scheduledBackingImage?: Record<string, number>;
        storageMaximum?: number;
      }
    >;
  };
}
export const longhornNodes: Kind<LonghornNode> = { apiVersion: "longhorn.io/v1beta2", kind: "Node" };

export interface LonghornVolume extends StoredObject {
  spec?: { numberOfReplicas?: number };
  status?: {
    robustness?: string;
    state?: string;
    /** The claim that uses or used the volume. */
    kubernetesStatus?: { namespace?: string; pvcName?: string };
  };
}
export const longhornVolumes: Kind<LonghornVolume> = { apiVersion: "longhorn.io/v1beta2", kind: "Volume" };

export interface LonghornReplica extends StoredObject {
  /** `healthyAt`: "" until it has been whole once. */
  spec?: { volumeName?: string; nodeID?: string; failedAt?: string; healthyAt?: string };
}
export const longhornReplicas: Kind<LonghornReplica> = { apiVersion: "longhorn.io/v1beta2", kind: "Replica" };

export interface LonghornSetting extends StoredObject {
  value?: string;
}
export const longhornSettings: Kind<LonghornSetting> = { apiVersion: "longhorn.io/v1beta2", kind: "Setting" };

/** What every node of ours carries from joining on, and no old node does: Longhorn is kept to these. */
export const debianLabels = { "home-cluster/node": "debian" };

/** The class that Longhorn makes by itself, and the name under which its driver registers. */
export const longhornClass = "longhorn";
export const longhornDriver = "driver.longhorn.io";

/** Where Longhorn, and everything of ours beside it, lives. Changing it would replace the release and with it every volume. */
export const longhornNamespace = "longhorn-system";
