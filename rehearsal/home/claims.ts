import type { V1PersistentVolume, V1PersistentVolumeClaim, V1Pod } from "@kubernetes/client-node";
import type { StoredObject } from "../../operations/clients";
import { claims, pods, volumes } from "../../operations/kinds";
import type { HomeState } from "./state";

/**
 * What the controller manager does with claims and volumes, as far as a switch of names relies on it (tried against a real one: test/cluster/cutover.test.ts):
 * a volume that names a claim is bound to it, one whose claim is gone is released and, by its policy, deleted; a claim that any pod names is kept until that is gone.
 */
export function settleClaims({ kubernetes }: HomeState): void {
  const all = kubernetes.objects;
  const gone = all.filter((object) => isClaim(object) && object.metadata?.deletionTimestamp && !isHeld(all, object));
  kubernetes.objects = all.filter((object) => !gone.includes(object));
  for (const volume of kubernetes.objects.filter(isVolume)) settle(kubernetes, volume);
}

/** Whether a deletion only marks the claim: a pod names it, ended or not. */
export function isHeld(objects: readonly StoredObject[], claim: StoredObject): boolean {
  const { name, namespace } = claim.metadata ?? {};
  return objects.some(
    (object) =>
      object.kind === pods.kind &&
      object.metadata?.namespace === namespace &&
      ((object as V1Pod).spec?.volumes ?? []).some((entry) => entry.persistentVolumeClaim?.claimName === name),
  );
}

function settle(kubernetes: HomeState["kubernetes"], volume: V1PersistentVolume): void {
  const reference = volume.spec?.claimRef;
  if (!reference) return;
  const claim = kubernetes.objects.find(
    (object): object is V1PersistentVolumeClaim =>
      isClaim(object) && object.metadata?.name === reference.name && object.metadata?.namespace === reference.namespace,
  );
  const name = volume.metadata?.name;
  if (claim && (reference.uid ?? claim.metadata?.uid) === claim.metadata?.uid) {
    if (claim.spec?.volumeName !== undefined && claim.spec.volumeName !== name) return;
    if (claim.status?.phase === "Bound" && reference.uid === claim.metadata?.uid && volume.status?.phase === "Bound")
      return;
    reference.uid = claim.metadata?.uid;
    volume.status = { ...volume.status, phase: "Bound" };
    if (claim.status?.phase === "Bound") return touched(kubernetes, volume);
    claim.spec = { ...claim.spec, volumeName: name };
    claim.status = { phase: "Bound", capacity: volume.spec?.capacity };
    touched(kubernetes, claim);
    return touched(kubernetes, volume);
  }
  const phase = reference.uid === undefined ? "Available" : "Released";
  if (volume.status?.phase === phase) return;
  volume.status = { ...volume.status, phase };
  touched(kubernetes, volume);
  // The provisioner's part: the data is gone with it.
  if (phase === "Released" && volume.spec?.persistentVolumeReclaimPolicy === "Delete")
    kubernetes.objects = kubernetes.objects.filter((object) => object !== volume);
}

function touched(kubernetes: HomeState["kubernetes"], object: StoredObject): void {
  object.metadata = { ...object.metadata, resourceVersion: String((kubernetes.counter += 1)) };
}

function isClaim(object: StoredObject): object is V1PersistentVolumeClaim {
  return object.kind === claims.kind;
}

function isVolume(object: StoredObject): object is V1PersistentVolume {
  return object.kind === volumes.kind && object.apiVersion === volumes.apiVersion;
}
