import { setTimeout as pause } from "node:timers/promises";
import type { V1PersistentVolume, V1PersistentVolumeClaim, V1StorageClass } from "@kubernetes/client-node";
import { ApiRefusal, type KubernetesApi } from "../../../operations/clients";
import { kubernetesClient } from "../../../operations/clients/kubernetes";
import * as kinds from "../../../operations/kinds";
import type { ControlPlane } from "./control-plane";

/** What a volume claims to be made of. Nothing is: no byte of it exists. */
export type Source = "hostPath" | "nfs" | "csi";

/**
 * Stands in for the provisioner of a storage class: binds a claim to a new volume once the controller manager asks for it (which for WaitForFirstConsumer is
 * when a pod of the claim was scheduled), and deletes a released volume where its policy says Delete. It shows nothing about any real provisioner's data.
 */
export class Provisioner {
  private stopped = false;
  private failure: Error | undefined;
  private readonly loop: Promise<void>;

  private constructor(
    private readonly api: KubernetesApi,
    private readonly name: string,
    private readonly source: Source,
  ) {
    this.loop = this.rounds().catch((error: unknown) => {
      this.failure = new Error(`the provisioner ${name} gave up`, { cause: error });
    });
  }

  /** `name` is the class's `provisioner`, and the driver of its volumes where they are CSI's. */
  static start(plane: ControlPlane, { name, source = "csi" }: { name: string; source?: Source }): Provisioner {
    const kubeconfig = plane.kubeconfigFor(`provisioner:${name}`, ["system:masters"]);
    return new Provisioner(kubernetesClient(kubeconfig), name, source);
  }

  /** Throws what ended it before, if anything did. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.loop;
    if (this.failure) throw this.failure;
  }

  private async rounds(): Promise<void> {
    while (!this.stopped) {
      for (const claim of await this.api.list(kinds.claims)) if (this.asked(claim)) await this.provision(claim);
      for (const volume of await this.api.list(kinds.volumes)) if (this.unused(volume)) await this.remove(volume);
      await pause(200);
    }
  }

  /** By the annotation with which the controller manager hands a claim to an external provisioner. */
  private asked({ metadata, spec, status }: V1PersistentVolumeClaim): boolean {
    return (
      metadata?.annotations?.["volume.kubernetes.io/storage-provisioner"] === this.name &&
      metadata.deletionTimestamp === undefined &&
      spec?.volumeName === undefined &&
      status?.phase === "Pending"
    );
  }

  private unused({ metadata, spec, status }: V1PersistentVolume): boolean {
    return (
      metadata?.annotations?.["pv.kubernetes.io/provisioned-by"] === this.name &&
      metadata.deletionTimestamp === undefined &&
      status?.phase === "Released" &&
      spec?.persistentVolumeReclaimPolicy === "Delete"
    );
  }

  private async provision(claim: V1PersistentVolumeClaim): Promise<void> {
    const storageClass = await this.api.read(kinds.storageClasses, claim.spec?.storageClassName ?? "");
    const node = claim.metadata?.annotations?.["volume.kubernetes.io/selected-node"];
    // A class with late binding that has just been handed over, before its pod has a node.
    if (!storageClass || (storageClass.volumeBindingMode === "WaitForFirstConsumer" && node === undefined)) return;
    try {
      await this.api.create(this.volumeFor(claim, storageClass));
    } catch (error) {
      // Made in an earlier round; the controller manager has not bound it yet.
      if (!(error instanceof ApiRefusal) || error.reason !== "AlreadyExists") throw error;
    }
  }

  private async remove(volume: V1PersistentVolume): Promise<void> {
    await this.api.remove(kinds.volumes, volume.metadata?.name ?? "", undefined, { uid: volume.metadata?.uid ?? "" });
  }

  private volumeFor({ metadata, spec }: V1PersistentVolumeClaim, storageClass: V1StorageClass): V1PersistentVolume {
    const { name = "", namespace = "", uid = "", resourceVersion = "" } = metadata ?? {};
    const volume = `pvc-${uid}`;
    const sources: Record<Source, V1PersistentVolume["spec"]> = {
      hostPath: { hostPath: { path: `/var/lib/volumes/${volume}`, type: "DirectoryOrCreate" } },
      nfs: { nfs: { server: "192.0.2.250", path: `/export/${namespace}-${name}-${volume}` } },
      csi: { csi: { driver: this.name, volumeHandle: volume, fsType: "ext4" } },
    };
    return {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: volume, annotations: { "pv.kubernetes.io/provisioned-by": this.name } },
      spec: {
        ...sources[this.source],
        capacity: { storage: spec?.resources?.requests?.storage ?? "1Gi" },
        accessModes: [...(spec?.accessModes ?? [])],
        claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid, resourceVersion },
        persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
        storageClassName: storageClass.metadata?.name ?? "",
        ...(storageClass.mountOptions && { mountOptions: [...storageClass.mountOptions] }),
        volumeMode: spec?.volumeMode ?? "Filesystem",
      },
    };
  }
}
