import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import type { Clients, KubernetesApi } from "../clients";
import { openWithoutLonghorn } from "../cluster/without-longhorn";
import { claims } from "../kinds";
import { keptClaimName } from "../../environment/volume-name";
import { defineOperation } from "../operation";
import { called, refuseFindings, type Finding } from "./agreement";
import { cutoverInput, type CutoverVolume } from "./cutover-input";
import { writeLedger, type Ledger } from "./ledger";
import { volumeAnnotation, volumeId } from "./migration-pod";
import { existing, requireLedger } from "./observe-consumers";
import { readVolume, setReclaimPolicy } from "./reclaim";
import { observeWorkloads } from "./workloads/observe";
import { pointFindings } from "./workloads/point-to";
import { ownerName } from "./workloads/record";
import { undoers } from "./workloads/undoers";

/** Where the data of both sides lies. */
export interface CutoverPrepared {
  readonly sourceVolume: string;
  readonly targetVolume: string;
}

/**
 * Before anything of a workload is touched: everything that would keep its cutover from coming to an end, at once; then both volumes are set to `Retain`, with
 * what they had in the ledger first, and read back. Once the workload may be stopped it looks at nothing any more: that is the next steps' business.
 */
export const prepareCutover = defineOperation({
  verb: "prepare-cutover",
  needs: ["kubernetes"],
  schema: cutoverInput,
  async run(volume, clients): Promise<CutoverPrepared> {
    const { kubernetes, log } = clients;
    const ledger = await requireLedger(kubernetes, volume);
    const { reclaim } = ledger;
    if (ledger.cutover && reclaim?.target) {
      log(`${called(volume)}: its cutover has begun (ledger: ${ledger.phase})`);
      return { sourceVolume: reclaim.source.volume, targetVolume: reclaim.target.volume };
    }
    const source = await kubernetes.read(claims, volume.claim, volume.namespace);
    const target = await kubernetes.read(claims, volume.newClaim, volume.namespace);
    refuseFindings(`${called(volume)}: not ready for its cutover, and nothing was stopped`, [
      ...boundFindings(volume, source, volume.claim),
      ...boundFindings(volume, target, volume.newClaim),
      ...(await nodeFindings(kubernetes)),
      ...(volume.switch === "same-name" ? await nameFindings(kubernetes, volume, source) : []),
      ...(await workloadFindings(clients, volume)),
    ]);
    const volumes = [source, target].map((claim) => claim?.spec?.volumeName ?? "");
    const [sourceVolume = "", targetVolume = ""] = volumes;
    await retain(clients, volume, sourceVolume, targetVolume);
    return { sourceVolume, targetVolume };
  },
});

function boundFindings(
  volume: CutoverVolume,
  claim: V1PersistentVolumeClaim | undefined,
  name: string,
): readonly Finding[] {
  const phase = claim?.metadata?.deletionTimestamp ? "being deleted" : (claim?.status?.phase ?? "gone");
  if (phase === "Bound" && claim?.spec?.volumeName !== undefined) return [];
  return [
    {
      why: `the claim ${name} is ${phase}, not Bound`,
      next: `see why: \`kubectl -n ${volume.namespace} describe persistentvolumeclaim ${name}\``,
    },
  ];
}

/** A pod that lands where its volume cannot be attached waits for ever: schedulers do not mind a driver that is missing. */
async function nodeFindings(kubernetes: KubernetesApi): Promise<readonly Finding[]> {
  const open = await openWithoutLonghorn(kubernetes);
  if (open.length === 0) return [];
  return [
    {
      why: `pods can still land on ${open.join(", ")}, where no volume of Longhorn can be attached`,
      next: `\`kubectl cordon ${open.join(" ")}\`, then run \`pulumi up\` again`,
    },
  ];
}

/** What the old claim's name, and the name that the old volume is kept under, are needed for. */
async function nameFindings(
  kubernetes: KubernetesApi,
  volume: CutoverVolume,
  source: V1PersistentVolumeClaim | undefined,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const owners = (source?.metadata?.ownerReferences ?? []).map(({ kind, name }) => `${kind} ${name}`);
  if (owners.length > 0) {
    findings.push({
      why: `the old claim belongs to ${owners.join(", ")}, which would make or delete claims of its name by itself`,
      next: "write switch: new-claim, or let go of it there first",
    });
  }
  const kept = keptClaimName(volume);
  const other = await kubernetes.read(claims, kept, volume.namespace);
  if (other && other.metadata?.annotations?.[volumeAnnotation] !== volumeId(volume)) {
    findings.push({
      why: `the claim ${volume.namespace}/${kept}, under which the old volume is to be kept, exists and is not this migration's`,
      next: "write switch: new-claim, or rename that claim",
    });
  }
  return findings;
}

async function workloadFindings({ kubernetes, log }: Clients, volume: CutoverVolume): Promise<readonly Finding[]> {
  const { record, findings } = await observeWorkloads(kubernetes, volume);
  const undoing = await undoers(kubernetes, record);
  for (const note of undoing.notes) log(`${called(volume)}: ${note}`);
  log(
    `${called(volume)}: ${record.owners.length === 0 ? "nobody is to be stopped" : `to be stopped: ${record.owners.map(ownerName).join(", ")}`}`,
  );
  return [
    ...findings,
    ...undoing.findings,
    ...(volume.switch === "new-claim" ? await pointFindings(kubernetes, record, volume.newClaim) : []),
  ];
}

/** What the policies were is written down before the first of them is changed, and never written over by what we set. */
async function retain(
  clients: Clients,
  volume: CutoverVolume,
  sourceVolume: string,
  targetVolume: string,
): Promise<void> {
  const policyOf = async (name: string): Promise<string> =>
    (await readVolume(clients.kubernetes, name)).spec?.persistentVolumeReclaimPolicy ?? "Delete";
  const source = { volume: sourceVolume, policy: await policyOf(sourceVolume) };
  const target = { volume: targetVolume, policy: await policyOf(targetVolume) };
  await writeLedger(clients, volume, (current): Ledger => {
    const ledger = existing(current, volume);
    const known = ledger.reclaim;
    return {
      ...ledger,
      reclaim: {
        source: known?.source.volume === sourceVolume ? known.source : source,
        target: known?.target?.volume === targetVolume ? known.target : target,
      },
    };
  });
  for (const name of [sourceVolume, targetVolume]) await setReclaimPolicy(clients, name, "Retain");
}
