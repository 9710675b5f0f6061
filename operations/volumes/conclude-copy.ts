import type { V1Pod } from "@kubernetes/client-node";
import { z } from "zod";
import type { Clients, KubernetesApi } from "../clients";
import { claims, pods } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called } from "./agreement";
import { consumersOf, describeConsumer } from "./consumers";
import {
  hasReached,
  isPastCopy,
  writeLedger,
  type Comparison,
  type Consumer,
  type Ledger,
  type LedgerPhase,
} from "./ledger";
import { existing, requireLedger } from "./observe-consumers";
import { judge } from "./verdict";

const input = z.strictObject({
  namespace: z.string(),
  claim: z.string(),
  newClaim: z.string(),
  attempt: z.int().min(1),
  /** The verification Job. */
  job: z.string(),
});
type Input = z.infer<typeof input>;

/** A volume with the Job that verified it. */
export type Verified = Pick<Input, "namespace" | "claim" | "newClaim" | "attempt" | "job">;

/** What components/volumes/scripts/verify.py leaves as its pod's termination message. */
const findingsSchema = z.strictObject({
  version: z.literal(1),
  entries: z.int().min(0),
  bytes: z.int().min(0),
  differences: z.int().min(0),
  first: z.array(z.string()),
  manifest: z.string(),
  vanished: z.int().min(0),
  /** These are absent from what a verification of an earlier version left. */
  phase: z.enum(["warm", "final"]).optional(),
  /** Of the verification behind a fence alone: the one under which the final pass had finished. */
  fence: z.string().optional(),
  /** Files whose content was read, and those whose hash was kept from the warm verification. */
  hashed: z.int().min(0).optional(),
  trusted: z.int().min(0).optional(),
  /** Id of the hashes that were kept or used. */
  hashes: z.string().optional(),
});

/** Where the volume stands after this attempt's verification, and what that found. */
export interface Concluded extends Partial<Pick<Comparison, "entries" | "bytes" | "differences" | "first">> {
  readonly phase: LedgerPhase;
}

/**
 * After the verification: what it found, judged by who used the old volume before and after it, goes into the ledger. The pod itself cannot judge: it
 * sees two trees and no pods. A difference that no pod can have made is refused. The same pod's findings are judged once, by what was seen then: a
 * workload that is started afterwards does not turn a wrong copy into a warm one. See docs/decisions/verdict-outside-the-job.md.
 */
export const concludeCopy = defineOperation({
  verb: "conclude-copy",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Concluded> {
    const { kubernetes, log } = clients;
    const ledger = await requireLedger(kubernetes, volume);
    if (isPastCopy(ledger)) {
      log(`${called(volume)}: the ledger says ${ledger.phase}: a copy's verification says nothing about it any more`);
      return { phase: ledger.phase };
    }
    const pod = await verificationPod(kubernetes, volume);
    const comparison =
      [ledger.comparison, ledger.later].find((earlier) => earlier?.pod === pod.metadata?.uid) ??
      (await compare(clients, volume, ledger, pod));
    const verdict = judge(comparison);
    const written = await writeLedger(clients, volume, (current) => record(existing(current, volume), comparison));
    const { entries, bytes, differences, first } = comparison;
    const users = comparison.consumers.map(describeConsumer).join(", ");
    const found = `${entries} entries, ${bytes} bytes, ${differences} differences`;
    if (verdict === "differs") refuseDifferences(volume, written, comparison);
    log(
      `${called(volume)}: ${written.phase}; ${found}${users === "" ? "" : `, with the old volume in use by ${users}`}`,
    );
    for (const line of first) log(`${called(volume)}: differs: ${line}`);
    return { phase: written.phase, entries, bytes, differences, first };
  },
});

/** The pod of the Job that carried its comparison out. */
export async function verificationPod(kubernetes: KubernetesApi, volume: Verified): Promise<V1Pod> {
  // Not batch.kubernetes.io/job-name, which clusters before 1.27 do not set; this one is on all.
  const all = await kubernetes.list(pods, { namespace: volume.namespace, labels: { "job-name": volume.job } });
  const done = all.find((pod) => pod.status?.phase === "Succeeded");
  if (done) return done;
  throw new Refusal({
    what: `${called(volume)}: the verification's findings are not there`,
    why: `Job ${volume.job} has no finished pod, and they are its pod's termination message`,
    next: `write attempt: ${volume.attempt + 1} and run \`pulumi up\`: a finished copy is not repeated, its verification is`,
  });
}

