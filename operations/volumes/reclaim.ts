import type { V1PersistentVolume } from "@kubernetes/client-node";
import type { Clients } from "../clients";
import { volumes } from "../kinds";
import { Refusal } from "../refusal";

/** Sets who deletes a volume's data once its claim goes, and reads it back. Returns what it was. */
export async function setReclaimPolicy(
  { kubernetes, log }: Pick<Clients, "kubernetes" | "log">,
  volume: string,
  policy: string,
): Promise<void> {
  if ((await readVolume(kubernetes, volume)).spec?.persistentVolumeReclaimPolicy !== policy)
    await kubernetes.patch(volumes, volume, { spec: { persistentVolumeReclaimPolicy: policy } });
  await requirePolicy(kubernetes, volume, policy);
  log(`PersistentVolume ${volume}: reclaim policy ${policy}`);
}

/** Read back, right before what would delete data without it. */
export async function requirePolicy(kubernetes: Clients["kubernetes"], volume: string, policy: string): Promise<void> {
  const found = (await readVolume(kubernetes, volume)).spec?.persistentVolumeReclaimPolicy;
  if (found === policy) return;
  throw new Refusal({
    what: `PersistentVolume ${volume}: its reclaim policy is ${found ?? "none"}, not ${policy}`,
    why: "somebody or something sets it back, and without Retain the data goes with the claim",
    next: `see who: \`kubectl get persistentvolume ${volume} -o yaml --show-managed-fields\`, then run the same command again`,
  });
}

/** A volume that must be there. */
export async function readVolume(kubernetes: Clients["kubernetes"], volume: string): Promise<V1PersistentVolume> {
  const found = await kubernetes.read(volumes, volume);
  if (found) return found;
  throw new Refusal({
    what: `there is no PersistentVolume ${volume === "" ? "(no name)" : volume}`,
    why: "a claim of this migration was bound to it",
    next: "see what there is: `kubectl get persistentvolumes`",
  });
}
