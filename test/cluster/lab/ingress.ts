import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1ConfigMap, V1Pod, V1Service } from "@kubernetes/client-node";
import { parse } from "yaml";
import type { Environment } from "../../../environment/schema";
import * as kinds from "../../../operations/kinds";
import { root } from "../../support/environment";
import type { ControlPlane } from "./control-plane";
import { readiness, readyPods } from "./nodes";
import { until } from "./processes";
import { rancherService, rewritten, type Others } from "./rancher";

const namespace = "ingress-nginx";
/** What Rancher's Service is called, and where it is. */
export const service = { apiVersion: "v1", kind: "Service", metadata: { name: "ingress-nginx", namespace } };

const podLabels: Record<string, string> = { app: "ingress-nginx", "workloadID_ingress-nginx": "true" };

/** What a person has set on the Service, all of which the program sets otherwise. */
const affinity = { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } };

/** The Service as it is before us: Rancher's, with what a person and a controller wrote on it. Returns it as the server has it. */
export async function foreignService(
  plane: ControlPlane,
  others: Others,
  file: Environment,
  labels: Record<string, string> = {},
  spec: object = affinity,
  annotations: Record<string, string> = {},
): Promise<V1Service> {
  await others.make(rancherService(file));
  await others.kubectl(service, { metadata: { labels: { team: "home", ...labels }, annotations }, ...{ spec } });
  await others.status("kube-controller-manager", service, {
    conditions: [
      { type: "Checked", status: "True", reason: "Test", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" },
    ],
  });
  const found = await plane.api.read(kinds.services, service.metadata.name, namespace);
  assert.ok(found);
  return found;
}

/** The ingress controller's pods are these, ready or not, and no others. */
export async function setPods(
  plane: ControlPlane,
  wanted: Readonly<Record<string, boolean>>,
  labels = podLabels,
): Promise<void> {
  for (const pod of await plane.api.list(kinds.pods, { namespace })) {
    const name = pod.metadata?.name ?? "";
    await plane.api.remove(kinds.pods, name, namespace);
    await until(`pod ${name} is gone`, async () =>
      assert.equal(await plane.api.read(kinds.pods, name, namespace), undefined),
    );
  }
  for (const [node, ready] of Object.entries(wanted)) {
    const pod: V1Pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: podOn(node), namespace, labels, annotations: readiness(ready) },
      spec: {
        nodeName: node,
        containers: [{ name: "controller", image: "example.test/controller:1", ports: [{ containerPort: 80 }] }],
      },
    };
    await plane.api.create(pod);
  }
  await until("the pods run", async () => {
    const phases = (await plane.api.list(kinds.pods, { namespace })).map(({ status }) => status?.phase);
    assert.ok(phases.every((phase) => phase === "Running"));
  });
  await readyPods(plane.api, Object.values(wanted).filter(Boolean).length, { namespace, labels });
}

/** The object as text, but for what the server counts and what Rancher rewrites. */
export function text(object: V1Service): string {
  const left: readonly string[] = ["resourceVersion", "generation", "managedFields", ...rewritten];
  return JSON.stringify(object, (key, value: unknown) => (left.includes(key) ? undefined : value));
}

/** `+`, `-` or `~` and the path of every value that differs, but for what the server counts. */
export function changes(before: V1Service, after: V1Service): string[] {
  const [old, now] = [flat(before), flat(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((path) => !/^metadata\.(resourceVersion|generation|managedFields)/.test(path))
    .filter((path) => old.get(path) !== now.get(path))
    .map((path) => `${old.has(path) ? (now.has(path) ? "~" : "-") : "+"} ${path}`)
    .sort(byPath);
}

export function byPath(one: string, other: string): number {
  return one.slice(2) < other.slice(2) ? -1 : 1;
}

function flat(value: unknown, path = "", into = new Map<string, unknown>()): Map<string, unknown> {
  if (typeof value !== "object" || value === null || value instanceof Date) into.set(path, String(value));
  else for (const [key, inner] of Object.entries(value)) flat(inner, path === "" ? key : `${path}.${key}`, into);
  return into;
}

export function podOn(node: string): string {
  return `nginx-ingress-controller-${node}`;
}

/** The record that the documentation shows, for this Service. */
export function documentedRecord(uid: string): V1ConfigMap {
  const page = readFileSync(join(root, "docs", "decisions", "taking-over-the-service.md"), "utf8");
  const yaml = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  assert.match(yaml, /<uid of the Service>/);
  return parse(yaml.replace("<uid of the Service>", uid)) as V1ConfigMap;
}
