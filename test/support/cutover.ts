import assert from "node:assert/strict";
import type { V1PersistentVolume, V1PersistentVolumeClaim } from "@kubernetes/client-node";
import type { Clients } from "../../operations/clients";
import { statefulSets, claims, longhornClass, nodes, pods, volumes } from "../../operations/kinds";
import { concludeCutover } from "../../operations/volumes/conclude-cutover";
import type { CutoverVolume } from "../../operations/volumes/cutover-input";
import { readLedger, writeLedger, type Ledger } from "../../operations/volumes/ledger";
import { prepareCutover } from "../../operations/volumes/prepare-cutover";
import { quiesceVolume } from "../../operations/volumes/quiesce-volume";
import { probeVolume, resumeVolume } from "../../operations/volumes/resume-volume";
import { rollbackVolume } from "../../operations/volumes/rollback-volume";
import { switchVolume } from "../../operations/volumes/switch-volume";
import { VirtualClock } from "../../rehearsal/home/clock";
import { agreement, makeClaim, migrationHome, newClaim, ref, stored, type MigrationHome } from "./volumes";

export const oldVolume = "pvc-games-valheim-server-data";
export const newVolume = "pvc-new";
export const finalJob = "volume-verification-valheim-server-data-final";

export type Way = CutoverVolume["switch"];

export function asked(way: Way, change: Partial<CutoverVolume> = {}): CutoverVolume {
  return { environment: "home", ...ref, newClaim, switch: way, attempt: 1, ...change };
}

/** The home with the volume copied while its workload runs, and nodes without Longhorn closed. */
export async function warmHome(): Promise<MigrationHome> {
  const at = await migrationHome();
  const { clients, home } = at;
  for (const name of ["rancheros-1", "rancheros-2", "rancheros-3"])
    await clients.kubernetes.patch(nodes, name, { spec: { unschedulable: true } });
  const targetUid = await makeClaim(at);
  await clients.kubernetes.patch(claims, newClaim, { spec: { volumeName: newVolume } }, ref.namespace);
  await clients.kubernetes.create<V1PersistentVolume>({
    apiVersion: volumes.apiVersion,
    kind: volumes.kind,
    metadata: { name: newVolume },
    spec: {
      storageClassName: longhornClass,
      capacity: { storage: "20Gi" },
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Delete",
      claimRef: { kind: claims.kind, namespace: ref.namespace, name: newClaim, uid: targetUid },
    },
  });
  await writeLedger(clients, ref, (): Ledger => ({
    version: 1,
    volume: `${ref.namespace}/${ref.claim}`,
    phase: "warm",
    attempt: 1,
    sourceUid: stored(home, claims, ref.claim, ref.namespace).metadata?.uid ?? "",
    sourceVolume: oldVolume,
    targetClaim: newClaim,
    targetUid,
    times: {},
    consumers: [],
  }));
  return at;
}

/** The pod of the verification behind the fence, finished. */
export async function finalVerification(clients: Clients, fence: string, findings: object = agreement): Promise<void> {
  const name = `${finalJob}-x7k2p`;
  await clients.kubernetes.remove(pods, name, ref.namespace);
  await clients.kubernetes.create({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: ref.namespace,
      labels: {
        "app.kubernetes.io/managed-by": "home-cluster",
        "app.kubernetes.io/part-of": "volume-migration",
        "job-name": finalJob,
      },
    },
    spec: {
      nodeName: "debian-1",
      containers: [{ name: "verification", image: "invalid" }],
      volumes: [ref.claim, newClaim].map((claimName, index) => ({
        name: String(index),
        persistentVolumeClaim: { claimName },
      })),
    },
    status: {
      phase: "Succeeded",
      containerStatuses: [
        {
          ...{ name: "verification", image: "invalid", imageID: "", ready: false, restartCount: 0 },
          state: {
            terminated: { exitCode: 0, message: JSON.stringify({ ...findings, phase: "final", fence }) },
          },
        },
      ],
    },
  } as never);
}

/** The steps of a cutover, in their order; what the Jobs between them do is told by their pod. */
export const steps = ["prepare", "quiesce", "conclude", "switch", "resume", "probe"] as const;
export type Step = (typeof steps)[number];

export async function step(clients: Clients, name: Step, volume: CutoverVolume, findings?: object): Promise<unknown> {
  switch (name) {
    case "prepare":
      return prepareCutover.run(volume, clients);
    case "quiesce": {
      const quiesced = await quiesceVolume.run(volume, clients);
      const ledger = await readLedger(clients.kubernetes, volume);
      // The Jobs are over long before anything is switched, and their pods gone with the names that they held.
      if (ledger?.phase === "quiesced") await finalVerification(clients, quiesced.fence, findings);
      return quiesced;
    }
    case "conclude":
      return concludeCutover.run({ ...volume, job: finalJob }, clients);
    case "switch":
      return switchVolume.run(volume, clients);
    case "resume":
      return resumeVolume.run(volume, clients);
    case "probe":
      return probeVolume.run(volume, clients);
  }
}

/** All of them, or up to and with one. */
export async function cutOver(clients: Clients, volume: CutoverVolume, last: Step = "probe"): Promise<void> {
  for (const name of steps.slice(0, steps.indexOf(last) + 1)) await step(clients, name, volume);
}

export function rollback(clients: Clients): ReturnType<typeof rollbackVolume.run> {
  return rollbackVolume.run({ environment: "home", ...ref }, clients);
}

/** What the workload is and has, in words that two homes can be compared by. */
export async function picture({ clients }: Pick<MigrationHome, "clients">): Promise<Record<string, unknown>> {
  const { kubernetes, clock } = clients;
  if (clock instanceof VirtualClock) await clock.idle();
  const set = await kubernetes.read(statefulSets, ref.claim, ref.namespace);
  const running = (await kubernetes.list(pods, { namespace: ref.namespace })).filter(
    (pod) => pod.status?.phase === "Running" && pod.metadata?.deletionTimestamp === undefined,
  );
  const found = await kubernetes.list<V1PersistentVolumeClaim>(claims, { namespace: ref.namespace });
  return {
    replicas: set?.spec?.replicas,
    annotations: set?.metadata?.annotations ?? {},
    template: set?.spec?.template.spec?.volumes?.map((one) => one.persistentVolumeClaim?.claimName),
    pods: running.map((pod) => [
      pod.metadata?.name,
      pod.spec?.volumes?.map((one) => one.persistentVolumeClaim?.claimName).join(),
    ]),
    claims: Object.fromEntries(
      found
        .map((claim) => [claim.metadata?.name ?? "", `${claim.spec?.volumeName} ${claim.status?.phase}`] as const)
        .sort(([a], [b]) => a.localeCompare(b)),
    ),
    policies: Object.fromEntries(
      (await kubernetes.list(volumes))
        .filter((volume) => [oldVolume, newVolume].includes(volume.metadata?.name ?? ""))
        .map((volume) => [
          volume.metadata?.name ?? "",
          `${volume.spec?.persistentVolumeReclaimPolicy} ${volume.status?.phase}`,
        ]),
    ),
  };
}

/** The ledger, which must be there. */
export async function ledgerOf({ clients }: Pick<MigrationHome, "clients">): Promise<Ledger> {
  const ledger = await readLedger(clients.kubernetes, ref);
  assert.ok(ledger);
  return ledger;
}
