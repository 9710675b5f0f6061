import type { Layer } from "../environment/stack";
import type { Properties } from "../rehearsal/record";

/**
 * What passes between the recording of a side and the comparison, as JSON. The recorder of each side is of that side's own tree, so this form is a contract
 * between checkouts: a field that changes its meaning raises the version. docs/decisions/diff.md
 */
export const recordingVersion = 1;

/** A resource as the program registered it, with what the engine would know of it once it is there. */
export interface RecordedResource {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly custom: boolean;
  readonly parent: string;
  /** URN of its provider; "" for components. */
  readonly provider: string;
  /** Version of the provider's plugin that the installed package asks for; "" where it asks for none. */
  readonly version: string;
  /** Secrets and unknowns carry Pulumi's own marks; every secret is a stand-in. */
  readonly inputs: Properties;
  readonly id: string;
  /** Inputs, and stand-ins for what the provider or the operation would answer: the same ones for the same resource on every side. */
  readonly outputs: Properties;
  readonly dependencies: readonly string[];
  /** By input: the resources that it comes from. */
  readonly propertyDependencies: Readonly<Record<string, readonly string[]>>;
  /** URNs under which it was known before. */
  readonly aliases: readonly string[];
  readonly options: RecordedOptions;
}

export interface RecordedOptions {
  readonly protect: boolean;
  readonly retainOnDelete: boolean;
  /** undefined: the provider decides. */
  readonly deleteBeforeReplace: boolean | undefined;
  readonly deletedWith: string;
  readonly ignoreChanges: readonly string[];
  readonly replaceOnChanges: readonly string[];
  readonly importId: string;
  readonly customTimeouts: { readonly create: string; readonly update: string; readonly delete: string };
}

/** One layer of one environment. */
export interface RecordedLayer {
  readonly environment: string;
  readonly layer: Layer;
  readonly stack: string;
  readonly resources: readonly RecordedResource[];
  readonly outputs: Properties;
  /** Why the program did not get to its end; then the resources are those that it got to. */
  readonly error: string | undefined;
}

/** Every layer of every environment of one side. */
export interface Recording {
  readonly version: typeof recordingVersion;
  readonly layers: readonly RecordedLayer[];
}

/** What the engine would do with one resource. `import` takes one over that exists. */
export type OperationName = "same" | "create" | "update" | "replace" | "delete" | "import";

/** Why a resource is replaced. */
export interface ReplacementReason {
  /** The property, as Pulumi writes its paths; "" for the resource as a whole. */
  readonly path: string;
  readonly why: string;
  /** Where that is known from. */
  readonly source: string;
}

export interface PlannedStep {
  readonly urn: string;
  readonly operation: OperationName;
  /** What the base calls it, where that differs: the resource was moved. */
  readonly before: string | undefined;
  readonly replacedBy: readonly ReplacementReason[];
  /** Whether a replacement deletes the old one first. */
  readonly deletesFirst: boolean;
  /** Properties that are known only once something else has happened. */
  readonly unknown: readonly string[];
  /** Properties that differ and are left as they are (ignoreChanges). */
  readonly ignored: readonly string[];
  /** The engine refuses this step, and with it the whole update: why. */
  readonly refused: string | undefined;
}

export interface PlannedLayer {
  readonly stack: string;
  readonly steps: readonly PlannedStep[];
  readonly error: string | undefined;
}

/** What a preview of each layer would say where the base is deployed. */
export interface Plan {
  readonly version: typeof recordingVersion;
  readonly layers: readonly PlannedLayer[];
}

/** What the process of a side is told, one after the other. */
export type Request =
  | { readonly kind: "record"; readonly version: number; readonly secretTexts: SecretTexts }
  | { readonly kind: "plan"; readonly version: number; readonly base: Recording };

/** By environment and key of the configuration: what stands in for a secret where it is not the usual text, because it was changed. */
export type SecretTexts = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What it answers, or why it cannot. */
export type Reply =
  | { readonly kind: "recording"; readonly recording: Recording }
  | { readonly kind: "plan"; readonly plan: Plan }
  | { readonly kind: "failure"; readonly message: string };
