import type { CoreV1Event, V1Job, V1Pod } from "@kubernetes/client-node";
import { z } from "zod";
import type { Clients, KubernetesApi, StoredObject } from "../clients";
import { events, jobs, pods } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { called } from "./agreement";
import { describeProgress, parseProgress, type Progress } from "./progress";

const input = z.strictObject({
  namespace: z.string(),
  claim: z.string(),
  /** The copy's Job, or a verification's. */
  job: z.string(),
  /** The file's attempt, for the way on. */
  attempt: z.int().min(1),
  /** Seconds after which a pod that has not begun, or a Job that is not there, is given up. An image of 150 MB and an attachment take some two minutes. */
  pendingSeconds: z.int().min(1).default(600),
  /** Of a Job behind a fence, the command that starts the stopped workload on its old volume; told with everything that ends the Job. */
  rollback: z.string().optional(),
});
type Input = z.infer<typeof input>;

/** How the Job's log ended. */
export interface Followed {
  readonly job: string;
  /** The last line of progress; absent where the Job wrote none, as one that found its phase finished. */
  readonly progress?: Progress;
}

/** Seconds between two looks, as the scripts print one line of progress every ten. */
const every = 10;

/** Lines of the log that are asked for at once: more than come in ten seconds, unless a verification names a hundred differences. */
const tail = 200;

/** Of a failed pod's log, what stands in the error. */
const lastLines = 12;

/**
 * Stands beside a Job, gated as that is, so that `pulumi up` shows what the Job's pod writes, and ends with it. The engine's own wait knows of no reason why a
 * pod does not begin: here it is the text of its event, and the Job is ended too, since the engine would go on waiting for it.
 */
export const followCopy = defineOperation({
  verb: "follow-copy",
  needs: ["kubernetes"],
  schema: input,
  async run(volume, clients): Promise<Followed> {
    const follower = new Follower(volume, clients);
    for (;;) {
      const ended = await follower.look();
      if (ended) return ended;
      await clients.clock.sleep(every * 1000);
    }
  },
});

class Follower {
  /** When the Job, or its present pod, was first seen without having begun. */
  private waitingSince: number;
  private seen: string | undefined;
  private pod: string | undefined;
  private told = "";
  private lastLine: string | undefined;
  private progress: Progress | undefined;

  constructor(
    private readonly volume: Input,
    private readonly clients: Clients,
  ) {
    this.waitingSince = clients.clock.now();
  }

  async look(): Promise<Followed | undefined> {
    const { kubernetes } = this.clients;
    const { namespace, job: name } = this.volume;
    const job = await kubernetes.read(jobs, name, namespace);
    if (!job) return this.absent();
    this.seen = job.metadata?.uid;
    const pod = await newestPod(kubernetes, this.volume);
    if (pod && pod.metadata?.uid !== this.pod) {
      if (this.pod !== undefined) this.say(`pod ${pod.metadata?.name} takes the place of one that did not finish`);
      this.pod = pod.metadata?.uid;
      this.waitingSince = this.clients.clock.now();
      this.lastLine = undefined;
    }
    if (pod && hasBegun(pod)) {
      this.waitingSince = this.clients.clock.now();
      await this.show(pod);
    }
    const failed = condition(job, "Failed");
    if (failed) await this.refuseFailed(job, pod);
    if (condition(job, "Complete")) return { job: name, ...(this.progress && { progress: this.progress }) };
    if (!pod || !hasBegun(pod)) await this.waiting(job, pod);
    return undefined;
  }

  private say(line: string): void {
    this.clients.log(`${called(this.volume)}: ${line}`);
  }

  /** What to do next, and what the workload does until then. */
  private next(next: string): string {
    const { rollback } = this.volume;
    if (rollback === undefined) return next;
    return `${next}; the workload stays stopped until then. Back to the old volume at any time: \`${rollback}\``;
  }

  private overdue(): boolean {
    return this.clients.clock.now() - this.waitingSince >= this.volume.pendingSeconds * 1000;
  }

  private absent(): undefined {
    const { job, namespace, pendingSeconds } = this.volume;
    if (this.seen !== undefined) {
      throw new Refusal({
        what: `${called(this.volume)}: Job ${job} was deleted while it ran`,
        why: "somebody else deleted it, and nobody knows how far it came",
        next: "run `pulumi up --refresh`: a copy that is made anew goes on where that one ended",
      });
    }
    if (!this.overdue()) return undefined;
    throw new Refusal({
      what: `${called(this.volume)}: there is no Job ${job}`,
      why: `it was not created within ${pendingSeconds} s; what refused it stands at its own resource`,
      next: this.next(
        `see whether it is there by now: \`kubectl -n ${namespace} get job ${job}\`, then run \`pulumi up\` again`,
      ),
    });
  }

