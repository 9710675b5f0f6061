import * as pulumi from "@pulumi/pulumi";
import * as resources from "@pulumi/pulumi/proto/resource_pb";
import { Struct, type JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb";

/** Property values as they travel to the engine: secrets and unknowns are marked, see `isSecret` and `isUnknown`. */
export type Properties = Record<string, unknown>;

/** One resource as the program registered it: the whole request, not what the mocks make of it. */
export interface Registration {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly custom: boolean;
  /** URN of the parent; "" for the stack. */
  readonly parent: string;
  /** `urn::id` of the provider that the engine would use, inherited ones included; "" for components. */
  readonly provider: string;
  readonly inputs: Properties;
  /** URNs of everything it waits for, through properties and dependsOn alike, components' children included. */
  readonly dependencies: readonly string[];
  readonly options: {
    readonly protect: boolean;
    readonly retainOnDelete: boolean;
    readonly deleteBeforeReplace: boolean;
    readonly deletedWith: string;
    readonly ignoreChanges: readonly string[];
    readonly importId: string;
    readonly customTimeouts: { readonly create: string; readonly update: string; readonly delete: string };
    readonly aliases: readonly string[];
    readonly additionalSecretOutputs: readonly string[];
  };
}

/** What a resource's provider answers: an id, and the outputs beside the inputs. Throwing makes the resource fail. */
export interface Answer {
  readonly id?: string;
  readonly outputs?: Properties;
}

/** The other side of the program while it is recorded. */
export interface Engine {
  /** Answers a custom resource. Default: its name as id and its inputs as outputs. */
  readonly answer?: (registration: Registration) => Answer | Promise<Answer>;
  /** Answers an invoke (`pkg:mod:fn`). Default: an empty object. */
  readonly call?: (token: string, args: Properties) => Properties | Promise<Properties>;
  /** Outputs of other stacks, by full name. */
  readonly stackOutputs?: Readonly<Record<string, Properties>>;
  /** Told of every resource once it is done. */
  readonly done?: (registration: Registration, answer: Answer) => void;
  /**
   * Says all of what comes back for a resource, components included, in the place of `answer` and of the rules for previews: without an id it is unknown, and in
   * a preview every output that is left out is unknown. `request` is what Registration is made from, whole.
   */
  readonly respond?: (
    registration: Registration,
    request: resources.RegisterResourceRequest,
  ) => Answer | Promise<Answer>;
}

export interface RecordOptions extends Engine {
  readonly project?: string;
  readonly stack?: string;
  /** Default false. In a preview every id and every output that is not an input is unknown. */
  readonly preview?: boolean;
  /** Configuration: full keys, values as the CLI hands them on (structures as JSON). */
  readonly config?: Readonly<Record<string, string>>;
  readonly secretKeys?: readonly string[];
}

export interface Recording {
  /** In the order in which the program registered them. */
  readonly registrations: readonly Registration[];
  /** URNs whose provider failed, with the message. */
  readonly failed: ReadonlyMap<string, string>;
  /** What the program itself threw, if it did. */
  readonly error: Error | undefined;
  /** The stack's outputs (only when the program ran as a stack). */
  readonly outputs: Properties;
}

/**
 * Runs a program under Pulumi's own mock runtime and records what it registers. `program` runs as a stack, as the language host would run it: what it
 * returns becomes the stack's outputs. A resource that fails takes down exactly those that wait for it, as in the engine.
 */
export async function record(program: () => unknown, options: RecordOptions = {}): Promise<Recording> {
  const { project = "home-cluster", stack = "test-nodes", preview = false } = options;
  const registrations: Registration[] = [];
  const failed = new Map<string, string>();
  let outputs: Properties = {};

  const state = (registration: Registration, answer: Answer): Properties =>
    preview ? planned(registration) : { ...registration.inputs, ...answer.outputs };

  pulumi.runtime.setAllConfig({ ...options.config }, [...(options.secretKeys ?? [])]);
  await pulumi.runtime.setMocks(
    {
      call: async ({ token, inputs }) => {
        try {
          return (await options.call?.(token, inputs as Properties)) ?? {};
        } catch (error) {
          // The SDK shows only `details` of an invoke's error, as the engine's have it.
          throw Object.assign(new Error(String(error)), {
            details: error instanceof Error ? error.message : String(error),
          });
        }
      },
      newResource: () => ({ id: "", state: {} }),
    },
    project,
    stack,
    preview,
    "organization",
  );
  const monitor = pulumi.runtime.getMonitor() as unknown as MockMonitor;

  monitor.registerResource = (request, reply) => {
    void (async () => {
      const registration = fromRequest(request, project, stack);
      const response = new resources.RegisterResourceResponse();
      response.setUrn(registration.urn);
      registrations.push(registration);
      try {
        if (options.respond) {
          const { id = "", outputs: all = {} } = await options.respond(registration, request);
          response.setId(id);
          response.setObject(Struct.fromJavaScript(all as Record<string, JavaScriptValue>));
          return reply(null, response);
        }
        const answer = registration.custom
          ? ((await options.answer?.(registration)) ?? { id: `${registration.name}-id` })
          : {};
        // An id is unknown until the resource exists.
        response.setId(registration.custom && !preview ? (answer.id ?? `${registration.name}-id`) : "");
        response.setObject(Struct.fromJavaScript(state(registration, answer) as Record<string, JavaScriptValue>));
        options.done?.(registration, answer);
        reply(null, response);
      } catch (error) {
        failed.set(registration.urn, error instanceof Error ? error.message : String(error));
        response.setResult(resources.Result.FAIL);
        reply(null, response);
      }
    })();
  };
  monitor.readResource = (request, reply) => {
    const name = request.getName();
    const response = new resources.ReadResourceResponse();
    response.setUrn(urnOf(project, stack, request.getParent(), request.getType(), name));
    const other = options.stackOutputs?.[request.getId()] ?? {};
    response.setProperties(
      Struct.fromJavaScript({ name: request.getId(), outputs: other as JavaScriptValue, secretOutputNames: [] }),
    );
    reply(null, response);
  };
  monitor.registerResourceOutputs = (request, reply) => {
    if (request.getUrn().includes("::pulumi:pulumi:Stack::")) outputs = fromStruct(request.getOutputs());
    reply(null, {});
  };

  const error = await withoutUnhandledRejections(failed, async () => {
    const run = pulumi.runtime.runInPulumiStack(async () => {
      const result = await program();
      // A module may export the program as a function, as index.ts does.
      return (typeof result === "function" ? await (result as () => unknown)() : result) as pulumi.Inputs;
    });
    await run;
    await pulumi.runtime.disconnect();
  });
  return { registrations, failed, error, outputs };
}

/** Outputs in a preview: what the program gave. Of a Kubernetes object's metadata the server adds its own part, as unknown as every other computed output. */
function planned({ type, inputs }: Registration): Properties {
  const { metadata } = inputs;
  if (!type.startsWith("kubernetes:") || typeof metadata !== "object" || metadata === null) return inputs;
  const computed = ["uid", "resourceVersion", "creationTimestamp", "generation"];
  return {
    ...inputs,
    metadata: { ...Object.fromEntries(computed.map((key) => [key, pulumi.runtime.unknownValue])), ...metadata },
  };
}

/**
 * Outputs of a failed resource reject, and everything downstream of it with them; that is the wanted effect and not an error of the program. What rejects for
 * any other reason is.
 */
async function withoutUnhandledRejections(
  failed: ReadonlyMap<string, string>,
  run: () => Promise<void>,
): Promise<Error | undefined> {
  const errors: Error[] = [];
  const before = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", (reason) =>
    errors.push(reason instanceof Error ? reason : new Error(String(reason))),
  );
  try {
    await run();
  } catch (error) {
    errors.push(error instanceof Error ? error : new Error(String(error)));
  }
  // Rejections are reported a turn of the event loop after they happened.
  await new Promise((resolve) => setImmediate(resolve));
  process.removeAllListeners("unhandledRejection");
  for (const listener of before) process.on("unhandledRejection", listener);
  return errors.find((error) => failed.size === 0 || !/failed to register/.test(error.message));
}

