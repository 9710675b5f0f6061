import { gzipSync } from "node:zlib";
import type { V1CSINode, V1Secret, V1StorageClass } from "@kubernetes/client-node";
import type { Clients, StoredObject } from "../../operations/clients";
import type { LonghornNode } from "../../operations/kinds";
import { buildHome } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import { environment } from "./environment";

/** A pretend home with its clients and what operations logged. */
export function storageHome(
  name: "home" | "lab" = "home",
): Clients & { readonly lines: string[]; readonly virtual: VirtualClock } {
  const home = buildHome(environment(name));
  const virtual = new VirtualClock(home.now);
  const lines: string[] = [];
  return { ...pretendClients(home, virtual, (line) => lines.push(line)), lines, virtual };
}

/** One revision of a Helm release, written from helm/helm v3.18.6 (pkg/storage/driver/secrets.go, util.go), not by our reader's own rules. */
export interface HelmRecord {
  readonly name?: string;
  readonly namespace?: string;
  readonly revision?: number;
  readonly status?: string;
  readonly chart?: string;
  readonly version?: string;
  readonly appVersion?: string;
  readonly description?: string;
  readonly manifest?: string;
  readonly compressed?: boolean;
}

export function helmSecret(given: HelmRecord = {}): V1Secret {
  const { name = "longhorn", namespace = "longhorn-system", revision = 1, status = "deployed" } = given;
  const { chart = "longhorn", version = "1.12.1", compressed = true } = given;
  const release = JSON.stringify({
    name,
    namespace,
    version: revision,
    info: { status, description: given.description ?? "Install complete" },
    chart: { metadata: { name: chart, version, ...(given.appVersion && { appVersion: given.appVersion }) } },
    ...(given.manifest !== undefined && { manifest: given.manifest }),
  });
  const encoded = (compressed ? gzipSync(release) : Buffer.from(release)).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "helm.sh/release.v1",
    metadata: {
      name: `sh.helm.release.v1.${name}.v${revision}`,
      namespace,
      labels: { owner: "helm", name, status, version: String(revision) },
    },
    data: { release: Buffer.from(encoded).toString("base64") },
  };
}

export function storageClass(name: string, annotations?: Record<string, string>): V1StorageClass {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name, ...(annotations && { annotations }) },
    provisioner: "example.org/provisioner",
  };
}

export const defaultFlag = "storageclass.kubernetes.io/is-default-class";
export const betaFlag = "storageclass.beta.kubernetes.io/is-default-class";

const csiDriver: StoredObject = {
  apiVersion: "storage.k8s.io/v1",
  kind: "CSIDriver",
  metadata: { name: "driver.longhorn.io" },
};

export function csiNode(name: string, drivers: readonly string[] = ["driver.longhorn.io"]): V1CSINode {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: { name },
    spec: { drivers: drivers.map((driver) => ({ name: driver, nodeID: name })) },
  };
}

/** A node on which Longhorn would put a replica, as longhorn-manager v1.12.1 reports it. */
export function longhornNode(name: string): LonghornNode {
  return {
    apiVersion: "longhorn.io/v1beta2",
    kind: "Node",
    metadata: { name, namespace: "longhorn-system" },
    spec: { allowScheduling: true, disks: { "default-disk": { allowScheduling: true, path: "/var/lib/longhorn/" } } },
    status: {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "Schedulable", status: "True" },
      ],
      diskStatus: { "default-disk": { conditions: [{ type: "Schedulable", status: "True" }] } },
    },
  };
}

/** Everything that storage-ready wants to see, by the name under which a test leaves it out. */
export function readyObjects(nodes: readonly string[]): Record<string, StoredObject> {
  return {
    class: storageClass("longhorn", { [defaultFlag]: "true" }),
    driver: csiDriver,
    ...Object.fromEntries(nodes.map((node) => [`csi ${node}`, csiNode(node)])),
    ...Object.fromEntries(nodes.map((node) => [`disk ${node}`, longhornNode(node)])),
  };
}
