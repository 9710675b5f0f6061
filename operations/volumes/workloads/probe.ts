import type { CoreV1Event, V1Pod } from "@kubernetes/client-node";
import type { Clients } from "../../clients";
import { events } from "../../kinds";
import { NotYet, waitFor } from "../../poll";
import { Refusal } from "../../refusal";
import { called } from "../agreement";
import { chainOf, namespaceObjects, podsOf, uidOf, type NamespaceObjects } from "./chain";
import { holdOf } from "./hold";
import { isLeaving } from "./levers";
import { hasEnded, isOver } from "./observe";
import { ownerName, type OwnerRecord, type WorkloadRecord } from "./record";
import { claimOrdinal, volumesOf, type Workload } from "./template";

export interface ProbeOptions {
  /** The claim that the pods must refer to. */
  readonly claim: string;
  readonly timeoutSeconds: number;
  /** The command that takes everything back, named in the refusal. */
  readonly rollback: string;
}

export interface Probed {
  /** What runs again, a line each with its pods. */
  readonly ready: readonly string[];
  /** What nothing can be said about, and why: at 0 replicas, a CronJob, held down for another volume. */
  readonly silent: readonly string[];
}

/** Where one owner is: `missing` until it runs as it should. */
type State =
  | { readonly is: "ready" | "silent"; readonly line: string }
  | { readonly is: "missing"; readonly line: string; readonly owner: OwnerRecord; readonly pods: readonly V1Pod[] };

/** Waits until the pods of every resumed owner are Ready with the claim. Else a Refusal with what the pods and their events say. Changes nothing. */
export async function probe(clients: Clients, record: WorkloadRecord, options: ProbeOptions): Promise<Probed> {
  const { kubernetes, clock } = clients;
  let all: NamespaceObjects = { pods: [], workloads: new Map() };
  let states: readonly State[] = [];
  const lines = (is: State["is"]): string[] => states.filter((state) => state.is === is).map(({ line }) => line);
  try {
    await waitFor(clock, { what: "", timeoutSeconds: options.timeoutSeconds, everySeconds: 2, next: "" }, async () => {
      all = await namespaceObjects(kubernetes, record.namespace);
      states = record.owners.map((owner) => stateOf(all, owner, record, options.claim));
      const missing = lines("missing");
      if (missing.length > 0) throw new NotYet(missing.join("; "));
      return true;
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal({
      what: `${called(record)}: its workload is not Ready on the claim ${options.claim} within ${options.timeoutSeconds} s`,
      why: [...lines("missing"), ...(await complaints(clients, all, states))].join("\n        "),
      next: `mend that and run \`pulumi up\` again, or take everything back: \`${options.rollback}\``,
    });
  }
  return { ready: lines("ready"), silent: lines("silent") };
}

function stateOf(all: NamespaceObjects, owner: OwnerRecord, record: WorkloadRecord, claim: string): State {
  const name = ownerName(owner);
  const live = all.workloads.get(owner.uid);
  if (owner.kind === "CronJob") return { is: "silent", line: `${name}: runs when its time comes` };
  if (owner.kind !== "Pod" && !live) return { is: "silent", line: `${name}: it is gone` };
  const others = (live && holdOf(live)?.for.filter((volume) => volume !== record.volume)) ?? [];
  if (others.length > 0) return { is: "silent", line: `${name}: still stopped for volume ${others.join(", ")}` };
  if (live && isOver(live)) return { is: "silent", line: `${name}: has ended` };
  const pods = podsOf(all, owner).filter((pod) => !isLeaving(pod) && !hasEnded(pod));
  const wanted = owner.kind === "Pod" ? 1 : wantedPods(live);
  if (wanted === undefined) return { is: "missing", line: `${name}: its controller has not looked yet`, owner, pods };
  if (wanted === 0) return { is: "silent", line: `${name}: is to have no pods` };
  const ready = pods.filter(isPodReady);
  const astray = ready.filter((pod) => !usesClaim(pod, owner, live, claim));
  if (ready.length >= wanted && astray.length === 0)
    return { is: "ready", line: `${name}: ${ready.map(({ metadata }) => metadata?.name).join(", ")}` };
  const wrong = astray.map(({ metadata }) => `; ${metadata?.name} does not use the claim ${claim}`).join("");
  return { is: "missing", line: `${name}: ${ready.length} of ${wanted} pods are Ready${wrong}`, owner, pods };
}

/** undefined while a DaemonSet's controller has yet to count the nodes. */
function wantedPods(live: Workload | undefined): number | undefined {
  if (live?.kind === "Job") return live.spec?.suspend ? 0 : 1;
  if (live?.kind !== "DaemonSet") return live?.spec?.replicas ?? 1;
  const seen = (live.status?.observedGeneration ?? -1) >= (live.metadata?.generation ?? 0);
  return seen ? live.status?.desiredNumberScheduled : undefined;
}

/** Of a StatefulSet's pods only one uses the claim that its volumeClaimTemplate makes. */
function usesClaim(pod: V1Pod, owner: OwnerRecord, live: Workload | undefined, claim: string): boolean {
  if (owner.reference.by === "claim-template") {
    const ordinal = live && claimOrdinal(live, claim)?.ordinal;
    if (pod.metadata?.name !== `${owner.name}-${ordinal}`) return true;
  }
  return volumesOf(pod.spec, claim).length > 0;
}

function isPodReady({ status }: V1Pod): boolean {
  return (status?.conditions ?? []).some(({ type, status: is }) => type === "Ready" && is === "True");
}

/** What pods that are not Ready say of themselves, then the last warnings about them and about what should have made them. */
async function complaints({ kubernetes }: Clients, all: NamespaceObjects, states: readonly State[]): Promise<string[]> {
  const missing = states.flatMap((state) => (state.is === "missing" ? [state] : []));
  const namespace = missing[0]?.owner.namespace ?? "";
  const owners = new Set(missing.map(({ owner }) => owner.uid));
  const about = new Set(
    [...all.pods, ...all.workloads.values()]
      .filter((object) => chainOf(all, object).objects.some((one) => owners.has(uidOf(one))))
      .map(uidOf),
  );
  const warnings = (await kubernetes.list(events, { namespace }))
    .filter(({ type, involvedObject }) => type === "Warning" && about.has(involvedObject.uid ?? ""))
    .sort((a, b) => timeOf(b) - timeOf(a))
    .map(
      ({ involvedObject, reason, message }) => `${involvedObject.kind} ${involvedObject.name}: ${reason}: ${message}`,
    );
  const pods = missing.flatMap((state) => state.pods).filter((pod) => !isPodReady(pod));
  return [...pods.flatMap(podComplaints), ...[...new Set(warnings)].slice(0, 5)];
}

function podComplaints({ metadata, status }: V1Pod): string[] {
  const name = `Pod ${metadata?.name}`;
  const unscheduled = (status?.conditions ?? [])
    .filter(({ type, status: is }) => type === "PodScheduled" && is === "False")
    .map(({ reason, message }) => `${name}: ${reason}: ${message}`);
  const waiting = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].flatMap((one) => {
    const said = one.state?.waiting ?? (one.ready ? undefined : (one.state?.terminated ?? one.lastState?.terminated));
    return said?.reason === undefined ? [] : [`${name}: container ${one.name}: ${said.reason}: ${said.message ?? "-"}`];
  });
  return [...unscheduled, ...waiting];
}

function timeOf({ lastTimestamp, eventTime, metadata }: CoreV1Event): number {
  return new Date(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? 0).getTime();
}
