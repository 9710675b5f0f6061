import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { keptClaimName } from "../../environment/volume-name";
import type { Clients } from "../clients";
import { claims, pods, volumes } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { called, rollbackHint } from "./agreement";
import { hasEnded, refersTo } from "./consumers";
import type { CutoverVolume } from "./cutover-input";
import type { Cutover, KeptClaim } from "./ledger-form";
import { isMigration, migrationLabels, volumeAnnotation, volumeId } from "./migration-pod";
import { readVolume, requirePolicy } from "./reclaim";

/** Which claims are to lie on which volumes; every other claim of the migration's names goes. */
export interface Arrangement {
  readonly claims: readonly KeptClaim[];
  /** Names that are to be free afterwards. */
  readonly vacated: readonly string[];
}

type Pair = NonNullable<Cutover["claims"]>;

/** The new volume under the old claim's name, with that one's labels and annotations; the old volume under a name of its own; the temporary claim gone. */
export function switched(volume: CutoverVolume, { source, target }: Pair): Arrangement {
  const annotations = { [volumeAnnotation]: volumeId(volume) };
  return {
    claims: [
      {
        ...target,
        name: source.name,
        labels: source.labels,
        annotations: { ...source.annotations, ...annotations },
      },
      { ...source, name: keptClaimName(volume), labels: migrationLabels, annotations },
    ],
    vacated: [target.name],
  };
}

/** As it was before. */
export function asBefore(volume: CutoverVolume, { source, target }: Pair): Arrangement {
  return { claims: [source, target], vacated: [keptClaimName(volume)] };
}

/** Annotations with which Kubernetes keeps its own books about one claim and its one volume. */
const bookkeeping = /^(pv\.kubernetes\.io|volume\.kubernetes\.io|volume\.beta\.kubernetes\.io)\//;

/** Only there while a claim waits to be bound. */
const nudgeAnnotation = "home-cluster/look-again";

/** A live claim as it has to be made again. */
export function kept(claim: V1PersistentVolumeClaim): KeptClaim {
  const { metadata, spec } = claim;
  const annotations = Object.entries(metadata?.annotations ?? {}).filter(
    ([key]) => !bookkeeping.test(key) && key !== nudgeAnnotation,
  );
  return {
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    volume: spec?.volumeName ?? "",
    labels: metadata?.labels ?? {},
    annotations: Object.fromEntries(annotations),
    accessModes: spec?.accessModes ?? [],
    ...(spec?.storageClassName !== undefined && { storageClassName: spec.storageClassName }),
    storage: spec?.resources?.requests?.storage ?? "",
    ...(spec?.volumeMode !== undefined && { volumeMode: spec.volumeMode }),
  };
}

/**
 * Brings the claims into the wanted arrangement from wherever they are: what is there decides what is left to do, so a run that was killed after any request is
 * gone on with by the next. A claim is deleted only as the very object that was looked at, if it is one of this migration's, and both volumes are kept
 * (`Retain`, read back before each deletion). `guard` is asked before everything that changes something. Returns the claims' UIDs by name.
 */
export async function arrangeClaims(
  clients: Clients,
  volume: CutoverVolume,
  pair: Pair,
  wanted: Arrangement,
  guard: () => Promise<void>,
): Promise<ReadonlyMap<string, string>> {
  const { kubernetes } = clients;
  const { namespace } = volume;
  for (const name of [...wanted.vacated, ...wanted.claims.map((claim) => claim.name)]) {
    const found = await kubernetes.read(claims, name, namespace);
    const place = wanted.claims.find((claim) => claim.name === name);
    if (found && found.spec?.volumeName !== place?.volume) await vacate(clients, volume, pair, found, guard);
  }
  const uids = new Map<string, string>();
  for (const claim of wanted.claims) uids.set(claim.name, await place(clients, volume, claim, guard));
  return uids;
}

/** Takes a claim's name back; its volume stays. */
async function vacate(
  clients: Clients,
  volume: CutoverVolume,
  pair: Pair,
  claim: V1PersistentVolumeClaim,
  guard: () => Promise<void>,
): Promise<void> {
  const { kubernetes, clock, log } = clients;
  const { name = "", namespace = "", uid = "" } = claim.metadata ?? {};
  const ours = [pair.source.uid, pair.target.uid].includes(uid) || isOurs(volume, claim);
  if (!ours || ![pair.source.volume, pair.target.volume].includes(claim.spec?.volumeName ?? "")) {
    throw new Refusal({
      what: `${called(volume)}: the claim ${name} (UID ${uid}) is not one of this migration, and it was left alone`,
      why: "somebody or something made it while its name was free, or bound it elsewhere",
      next: `look whether anything is in it, \`kubectl -n ${namespace} delete persistentvolumeclaim ${name}\`, and run the same command again; or ${rollbackHint(volume)}`,
    });
  }
  await removeFinished(clients, volume, name, guard);
  for (const { volume: one } of [pair.source, pair.target]) await requirePolicy(kubernetes, one, "Retain");
  await guard();
  await kubernetes.remove(claims, name, namespace, { uid });
  await waitFor(
    clock,
    {
      what: `${called(volume)}: the claim ${name} is gone`,
      timeoutSeconds: 300,
      everySeconds: 2,
      next: `see what holds it: \`kubectl -n ${namespace} describe persistentvolumeclaim ${name}\`, and run the same command again; or ${rollbackHint(volume)}`,
    },
    async () => {
      if ((await kubernetes.read(claims, name, namespace))?.metadata?.uid !== uid) return true;
      const holders = (await kubernetes.list(pods, { namespace })).filter((pod) => refersTo(pod, name));
      throw new NotYet(
        `it is held by ${holders.map((pod) => `pod ${pod.metadata?.name}`).join(", ") || "a finalizer"}`,
      );
    },
  );
  log(`${called(volume)}: claim ${name} let go of its volume ${claim.spec?.volumeName}, which stays`);
}

