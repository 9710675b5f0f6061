import type { Environment } from "../environment/schema";
import type { Layer } from "../environment/stack";
import type { HomeState } from "./home/state";
import type { Properties, Registration } from "./record";

/** One resource or invoke of a layer, and when it was done. Milliseconds since the rehearsal's start. */
export interface Step {
  readonly registration: Registration;
  readonly startedAt: number;
  readonly finishedAt: number;
}

/** An invoke that the program evaluated, such as the guard of the vmIds. */
export interface Asked {
  readonly verb: string;
  readonly at: number;
}

/** What `up` of one layer did. */
export interface LayerRun {
  readonly layer: Layer;
  readonly stack: string;
  /** Everything registered and created, in the order in which it was done. */
  readonly steps: readonly Step[];
  /** URNs registered, failed ones included. */
  readonly registered: readonly string[];
  readonly asked: readonly Asked[];
  /** URN (or `invoke <verb>`) and message of what failed. */
  readonly failed: readonly (readonly [string, string])[];
  /** What the program threw, if it did. */
  readonly error: string | undefined;
  readonly outputs: Properties;
  /** MiB: the most memory that the layer's process held. */
  readonly peakMemory: number;
  /** The home afterwards. */
  readonly home: HomeState;
}

/** What a destroy did: deletions in the order in which they ended. */
export interface DestroyRun {
  readonly stack: string;
  readonly deleted: readonly string[];
  readonly failed: readonly (readonly [string, string])[];
  /** Never tried, because something that had to go first failed. */
  readonly notDeleted: readonly string[];
  readonly home: HomeState;
}

/** The whole rehearsal as data: what the tables, `--json` and the checks are made from. */
export interface Story {
  readonly environmentName: string;
  readonly environment: Environment;
  readonly standIns: readonly string[];
  readonly before: HomeState;
  readonly layers: readonly LayerRun[];
  /** The destroy of the old nodes while no volume is switched, which must be refused. */
  readonly refusedDestroy: DestroyRun | undefined;
  /** The destroy after the stand-in for the cutover. */
  readonly destroy: DestroyRun | undefined;
  /** Sentinels that stood in for secrets; none may appear in clear. */
  readonly secrets: readonly string[];
}