  /** What the pod wrote since the last look. */
  private async show(pod: V1Pod): Promise<void> {
    const lines = await logLines(this.clients.kubernetes, pod, tail);
    const known = this.lastLine === undefined ? -1 : lines.lastIndexOf(this.lastLine);
    for (const line of lines.slice(known + 1)) {
      const progress = parseProgress(line);
      if (progress) this.progress = progress;
      this.say(progress ? describeProgress(progress) : withoutName(line));
      this.lastLine = line;
    }
  }

  /** A Job whose pod does not begin: why, once it is known, and an end to it when it takes too long. */
  private async waiting(job: V1Job, pod: V1Pod | undefined): Promise<void> {
    const { namespace, job: name, attempt, pendingSeconds } = this.volume;
    const why = await whyWaiting(this.clients.kubernetes, namespace, pod ?? job, pod);
    if (why !== undefined && why !== this.told)
      this.say(`${pod ? `pod ${pod.metadata?.name}` : `Job ${name}`} waits: ${why}`);
    this.told = why ?? this.told;
    if (!this.overdue()) return;
    // The engine waits for the Job until its own deadline, which is hours away; the provider takes this one for a failure at once.
    await this.clients.kubernetes.patch(jobs, name, { spec: { activeDeadlineSeconds: 1 } }, namespace);
    throw new Refusal({
      what: `${called(this.volume)}: ${pod ? `pod ${pod.metadata?.name} did not begin` : `Job ${name} has no pod`} within ${pendingSeconds} s, and the Job was ended`,
      why: why ?? "its events say nothing",
      next: this.next(
        `once that is mended, write attempt: ${attempt + 1} and run \`pulumi up\`; all events: \`kubectl -n ${namespace} describe ${pod ? `pod ${pod.metadata?.name}` : `job ${name}`}\``,
      ),
    });
  }

  private async refuseFailed(job: V1Job, pod: V1Pod | undefined): Promise<never> {
    const { namespace, job: name, attempt } = this.volume;
    const { reason = "", message = "" } = condition(job, "Failed") ?? {};
    const lines = pod
      ? (await logLines(this.clients.kubernetes, pod, tail)).filter((line) => !parseProgress(line))
      : [];
    const exit = pod?.status?.containerStatuses?.[0]?.state?.terminated?.exitCode;
    throw new Refusal({
      what: `${called(this.volume)}: Job ${name} failed${exit === undefined ? "" : ` (exit code ${exit})`}`,
      why: [`${reason}${message === "" ? "" : `: ${message}`}`, ...lines.slice(-lastLines)].join("\n        "),
      next: this.next(
        `once its cause is mended, write attempt: ${attempt + 1} and run \`pulumi up\`; its whole log: \`kubectl -n ${namespace} logs job/${name}\``,
      ),
    });
  }
}

function condition(job: V1Job, type: string) {
  return job.status?.conditions?.find((one) => one.type === type && one.status === "True");
}

function hasBegun(pod: V1Pod): boolean {
  return pod.status?.phase !== undefined && pod.status.phase !== "Pending";
}

async function newestPod(kubernetes: KubernetesApi, { namespace, job }: Input): Promise<V1Pod | undefined> {
  // Not batch.kubernetes.io/job-name, which clusters before 1.27 do not set; this one is on all.
  const all = await kubernetes.list(pods, { namespace, labels: { "job-name": job } });
  return [...all].sort((a, b) => created(b) - created(a))[0];
}

/** Text or Date, by how the client reads JSON. */
function created({ metadata }: StoredObject): number {
  return new Date(metadata?.creationTimestamp ?? 0).getTime();
}

async function logLines(kubernetes: KubernetesApi, pod: V1Pod, lines: number): Promise<string[]> {
  const text = await kubernetes.podLog(pod.metadata?.name ?? "", pod.metadata?.namespace ?? "", lines);
  return text.split("\n").filter((line) => line !== "");
}

/** The scripts' own sentences begin with the volume's name, which stands in front of every line here. */
function withoutName(line: string): string {
  return line.replace(/^Volume \S+: /, "");
}

/** The newest warning about the object, or what its pod's own status says. */
async function whyWaiting(
  kubernetes: KubernetesApi,
  namespace: string,
  { metadata }: StoredObject,
  pod: V1Pod | undefined,
): Promise<string | undefined> {
  const about = (await kubernetes.list(events, { namespace })).filter(
    (event) => event.involvedObject.uid === metadata?.uid && event.type === "Warning",
  );
  const newest = about.sort((a, b) => at(b) - at(a))[0];
  if (newest) return `${newest.reason}: ${newest.message}`;
  const container = pod?.status?.containerStatuses?.[0]?.state?.waiting;
  if (container?.message !== undefined) return `${container.reason}: ${container.message}`;
  const scheduled = pod?.status?.conditions?.find(({ type, status }) => type === "PodScheduled" && status === "False");
  return scheduled && `${scheduled.reason}: ${scheduled.message}`;
}

function at(event: CoreV1Event): number {
  return new Date(event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? created(event)).getTime();
}
