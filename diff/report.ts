import type { Layer } from "../environment/stack";
import type { OperationName, ReplacementReason } from "./format";
import type { SecretChanges } from "./secrets";

/** What `--format json` prints. A field that changes its meaning raises the version. docs/decisions/diff.md */
export const reportVersion = 1;

export interface Report {
  readonly version: typeof reportVersion;
  readonly base: SideName;
  readonly head: SideName;
  /** Sides and layers that did not evaluate. Nothing is said of those layers: a program that fails would otherwise look like one that deletes everything. */
  readonly failures: readonly Failure[];
  /** What the reader should know about how this was made. */
  readonly notes: readonly string[];
  readonly stacks: readonly StackChanges[];
  readonly secrets: SecretChanges;
  readonly dangers: readonly Danger[];
  readonly summary: Summary;
}

export interface SideName {
  readonly ref: string;
  /** undefined for the working tree. */
  readonly commit: string | undefined;
}

export interface Failure {
  readonly side: "base" | "head";
  /** undefined where the side as a whole failed. */
  readonly stack: string | undefined;
  readonly message: string;
}

export interface StackChanges {
  readonly stack: string;
  readonly environment: string;
  readonly layer: Layer;
  /** `new` and `gone`: the environment is on one side only. `withheld`: one side did not evaluate. */
  readonly state: "compared" | "new" | "gone" | "withheld";
  /** Only resources of which something changes; components are not among them, since nothing happens to those. */
  readonly resources: readonly ResourceChange[];
}

export interface ResourceChange {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  /** Names of the components around it, outermost first. */
  readonly within: readonly string[];
  readonly operation: OperationName;
  /** Its URN in the base, where it was moved. */
  readonly movedFrom: string | undefined;
  readonly replacedBy: readonly ReplacementReason[];
  readonly deletesFirst: boolean;
  /**
   * A preview says so because something that this is made from is known only afterwards; if that comes out as before, which is what the recordings show, nothing
   * happens.
   */
  readonly conditional: boolean;
  /** Why the engine refuses this, and with it the whole update. */
  readonly refused: string | undefined;
  readonly properties: readonly PropertyChange[];
  /** Paths that differ and are left as they are (ignoreChanges). */
  readonly ignored: readonly string[];
  /** Settings of the resource for the engine: protect, retainOnDelete … */
  readonly settings: readonly PropertyChange[];
  /** Names of what it waits for now and did not before, and the other way round. */
  readonly gates: { readonly added: readonly string[]; readonly removed: readonly string[] };
}

export interface PropertyChange {
  readonly path: string;
  /** As it is shown: secrets and unknown values have words in their place. undefined where there is none. */
  readonly before?: unknown;
  readonly after?: unknown;
  readonly secret?: true;
  /** Its new value is known only once something else has happened. */
  readonly unknown?: true;
  /** Part of why the resource is replaced. */
  readonly replaces?: true;
}

export interface Danger {
  readonly rule: string;
  readonly environment: string;
  readonly stack: string;
  /** The resource's name; "" for what is about the stack as a whole. */
  readonly resource: string;
  /** What would happen, in one sentence. */
  readonly says: string;
  /** Why that is dangerous. */
  readonly reason: string;
  /** Who wrote it off, if somebody did, and why. */
  readonly acknowledged: { readonly file: string; readonly why: string } | undefined;
}

export interface Summary {
  readonly create: number;
  readonly update: number;
  readonly replace: number;
  readonly delete: number;
  readonly import: number;
  readonly moved: number;
  /** Only settings for the engine, or what they wait for. */
  readonly settings: number;
  /** Of those to update or to replace: the ones that most likely stay as they are. */
  readonly conditional: number;
  readonly dangers: number;
  readonly unacknowledged: number;
}