/** Kubernetes keeps a claim as long as any pod names it, finished ones too; those of our Jobs have said all they had to. */
async function removeFinished(
  { kubernetes }: Clients,
  volume: CutoverVolume,
  claim: string,
  guard: () => Promise<void>,
): Promise<void> {
  const { namespace } = volume;
  const ours = (await kubernetes.list(pods, { namespace })).filter((pod) => isMigration(pod) && refersTo(pod, claim));
  const running = ours.filter((pod) => !hasEnded(pod)).map((pod) => pod.metadata?.name);
  if (running.length > 0) {
    throw new Refusal({
      what: `${called(volume)}: the claim ${claim} is in use by ${running.join(", ")}, of a Job of this migration`,
      why: "a copy or a verification that is not over reads or writes it",
      next: `wait for it, or delete its Job (\`kubectl -n ${namespace} get jobs\`), and run the same command again`,
    });
  }
  for (const pod of ours) {
    await guard();
    await kubernetes.remove(pods, pod.metadata?.name ?? "", namespace, { uid: pod.metadata?.uid ?? "" });
  }
}

/** The claim, bound to its volume: the volume is reserved for it by name first, so that nothing else can come in between. */
async function place(
  clients: Clients,
  volume: CutoverVolume,
  claim: KeptClaim,
  guard: () => Promise<void>,
): Promise<string> {
  const { kubernetes, clock, log } = clients;
  const { namespace } = volume;
  const { name } = claim;
  const reserved = await readVolume(kubernetes, claim.volume);
  const there = await kubernetes.read(claims, name, namespace);
  const reference = reserved.spec?.claimRef;
  const uid = there?.metadata?.uid;
  if (reference?.namespace !== namespace || reference.name !== name || (reference.uid ?? uid) !== uid) {
    await guard();
    await kubernetes.patch(volumes, claim.volume, {
      // Only over what was read: whoever bound it meanwhile keeps it.
      metadata: { resourceVersion: reserved.metadata?.resourceVersion },
      spec: {
        claimRef: {
          ...{ apiVersion: claims.apiVersion, kind: claims.kind, namespace, name },
          // Of the claim that had it before: with it the volume would stay Released.
          ...{ uid: null, resourceVersion: null },
        },
      },
    });
  }
  if (!there) {
    await guard();
    await kubernetes.create(claimObject(namespace, claim));
  }
  let looks = 0;
  const bound = await waitFor(
    clock,
    {
      what: `${called(volume)}: the claim ${name} is bound to PersistentVolume ${claim.volume}`,
      timeoutSeconds: 300,
      everySeconds: 1,
      next: `see why: \`kubectl -n ${namespace} describe persistentvolumeclaim ${name}\`, and run the same command again; or ${rollbackHint(volume)}`,
    },
    async () => {
      const found = await kubernetes.read(claims, name, namespace);
      const held = (await readVolume(kubernetes, claim.volume)).spec?.claimRef?.uid;
      if (found?.status?.phase === "Bound" && found.metadata?.uid !== undefined && held === found.metadata.uid)
        return found;
      looks += 1;
      // The controller's two halves run into each other over the volume, and the claim's gives up until its next round, up to 15 s later (tried on 1.25). It
      // looks again at once when the claim changes.
      if (found && looks % 5 === 3) await kubernetes.patch(claims, name, nudge(String(clock.now())), namespace);
      throw new NotYet(`it is ${found?.status?.phase ?? "not there"}`);
    },
  );
  if (bound.metadata?.annotations?.[nudgeAnnotation] !== undefined)
    await kubernetes.patch(claims, name, nudge(null), namespace);
  log(`${called(volume)}: claim ${name} has PersistentVolume ${claim.volume}`);
  return bound.metadata?.uid ?? "";
}

function nudge(value: string | null): object {
  return { metadata: { annotations: { [nudgeAnnotation]: value } } };
}

function claimObject(namespace: string, claim: KeptClaim): V1PersistentVolumeClaim {
  const { name, labels, annotations, accessModes, storageClassName, storage, volumeMode } = claim;
  return {
    apiVersion: claims.apiVersion,
    kind: claims.kind,
    metadata: { name, namespace, labels, annotations },
    spec: {
      accessModes,
      ...(storageClassName !== undefined && { storageClassName }),
      volumeName: claim.volume,
      resources: { requests: { storage } },
      ...(volumeMode !== undefined && { volumeMode }),
    },
  };
}

function isOurs(volume: CutoverVolume, claim: V1PersistentVolumeClaim): boolean {
  return claim.metadata?.annotations?.[volumeAnnotation] === volumeId(volume);
}