async function compare({ kubernetes, clock }: Clients, volume: Input, ledger: Ledger, pod: V1Pod): Promise<Comparison> {
  const { observed } = ledger;
  if (observed?.attempt !== volume.attempt) {
    throw new Refusal({
      what: `${called(volume)}: nobody looked who used the old volume before this verification`,
      why: `the ledger's last look is of attempt ${observed?.attempt ?? "(none)"}, this is ${volume.attempt}`,
      next: `write attempt: ${volume.attempt + 1} and run \`pulumi up\``,
    });
  }
  await refuseOtherClaims(kubernetes, volume, ledger);
  const now = await consumersOf(kubernetes, volume.namespace, volume.claim, observed.at);
  const { entries, bytes, differences, first, manifest, vanished } = parseFindings(volume, pod);
  return {
    attempt: volume.attempt,
    at: new Date(clock.now()).toISOString(),
    pod: pod.metadata?.uid ?? "",
    entries,
    bytes,
    differences,
    first,
    manifest,
    vanished,
    consumers: together(observed.consumers, now),
    targetConsumers: await consumersOf(kubernetes, volume.namespace, volume.newClaim, observed.at),
  };
}

/** A claim that was made anew under the same name has another volume behind it. */
export async function refuseOtherClaims(kubernetes: KubernetesApi, volume: Verified, ledger: Ledger): Promise<void> {
  for (const [claim, uid] of [
    [volume.claim, ledger.sourceUid],
    [volume.newClaim, ledger.targetUid],
  ] as const) {
    const live = (await kubernetes.read(claims, claim, volume.namespace))?.metadata?.uid;
    if (live === uid) continue;
    throw new Refusal({
      what: `${called(volume)}: the verification does not count`,
      why: `the claim ${claim} is ${live === undefined ? "gone" : "not the one that was copied"}`,
      next: `write attempt: ${volume.attempt + 1} and another newClaim, and run \`pulumi up\``,
    });
  }
}

export function parseFindings(volume: Verified, pod: V1Pod): z.infer<typeof findingsSchema> {
  const message = pod.status?.containerStatuses?.[0]?.state?.terminated?.message ?? "";
  const parsed = findingsSchema.safeParse(fromJson(message));
  if (parsed.success) return parsed.data;
  throw new Refusal({
    what: `${called(volume)}: the verification's findings cannot be read`,
    why: z.prettifyError(parsed.error),
    next: `see what it left: \`kubectl -n ${volume.namespace} get pod ${pod.metadata?.name} -o yaml\`, then write attempt: ${volume.attempt + 1}`,
  });
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Each pod once; a node that it got in between counts. */
function together(before: readonly Consumer[], after: readonly Consumer[]): Consumer[] {
  const byPod = new Map<string, Consumer>();
  for (const consumer of [...before, ...after]) {
    if (byPod.get(consumer.pod)?.node === undefined) byPod.set(consumer.pod, consumer);
  }
  return [...byPod.values()];
}

/**
 * A phase never goes back: what is `verified` stays so, with its own comparison, when a later attempt finds the workload running again or the volume changed; the
 * later findings stand beside it.
 */
function record(ledger: Ledger, comparison: Comparison): Ledger {
  const verdict = judge(comparison);
  if (verdict === "differs" || !hasReached(verdict, ledger.phase)) return { ...ledger, later: comparison };
  return { ...ledger, phase: verdict, comparison, later: undefined };
}

function refuseDifferences(volume: Input, ledger: Ledger, comparison: Comparison): never {
  const { first, differences } = comparison;
  const more = differences > first.length ? [`and ${differences - first.length} more`] : [];
  throw new Refusal({
    what: `${called(volume)}: the copy differs from the old volume in ${differences} places (ledger: ${ledger.phase})`,
    why: [
      "no pod was using the old volume before and after the comparison, so either its workload ran after the copy, or the copy is wrong:",
      ...first,
      ...more,
    ].join("\n        "),
    next:
      `write attempt: ${volume.attempt + 1} and another newClaim to copy anew; ` +
      `all differences: \`kubectl -n ${volume.namespace} logs job/${volume.job}\``,
  });
}
