import type { V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import type { StoredObject } from "../../clients";
import type { ClaimReference } from "./record";

/** What the kinds that make pods have in common, as far as a cutover reads and changes it. */
export interface Workload extends StoredObject {
  spec?: {
    replicas?: number;
    suspend?: boolean;
    /** Of a Deployment: its template does not reach its pods. */
    paused?: boolean;
    template?: V1PodTemplateSpec;
    jobTemplate?: { spec?: { template?: V1PodTemplateSpec } };
    volumeClaimTemplates?: { metadata?: { name?: string } }[];
    persistentVolumeClaimRetentionPolicy?: { whenScaled?: string };
    ordinals?: { start?: number };
    updateStrategy?: { type?: string; rollingUpdate?: { partition?: number } };
  };
  status?: {
    observedGeneration?: number;
    desiredNumberScheduled?: number;
    conditions?: { type: string; status: string }[];
  };
}

/** The pod template, and where it stands; undefined for what has none. */
export function podTemplate({ spec }: Workload): { readonly path: string; readonly spec: V1PodSpec } | undefined {
  const [path, template] = spec?.jobTemplate
    ? ["/spec/jobTemplate/spec/template/spec", spec.jobTemplate.spec?.template]
    : ["/spec/template/spec", spec?.template];
  return template?.spec && { path, spec: template.spec };
}

/** Names of the volumes by which pods of this spec refer to the claim. */
export function volumesOf(spec: V1PodSpec | undefined, claim: string): string[] {
  return (spec?.volumes ?? [])
    .filter((volume) => volume.persistentVolumeClaim?.claimName === claim)
    .map((volume) => volume.name);
}

/** How an owner's template refers to the claim; undefined when it does not. */
export function referenceOf(workload: Workload, claim: string): ClaimReference | undefined {
  const ordinal = claimOrdinal(workload, claim);
  if (ordinal) return { by: "claim-template", template: ordinal.template };
  const volumes = volumesOf(podTemplate(workload)?.spec, claim);
  return volumes.length > 0 ? { by: "template", volumes } : undefined;
}

/** Of a StatefulSet whose volumeClaimTemplate makes this claim: for which of its pods. Claims are called `<template>-<set>-<ordinal>`. */
export function claimOrdinal(
  { metadata, spec }: Workload,
  claim: string,
): { readonly template: string; readonly ordinal: number } | undefined {
  for (const { metadata: made } of spec?.volumeClaimTemplates ?? []) {
    const [, prefix, ordinal] = /^(.*)-(\d+)$/.exec(claim) ?? [];
    if (prefix === `${made?.name}-${metadata?.name}`) return { template: made?.name ?? "", ordinal: Number(ordinal) };
  }
  return undefined;
}
