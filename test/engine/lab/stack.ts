import { readdirSync, readFileSync } from "node:fs";
import {
  CommandError,
  LocalWorkspace,
  type ConfigMap,
  type Deployment,
  type DestroyOptions,
  type EngineEvent,
  type RefreshOptions,
  type Stack,
  type UpOptions,
} from "@pulumi/pulumi/automation";

/** What the engine did to one resource; what stayed the same is left out. */
export interface Done {
  /** `create`, `update`, `delete`, `create-replacement` … as the engine calls it. */
  readonly op: string;
  /** The resource's own name. */
  readonly name: string;
}

/** How one command ended. */
export interface Outcome {
  readonly ok: boolean;
  /** Everything that it printed, as the operator reads it. */
  readonly text: string;
  /** In the order in which they ended. */
  readonly done: readonly Done[];
  /** Names of the resources that failed. */
  readonly failed: readonly string[];
  /** Diagnostics of severity warning, one line each. */
  readonly warnings: readonly string[];
}

/** One resource of the state. */
export interface Kept {
  readonly urn: string;
  readonly type: string;
  readonly id?: string;
  readonly outputs?: Record<string, unknown>;
}

type Options = Pick<UpOptions, "refresh" | "parallel" | "target" | "targetDependents" | "replace">;

/** A stack driven as `pulumi` is by hand, through the Automation API; no command throws because it failed. */
export class LabStack {
  private constructor(private readonly stack: Stack) {}

  /** Creates the stack in the checkout's folder, whatever its configuration file says, and sets secrets. */
  static async create(
    stackName: string,
    workDir: string,
    envVars: Record<string, string>,
    secrets: Readonly<Record<string, string>>,
  ): Promise<LabStack> {
    const stack = await LocalWorkspace.createOrSelectStack({ stackName, workDir }, { envVars });
    const config: ConfigMap = Object.fromEntries(
      Object.entries(secrets).map(([key, value]) => [`home-cluster:${key}`, { value, secret: true }]),
    );
    await stack.setAllConfig(config);
    return new LabStack(stack);
  }

  up(options: Options = {}, onEvent: (event: EngineEvent) => void = () => undefined): Promise<Outcome> {
    return observed((watch) => this.stack.up({ ...options, ...watch, color: "never" }), onEvent);
  }

  preview(options: Options = {}): Promise<Outcome> {
    return observed((watch) => this.stack.preview({ ...options, ...watch, color: "never" }));
  }

  refresh(options: RefreshOptions = {}): Promise<Outcome> {
    return observed((watch) => this.stack.refresh({ ...options, ...watch, color: "never" }));
  }

  destroy(options: DestroyOptions = {}): Promise<Outcome> {
    return observed((watch) => this.stack.destroy({ ...options, ...watch, color: "never" }));
  }

  /** Takes away the lock that a killed engine left. */
  cancel(): Promise<void> {
    return this.stack.cancel();
  }

  export(): Promise<Deployment> {
    return this.stack.exportStack();
  }

  import(state: Deployment): Promise<void> {
    return this.stack.importStack(state);
  }

  /** The stack's outputs as plain values. */
  async outputs(): Promise<Record<string, unknown>> {
    return Object.fromEntries(Object.entries(await this.stack.outputs()).map(([key, { value }]) => [key, value]));
  }

  /** What the state holds, by the resource's own name. */
  async resources(): Promise<ReadonlyMap<string, Kept>> {
    const { deployment } = (await this.stack.exportStack()) as { deployment: { resources?: Kept[] } };
    return new Map((deployment.resources ?? []).map((resource) => [nameOf(resource.urn), resource]));
  }

  /** Kills the engine, as a power cut would: what it started goes on for as long as it likes. */
  static kill(): void {
    for (const pid of enginePids()) process.kill(pid, "SIGKILL");
  }
}

type Watch = Required<Pick<UpOptions, "onOutput" | "onError" | "onEvent">>;

async function observed(
  run: (watch: Watch) => Promise<unknown>,
  onEvent: (event: EngineEvent) => void = () => undefined,
): Promise<Outcome> {
  const [done, failed, warnings]: [Done[], string[], string[]] = [[], [], []];
  let text = "";
  const watch: Watch = {
    onOutput: (chunk) => (text += chunk),
    onError: (chunk) => (text += chunk),
    onEvent: (event) => {
      const { resOutputsEvent, resOpFailedEvent, diagnosticEvent } = event;
      if (resOutputsEvent && resOutputsEvent.metadata.op !== "same") {
        done.push({ op: resOutputsEvent.metadata.op, name: nameOf(resOutputsEvent.metadata.urn) });
      }
      if (resOpFailedEvent) failed.push(nameOf(resOpFailedEvent.metadata.urn));
      if (diagnosticEvent?.severity === "warning" && !diagnosticEvent.message.includes("from $PATH"))
        warnings.push(diagnosticEvent.message.trim());
      onEvent(event);
    },
  };
  let ok = true;
  try {
    await run(watch);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    ok = false;
  }
  // Which plugin was taken from PATH is of no interest here.
  return { ok, text: text.replace(/^.*warning: using pulumi-\S+ from \$PATH.*\n/gm, ""), done, failed, warnings };
}

function nameOf(urn: string): string {
  return urn.split("::").at(-1) ?? urn;
}

/** Running `pulumi` commands of this process. */
function enginePids(): number[] {
  return readdirSync(`/proc/${process.pid}/task`)
    .flatMap((thread) => readFileSync(`/proc/${process.pid}/task/${thread}/children`, "utf8").split(" "))
    .filter((pid) => pid !== "")
    .map(Number)
    .filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "pulumi");
}
