import type { V1PersistentVolumeClaim, V1Pod } from "@kubernetes/client-node";
import type { Clients, Kind, StoredObject } from "../../operations/clients";
import { claims, debianLabels, longhornClass, longhornDriver } from "../../operations/kinds";
import { migrationLabels, volumeAnnotation } from "../../operations/volumes/migration-pod";
import { buildHome } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import { nodeObject } from "../../rehearsal/home/guest";
import type { HomeState } from "../../rehearsal/home/state";
import { environment } from "./environment";

/** The volume that these tests move. */
export const ref = { namespace: "games", claim: "valheim-server-data" };
export const newClaim = "valheim-server-data-longhorn";
export const start = "2026-01-01T00:00:00.000Z";

/** What its workload's pod is called in a ledger. */
export const workload = {
  pod: "valheim-server-data-0",
  owner: "StatefulSet/valheim-server-data",
  node: "rancheros-1",
};

export interface MigrationHome {
  readonly home: HomeState;
  readonly clients: Clients;
  /** What operations told the operator. */
  readonly lines: string[];
}

/** The home with Longhorn on one Debian node, every volume in use by its workload. */
export async function migrationHome(): Promise<MigrationHome> {
  const home = buildHome(environment("home"));
  const lines: string[] = [];
  const clients = pretendClients(home, new VirtualClock(home.now), (line) => lines.push(line));
  await put(clients, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: longhornClass },
    provisioner: longhornDriver,
  });
  // Not joined a moment ago but there for long: nothing is still starting on it.
  home.kubernetes.objects.push(nodeObject("debian-1", "192.168.10.21", ["worker"], debianLabels));
  await put(clients, {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: { name: "debian-1" },
    spec: { drivers: [{ name: longhornDriver, nodeID: "debian-1" }] },
  });
  return { home, clients, lines };
}

/** Any object, with whatever fields its kind has. */
export async function put(clients: Clients, object: StoredObject & Record<string, unknown>): Promise<StoredObject> {
  return clients.kubernetes.create(object);
}

/** The object in the home's own store: to change what no API changes, such as a status. */
export function stored<T extends StoredObject>(home: HomeState, kind: Kind<T>, name: string, namespace?: string): T {
  const found = home.kubernetes.objects.find(
    (object) =>
      object.apiVersion === kind.apiVersion &&
      object.kind === kind.kind &&
      object.metadata?.name === name &&
      object.metadata.namespace === namespace,
  );
  if (!found) throw new Error(`${kind.kind} ${name} is not in the home`);
  return found as T;
}

export function drop(home: HomeState, object: StoredObject): void {
  home.kubernetes.objects.splice(home.kubernetes.objects.indexOf(object), 1);
}

/** The workload stops: its pod goes. */
export async function stopWorkload({ clients }: Pick<MigrationHome, "clients">): Promise<void> {
  await clients.kubernetes.remove({ apiVersion: "v1", kind: "Pod" }, workload.pod, ref.namespace);
}

/** A pod that mounts a claim; on a node and running unless said otherwise. */
export async function startPod(
  { clients }: Pick<MigrationHome, "clients">,
  name: string,
  claimName: string,
  change: {
    readonly node?: string | null;
    readonly status?: V1Pod["status"];
    readonly labels?: Record<string, string>;
  } = {},
): Promise<void> {
  const { node = "rancheros-1", status = { phase: node === null ? "Pending" : "Running" }, labels = {} } = change;
  await clients.kubernetes.create<V1Pod>({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: ref.namespace, labels },
    spec: {
      ...(node !== null && { nodeName: node }),
      containers: [{ name: "main", image: "invalid" }],
      volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
    },
    status,
  });
}

/** The new claim, as an `up` would have made it, bound. */
export async function makeClaim(
  { clients }: Pick<MigrationHome, "clients">,
  change: {
    readonly name?: string;
    readonly annotation?: string;
    readonly storageClass?: string;
    readonly accessModes?: string[];
  } = {},
): Promise<string> {
  const made = await clients.kubernetes.create<V1PersistentVolumeClaim>({
    apiVersion: claims.apiVersion,
    kind: claims.kind,
    metadata: {
      name: change.name ?? newClaim,
      namespace: ref.namespace,
      labels: migrationLabels,
      annotations: { [volumeAnnotation]: change.annotation ?? "games/valheim-server-data" },
    },
    spec: {
      storageClassName: change.storageClass ?? longhornClass,
      accessModes: change.accessModes ?? ["ReadWriteOnce"],
      resources: { requests: { storage: "20Gi" } },
    },
    status: { phase: "Bound" },
  });
  return made.metadata?.uid ?? "";
}

/** What verify.py leaves when both sides agree. */
export const agreement = {
  version: 1,
  entries: 1200,
  bytes: 5_000_000,
  differences: 0,
  first: [] as string[],
  manifest: "ab".repeat(32),
  vanished: 0,
};
export const difference = { ...agreement, differences: 12, first: ["'db.sqlite': content", "'db.sqlite': mtime"] };

/** The verification Job's pod, finished, with what it left. Returns its UID. */
export async function verificationPod(
  { clients }: Pick<MigrationHome, "clients">,
  findings: unknown = agreement,
  change: { readonly job?: string; readonly phase?: string } = {},
): Promise<string> {
  const job = change.job ?? "volume-verification-valheim-server-data";
  const made = await clients.kubernetes.create<V1Pod>({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `${job}-x7k2p`, namespace: ref.namespace, labels: { ...migrationLabels, "job-name": job } },
    spec: { nodeName: "debian-1", containers: [{ name: "verification", image: "invalid" }] },
    status: {
      phase: change.phase ?? "Succeeded",
      containerStatuses: [
        {
          name: "verification",
          image: "invalid",
          imageID: "",
          ready: false,
          restartCount: 0,
          state: {
            terminated: { exitCode: 0, message: typeof findings === "string" ? findings : JSON.stringify(findings) },
          },
        },
      ],
    },
  });
  return made.metadata?.uid ?? "";
}

/** Everything in the cluster but our ledgers, to compare before and after. */
export function cluster(home: HomeState): string {
  return JSON.stringify(home.kubernetes.objects.filter((object) => object.metadata?.namespace !== "home-cluster"));
}
