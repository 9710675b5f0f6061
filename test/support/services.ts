import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { AccessInput } from "../../operations/declare";
import { isSecret, record, secret, type Properties, type Recording, type Registration } from "../../rehearsal/record";

/** What the kubeconfig of these tests is; it must never show. */
export const kubeconfig = "kubeconfig-that-must-not-show";
export const kubernetesAccess = accessWith(kubeconfig);

/** The way into the cluster, as stacks/providers.ts hands it on. */
export function accessWith(text: string): AccessInput {
  return pulumi.output({ kubernetes: { kubeconfig: pulumi.secret(text) } });
}

export interface RunOptions {
  readonly preview?: boolean;
  /** Fails every resource whose name holds this. */
  readonly fail?: string;
  /** Fails every invoke with this message. */
  readonly refuse?: string;
  /** Instead of the answer that a test's providers give by default. */
  readonly answers?: Readonly<Record<string, Properties>>;
}

const answers: Readonly<Record<string, Properties>> = {
  "random:index/randomPassword:RandomPassword": { result: secret("correct-horse") },
  "random:index/randomString:RandomString": { result: "saltsalt" },
  "kubernetes:helm.sh/v3:Release": { status: { revision: 3, status: "deployed" } },
  "command:local:Command": { stdout: secret('{"storageClass":"longhorn"}') },
};

/** Records a program with the providers that the stack would give it. */
export async function run(
  program: (opts: pulumi.ComponentResourceOptions) => unknown,
  { preview = false, fail, refuse, answers: given = {} }: RunOptions = {},
): Promise<Recording> {
  return record(
    () =>
      program({
        providers: [
          new kubernetes.Provider("cluster", { kubeconfig: pulumi.secret(kubeconfig) }),
          new command.Provider("operations"),
          new random.Provider("random"),
        ],
      }),
    {
      stack: "test-services",
      preview,
      answer: (registration) => {
        if (fail !== undefined && registration.custom && registration.name.includes(fail)) throw new Error("it failed");
        return { outputs: given[registration.type] ?? answers[registration.type] };
      },
      call: (token) => {
        if (refuse !== undefined) throw new Error(refuse);
        return token === "command:local:run" ? { stdout: '{"chart":"longhorn","version":"1.12.1"}' } : {};
      },
    },
  );
}

/** A registration as its author decides it: defaults left out, the rest by name. */
export interface Summary {
  readonly name: string;
  readonly type: string;
  readonly parent: string;
  readonly provider: string;
  readonly inputs: unknown;
  /** Names of what it waits for, through properties and dependsOn alike. */
  readonly after?: readonly string[];
  readonly options?: object;
}

/** Everything but the stack and its providers, in the order of their names; secrets as `{ secret: value }`, requests parsed. */
export function summaries(recording: Recording): readonly Summary[] {
  return recording.registrations
    .filter(({ type }) => type !== "pulumi:pulumi:Stack" && !type.startsWith("pulumi:providers:"))
    .map(summary)
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** The custom resources of it, which are what a cloud sees. */
export function resources(recording: Recording): readonly Summary[] {
  return summaries(recording).filter(({ type }) => !type.startsWith("home-cluster:"));
}

export function names(recording: Recording): readonly string[] {
  return summaries(recording).map(({ name }) => name);
}

function summary(registration: Registration): Summary {
  const after = registration.dependencies.map(nameOf).sort();
  const options = changedOptions(registration.options);
  return {
    name: registration.name,
    type: registration.type,
    parent: nameOf(registration.parent),
    // `urn::id` of the provider.
    provider: registration.provider.split("::").at(-2) ?? "",
    inputs: show(registration.inputs),
    ...(after.length > 0 && { after }),
    ...(Object.keys(options).length > 0 && { options }),
  };
}

function changedOptions(options: Registration["options"]): object {
  const { create, update, delete: remove } = options.customTimeouts;
  return Object.fromEntries(
    Object.entries({
      ...options,
      customTimeouts: create + update + remove === "" ? "" : options.customTimeouts,
    }).filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value !== false && value !== "")),
  );
}

function nameOf(urn: string): string {
  return urn.split("::").at(-1) ?? "";
}

function show(value: unknown): unknown {
  if (isSecret(value)) return { secret: fromJson(show(value.value)) };
  if (Array.isArray(value)) return value.map(show);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, show(child)]));
}

function fromJson(value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith("{")) return value;
  return JSON.parse(value) as unknown;
}

/** Everything that is registered, secrets taken out whole: what may be shown to anybody. */
export function inClear(recording: Recording): string {
  const clear = (value: unknown): unknown => {
    if (isSecret(value)) return "[secret]";
    if (Array.isArray(value)) return value.map(clear);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, clear(child)]));
  };
  return JSON.stringify([recording.registrations.map(({ inputs }) => clear(inputs)), clear(recording.outputs)]);
}