/** What this file replaces of the SDK's mock monitor. */
interface MockMonitor {
  registerResource: (
    request: resources.RegisterResourceRequest,
    reply: Reply<resources.RegisterResourceResponse>,
  ) => void;
  readResource: (request: resources.ReadResourceRequest, reply: Reply<resources.ReadResourceResponse>) => void;
  registerResourceOutputs: (request: resources.RegisterResourceOutputsRequest, reply: Reply<object>) => void;
}
type Reply<T> = (error: unknown, response: T) => void;

function fromRequest(request: resources.RegisterResourceRequest, project: string, stack: string): Registration {
  const timeouts = request.getCustomtimeouts();
  return {
    urn: urnOf(project, stack, request.getParent(), request.getType(), request.getName()),
    type: request.getType(),
    name: request.getName(),
    custom: request.getCustom(),
    parent: request.getParent(),
    provider: request.getProvider(),
    inputs: fromStruct(request.getObject()),
    dependencies: request.getDependenciesList(),
    options: {
      protect: request.getProtect() ?? false,
      retainOnDelete: request.getRetainondelete() ?? false,
      deleteBeforeReplace: request.getDeletebeforereplace(),
      deletedWith: request.getDeletedwith(),
      ignoreChanges: request.getIgnorechangesList(),
      importId: request.getImportid(),
      customTimeouts: {
        create: timeouts?.getCreate() ?? "",
        update: timeouts?.getUpdate() ?? "",
        delete: timeouts?.getDelete() ?? "",
      },
      aliases: request.getAliasesList().map((alias) => alias.getUrn() || alias.getSpec()?.getName() || ""),
      additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
    },
  };
}

/** The engine's own rule: a child's URN carries the types of its parents, the stack's left out. (The SDK's mock keeps only the last.) */
function urnOf(project: string, stack: string, parent: string, type: string, name: string): string {
  const parentType = parent.split("::")[2] ?? "";
  const qualified = parentType === "" || parentType === "pulumi:pulumi:Stack" ? type : `${parentType}$${type}`;
  return `urn:pulumi:${stack}::${project}::${qualified}::${name}`;
}

function fromStruct(struct: Struct | undefined): Properties {
  return struct?.toJavaScript() ?? {};
}

const signature = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";
const unknownMarks = new Set(["04da6b54-80e4-46f7-96ec-b56ff0331ba9", "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"]);

/** Whether the value, as a whole, travels as a secret. */
export function isSecret(value: unknown): value is { readonly value: unknown } {
  return typeof value === "object" && value !== null && (value as Properties)[signature] === secretSignature;
}

/** Whether the value is not known yet (a preview's computed output). */
export function isUnknown(value: unknown): boolean {
  return typeof value === "string" && unknownMarks.has(value);
}

/** Marks a value as a secret, as a provider does for an output. */
export function secret(value: unknown): Properties {
  return { [signature]: secretSignature, value };
}

/** The value with every secret mark taken off, at any depth. */
export function reveal(value: unknown): unknown {
  if (isSecret(value)) return reveal(value.value);
  if (Array.isArray(value)) return value.map(reveal);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, reveal(child)]));
}
