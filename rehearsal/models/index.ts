import { dispatch } from "../../operations/dispatch";
import type { Clients } from "../../operations/clients";
import type { VirtualClock } from "../home/clock";
import type { HomeState } from "../home/state";
import { verbOf } from "../verb";
import { isSecret, reveal, secret, type Answer, type Registration } from "../record";
import { kubernetesObject } from "./kubernetes";
import { debianImage, virtualMachine } from "./proxmox";
import { randomValue } from "./random";

/** What a model is given: the resource, and the home it changes. */
export interface ModelContext {
  readonly registration: Registration;
  /** The inputs with secret marks taken off. */
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly home: HomeState;
  readonly clock: VirtualClock;
  readonly clients: Clients;
}

/** A small model of one resource type's provider. */
export type Model = (context: ModelContext) => Promise<Answer>;

const models: Readonly<Record<string, Model>> = {
  "command:local:Command": operation,
  "proxmoxve:download/file:File": debianImage,
  "proxmoxve:index/vmLegacy:VmLegacy": virtualMachine,
  "random:index/randomPassword:RandomPassword": randomValue,
  "random:index/randomString:RandomString": randomValue,
};

/** Answers a custom resource as its provider would, and changes the home accordingly. A type without a model is an error: nothing is taken for granted. */
export async function answerResource(
  registration: Registration,
  home: HomeState,
  clock: VirtualClock,
  clients: Clients,
): Promise<Answer> {
  if (registration.type.startsWith("pulumi:providers:")) return {};
  const model =
    models[registration.type] ?? (registration.type.startsWith("kubernetes:") ? kubernetesObject : undefined);
  if (!model)
    throw new Error(`${registration.type}: the rehearsal has no model of this resource type (rehearsal/models)`);
  const inputs = reveal(registration.inputs) as Record<string, unknown>;
  return model({ registration, inputs, home, clock, clients });
}

/** Our own operations run for real, on the pretend home. */
async function operation({ registration, inputs, clients }: ModelContext): Promise<Answer> {
  const verb = verbOf(inputs.create);
  if (verb === undefined) throw new Error(`${registration.name}: ${String(inputs.create)} is not an operation`);
  const stdout = await dispatch(verb, String(inputs.stdin), () => clients);
  // As the provider does: a secret request makes the result secret.
  const marked = isSecret(registration.inputs.stdin) ? secret(stdout) : stdout;
  return { outputs: { stdout: marked, stderr: "" } };
}
