import { gzipSync } from "node:zlib";
import type { StoredObject } from "../../operations/clients";
import { csiDrivers, longhornNamespace, longhornNodes, nodes, storageClasses } from "../../operations/kinds";
import type { Answer } from "../record";
import type { ModelContext } from ".";

/** Plausible durations in seconds. The class and the driver come after the release, from the manager: `ready` does not mean `usable`. */
const seconds = { install: 75, longhornClass: 40, metallbWebhook: 20 };

/** A Helm release: its record, and for the two charts of this program what their controllers bring. */
export async function helmRelease({ inputs, home, clock, clients }: ModelContext): Promise<Answer> {
  const [name, namespace, chart] = [String(inputs.name), String(inputs.namespace), String(inputs.chart)];
  await clock.sleep(seconds.install * 1000);
  await clients.kubernetes.create(releaseRecord(name, namespace, chart, String(inputs.version)));
  if (chart.includes("longhorn")) {
    void clock.sleep(seconds.longhornClass * 1000).then(() => longhornReady({ home, clock, clients }));
  }
  if (chart.includes("metallb")) home.kubernetes.metallbAnswersAt = clock.now() + seconds.metallbWebhook * 1000;
  return {
    id: `${namespace}/${name}`,
    outputs: { status: { name, namespace, status: "deployed", version: inputs.version } },
  };
}

/** What longhorn-manager makes by itself: its class as the default, the CSI driver, and its view of every node that it may run on. */
async function longhornReady({ clients }: Pick<ModelContext, "home" | "clock" | "clients">): Promise<void> {
  await clients.kubernetes.create({
    apiVersion: storageClasses.apiVersion,
    kind: storageClasses.kind,
    metadata: { name: "longhorn", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "driver.longhorn.io",
  } as StoredObject);
  await clients.kubernetes.create({
    apiVersion: csiDrivers.apiVersion,
    kind: csiDrivers.kind,
    metadata: { name: "driver.longhorn.io" },
    spec: {},
  } as StoredObject);
  for (const node of await clients.kubernetes.list(nodes, { labels: { "home-cluster/node": "debian" } })) {
    const name = node.metadata?.name ?? "";
    const storage = node.metadata?.labels?.["node.longhorn.io/create-default-disk"] === "true";
    const disk = {
      "default-disk": {
        conditions: [{ type: "Schedulable", status: "True" }],
        storageMaximum: 2 ** 37,
        scheduledReplica: {},
      },
    };
    await clients.kubernetes.create({
      apiVersion: longhornNodes.apiVersion,
      kind: longhornNodes.kind,
      metadata: { name, namespace: longhornNamespace },
      spec: {
        allowScheduling: true,
        disks: storage ? { "default-disk": { allowScheduling: true, path: "/var/lib/longhorn/" } } : {},
      },
      status: {
        conditions: [
          { type: "Ready", status: "True" },
          { type: "Schedulable", status: "True" },
        ],
        diskStatus: storage ? disk : {},
      },
    } as StoredObject);
    await clients.kubernetes.create({
      apiVersion: "storage.k8s.io/v1",
      kind: "CSINode",
      metadata: { name },
      spec: { drivers: [{ name: "driver.longhorn.io", nodeID: name, topologyKeys: null }] },
    } as StoredObject);
  }
}

/** Helm's own record of a release: gzipped JSON in base64, which the Secret's data wraps in base64 once more. */
export function releaseRecord(name: string, namespace: string, chart: string, version: string): StoredObject {
  const release = {
    name,
    namespace,
    version: 1,
    info: { status: "deployed" },
    chart: { metadata: { name: chart.split("/").pop() ?? chart, version } },
  };
  const packed = gzipSync(JSON.stringify(release)).toString("base64");
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "helm.sh/release.v1",
    metadata: {
      name: `sh.helm.release.v1.${name}.v1`,
      namespace,
      labels: { owner: "helm", name, status: "deployed", version: "1" },
    },
    data: { release: Buffer.from(packed).toString("base64") },
  } as StoredObject;
}
