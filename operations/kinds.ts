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
export const jobs: Kind<k8s.V1Job> = { apiVersion: "batch/v1", kind: "Job" };
export const leases: Kind<k8s.V1Lease> = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" };
export const storageClasses: Kind<k8s.V1StorageClass> = { apiVersion: "storage.k8s.io/v1", kind: "StorageClass" };
export const csiDrivers: Kind<k8s.V1CSIDriver> = { apiVersion: "storage.k8s.io/v1", kind: "CSIDriver" };
export const csiNodes: Kind<k8s.V1CSINode> = { apiVersion: "storage.k8s.io/v1", kind: "CSINode" };
export const disruptionBudgets: Kind<k8s.V1PodDisruptionBudget> = {
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
};

/** Longhorn's node object, with the fields that leaving and placement read. */
export interface LonghornNode extends StoredObject {
  spec?: { allowScheduling?: boolean; evictionRequested?: boolean };
  status?: {
    diskStatus?: Record<
      string,
      {
        scheduledReplica?: Record<string, number>;
        scheduledBackingImage?: Record<string, number>;
        storageMaximum?: number;
      }
    >;
  };
}
export const longhornNodes: Kind<LonghornNode> = { apiVersion: "longhorn.io/v1beta2", kind: "Node" };

export interface LonghornVolume extends StoredObject {
  status?: { robustness?: string; state?: string };
}
export const longhornVolumes: Kind<LonghornVolume> = { apiVersion: "longhorn.io/v1beta2", kind: "Volume" };

/** Where Longhorn, and everything of ours beside it, lives. Changing it would replace the release and with it every volume. */
export const longhornNamespace = "longhorn-system";
