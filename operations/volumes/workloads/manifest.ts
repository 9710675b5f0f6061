import type { V1Pod } from "@kubernetes/client-node";

/** On a bare pod that was made again: the UID of the one that was deleted for it. */
export const remadeAnnotation = "home-cluster/made-again-for";

/** What the server, the scheduler and the kubelet write, and refuse or misread when a pod is made with it. */
const serverMetadata = [
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "managedFields",
  "selfLink",
];

/** A bare pod as it has to be created again. The node is the scheduler's to choose: the new volume may not be there where the old one was. */
export function bareManifest(pod: V1Pod): Record<string, unknown> {
  const metadata = Object.fromEntries(
    Object.entries(pod.metadata ?? {}).filter(([key]) => !serverMetadata.includes(key)),
  );
  const spec = Object.fromEntries(
    Object.entries(pod.spec ?? {}).filter(([key]) => key !== "nodeName" && key !== "ephemeralContainers"),
  );
  // As it goes into the ledger, where points in time are text.
  const manifest = JSON.parse(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec })) as V1Pod;
  // Of an earlier cutover: this one stands for another pod.
  delete manifest.metadata?.annotations?.[remadeAnnotation];
  return { ...manifest };
}

/** The pod to create from a manifest, with one claim in place of another, and with a note of which pod it stands for. */
export function podFrom(manifest: Readonly<Record<string, unknown>>, uid: string, from: string, to: string): V1Pod {
  const pod = structuredClone(manifest) as V1Pod;
  pod.metadata = { ...pod.metadata, annotations: { ...pod.metadata?.annotations, [remadeAnnotation]: uid } };
  for (const { persistentVolumeClaim } of pod.spec?.volumes ?? [])
    if (persistentVolumeClaim?.claimName === from) persistentVolumeClaim.claimName = to;
  return pod;
}
