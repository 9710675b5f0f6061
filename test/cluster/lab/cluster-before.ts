import type { V1Service } from "@kubernetes/client-node";
import type { Environment } from "../../../environment/schema";
import type { StoredObject } from "../../../operations/clients";
import * as kinds from "../../../operations/kinds";
import { podSecurity } from "../../../operations/pod-security";
import { ApiClient } from "./api-client";
import type { ControlPlane, Minor } from "./control-plane";
import { createOnce, definitions, install } from "./crds";
import { addNodes } from "./nodes";
import { until } from "./processes";
import { Provisioner } from "./provisioner";

const oldProvisioner = "nfs.csi.k8s.io";

/** What a cluster has whatever the environment: the kinds of its charts, an issuer, a node that takes migrations, the class that Longhorn makes, and who binds claims. */
export async function furnish(plane: ControlPlane, minor: Minor): Promise<{ readonly stop: () => Promise<void> }> {
  await install(plane.api, await definitions(minor));
  await addNodes(plane.api, [{ name: "debian-1", labels: kinds.debianLabels }]);
  await plane.api.create(storageClass(kinds.longhornClass, kinds.longhornDriver));
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

/** A NodePort Service as Rancher makes it for the ingress controller, under Rancher's field managers. */
async function asRancher(plane: ControlPlane, { ingress }: Environment): Promise<void> {
  const { name = "", namespace = "" } = ingress.service ?? {};
  const api = new ApiClient(plane.kubeconfigFor("rancher", ["system:masters"]));
  const service: V1Service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace,
      labels: { "cattle.io/creator": "norman" },
      annotations: {
        "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]',
      },
    },
    spec: {
      type: "NodePort",
      selector: { [`workloadID_${name}`]: "true" },
      ports: [
        { name: "http", port: 80, targetPort: 80, nodePort: ingress.nodePorts.http, protocol: "TCP" },
        { name: "https", port: 443, targetPort: 443, nodePort: ingress.nodePorts.https, protocol: "TCP" },
      ],
    },
  };
  try {
    const { all, one } = await api.paths(service);
    const replies = [
      await api.send("POST", all, { query: { fieldManager: "rancher" }, body: service }),
      await api.send("PATCH", one, {
        query: { fieldManager: "rancher" },
        body: { metadata: { annotations: { "field.cattle.io/publicEndpoints": '[{"port":30176}]' } } },
        contentType: "application/merge-patch+json",
      }),
    ];
    for (const { status, body } of replies) if (status > 299) throw new Error(JSON.stringify(body));
  } finally {
    api.close();
  }
}
