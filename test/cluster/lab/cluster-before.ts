import type { V1CustomResourceDefinition, V1Pod } from "@kubernetes/client-node";
import type { Environment } from "../../../environment/schema";
import type { StoredObject } from "../../../operations/clients";
import * as kinds from "../../../operations/kinds";
import { helmCharts } from "../../../operations/load-balancer/names";
import { podSecurity } from "../../../operations/pod-security";
import { buildHome, ingressPodLabels } from "../../../rehearsal/home/build";
import type { ControlPlane, Minor } from "./control-plane";
import { createOnce, definitions, install } from "./crds";
import { addNodes, readyPods } from "./nodes";
import { until } from "./processes";
import { Provisioner } from "./provisioner";
import { Others, rancherService } from "./rancher";

const oldProvisioner = "nfs.csi.k8s.io";

/**
 * What a cluster has whatever the environment: the kinds of its charts, an issuer, a node that takes migrations, the class that Longhorn makes, and who binds
 * claims. Not `installed`: without what MetalLB and Longhorn bring.
 */
export async function furnish(
  plane: ControlPlane,
  minor: Minor,
  nodes: readonly string[] = ["debian-1"],
  { installed = true } = {},
): Promise<{ readonly stop: () => Promise<void> }> {
  const brought = ({ spec }: V1CustomResourceDefinition): boolean => /^(metallb|longhorn)\.io$/.test(spec.group);
  await install(
    plane.api,
    (await definitions(minor)).filter((one) => installed || !brought(one)),
  );
  await addNodes(
    plane.api,
    nodes.map((name) => ({ name, labels: kinds.debianLabels })),
  );
  if (installed) await plane.api.create(storageClass(kinds.longhornClass, kinds.longhornDriver));
  const issuer = { kind: "ClusterIssuer", metadata: { name: "letsencrypt" }, spec: { selfSigned: {} } };
  await plane.api.create({ apiVersion: "cert-manager.io/v1", ...issuer });
  const provisioners = [
    Provisioner.start(plane, { name: oldProvisioner, source: "nfs" }),
    Provisioner.start(plane, { name: kinds.longhornDriver, source: "csi" }),
  ];
  return { stop: async () => void (await Promise.all(provisioners.map((one) => one.stop()))) };
}

/** What the ingress finds: the Service that it takes over, if it does. It goes with what was made of it. */
export async function beforeIngress(plane: ControlPlane, file: Environment): Promise<void> {
  if (file.ingress.service) await namespace(plane, file.ingress.service.namespace);
  if (file.ingress.service?.existing) await asRancher(plane, file);
}

/** The ingress controller's own pods, one on each worker, and the chart that it comes from where it comes from one. */
export async function ingressController(plane: ControlPlane, file: Environment): Promise<void> {
  const { namespace, labels } = ingressPodLabels(file);
  const workers = file.nodes.filter(({ roles }) => roles.includes("worker"));
  for (const { name } of workers) await plane.api.create(ingressPod(namespace, labels, name));
  for (const chart of buildHome(file).kubernetes.objects.filter(({ kind }) => kind === helmCharts.kind))
    await createOnce(plane.api, withoutIdentity(chart));
  await readyPods(plane.api, workers.length, { namespace, labels });
}

/** Which kwok makes ready. */
function ingressPod(namespace: string, labels: Record<string, string>, nodeName: string): V1Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `ingress-controller-${nodeName}`, namespace, labels },
    spec: { nodeName, containers: [{ name: "controller", image: "example.test/controller:1" }] },
  };
}

/** As it is created, without what only a server gives. */
function withoutIdentity({ metadata, ...object }: StoredObject): StoredObject {
  const { name, namespace, labels, annotations } = metadata ?? {};
  return { ...object, metadata: { name, namespace, labels, annotations } };
}

/** What migrations find: their volumes' claims, bound, in namespaces as strict as the preflight lets them be. Returns what takes the claims away. */
export async function beforeVolumes(plane: ControlPlane, file: Environment): Promise<() => Promise<void>> {
  await createOnce(plane.api, storageClass(file.oldStorage.storageClass, oldProvisioner));
  for (const name of namespacesOf(file)) await namespace(plane, name, podSecurity("baseline"));
  for (const { namespace, claim, oldSize } of file.volumes)
    await plane.api.create(oldClaim(file, namespace, claim, oldSize));
  for (const { namespace, claim } of file.volumes) {
    await until(`claim ${namespace}/${claim} is bound`, async () => {
      const { status } = (await plane.api.read(kinds.claims, claim, namespace)) ?? {};
      if (status?.phase !== "Bound") throw new Error(String(status?.phase));
    });
  }
  return async () => {
    for (const { namespace, claim } of file.volumes) await plane.api.remove(kinds.claims, claim, namespace);
    for (const { namespace, claim } of file.volumes) {
      await until(`claim ${namespace}/${claim} is gone`, async () => {
        if (await plane.api.read(kinds.claims, claim, namespace)) throw new Error("not yet");
      });
    }
  };
}

/** Makes it where it is not yet. */
async function namespace(plane: ControlPlane, name: string, labels: Record<string, string> = {}): Promise<void> {
  if (!(await plane.api.read(kinds.namespaces, name))) await plane.namespace(name, labels);
}

function namespacesOf({ volumes }: Environment): readonly string[] {
  return [...new Set(volumes.map(({ namespace }) => namespace))];
}

function storageClass(name: string, provisioner: string): StoredObject {
  const made = { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name }, provisioner };
  return { ...made, reclaimPolicy: "Delete", volumeBindingMode: "Immediate" } as StoredObject;
}

function oldClaim({ oldStorage }: Environment, namespace: string, name: string, storage: string): StoredObject {
  return {
    apiVersion: kinds.claims.apiVersion,
    kind: kinds.claims.kind,
    metadata: { name, namespace },
    spec: {
      storageClassName: oldStorage.storageClass,
      accessModes: ["ReadWriteMany"],
      resources: { requests: { storage } },
    },
  } as StoredObject;
}

/** Under Rancher's field manager. */
async function asRancher(plane: ControlPlane, file: Environment): Promise<void> {
  const others = new Others(plane);
  try {
    await others.make(rancherService(file));
  } finally {
    others.close();
  }
}
