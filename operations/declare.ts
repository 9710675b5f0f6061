import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { Access } from "./access";
import { keep } from "./keep";
import type { Operation, System } from "./operation";
import { readably } from "./readable";

/** Access whose secrets are outputs; what components hand to operations. */
export type AccessInput = pulumi.Input<Access>;

/** How an operation is declared as a resource. */
export interface DeclareArgs<Input, Result> {
  /** Runs when the resource is created. */
  readonly create: Operation<Input, Result>;
  /**
   * Runs when anything in `input` or `access` changed. @pulumi/command would otherwise run `create` again, so it is always said: the same operation
   * where it converges, `keep` where the effect must happen once.
   */
  readonly update: Operation<Input, Result> | typeof keep;
  /** Runs when the resource is deleted, with the input and access that the last `up` recorded. Default: nothing happens. */
  readonly delete?: Operation<Input, unknown>;
  readonly access: AccessInput;
  readonly input: pulumi.Input<pulumi.Unwrap<Input>> | pulumi.Input<Input>;
  /** A changed value replaces the resource (delete first, never create-first). */
  readonly triggers?: pulumi.Input<unknown>[];
}

/** A declared operation and what it returned. */
export interface Declared<Result> {
  readonly resource: command.local.Command;
  readonly result: pulumi.Output<Result>;
}

/** Declares an operation as a `command.local.Command` whose command line is constant and whose request is a secret on standard input. */
export function declare<Input, Result>(
  name: string,
  args: DeclareArgs<Input, Result>,
  opts: pulumi.CustomResourceOptions,
): Declared<Result> {
  const resource = new command.local.Command(
    name,
    {
      create: entry(args.create.verb),
      update: entry(args.update.verb),
      ...(args.delete && { delete: entry(args.delete.verb) }),
      stdin: request(args.access, args.input),
      // Progress (standard error) is shown; standard output is the result and would only repeat it.
      logging: command.local.Logging.Stderr,
      // `keep` repeats the previous result, so that what depends on it does not change; others must not see it: a second input nobody reviews.
      addPreviousOutputInEnv: args.update.verb === keep.verb,
      ...(args.triggers && { triggers: args.triggers }),
    },
    // A create-first replacement would run the old delete (leave, restore) after the new create (join, record).
    pulumi.mergeOptions({ deleteBeforeReplace: true }, opts),
  );
  return { resource, result: parseResult<Result>(resource.stdout) };
}

/** Runs an operation at every preview and update (an invoke), for checks that must hold even when no input changed. */
export function ask<Input, Result>(
  operation: Operation<Input, Result>,
  access: AccessInput,
  input: pulumi.Input<Input>,
  opts: pulumi.InvokeOutputOptions,
): pulumi.Output<Result> {
  // Inside of apply: where what the request is made of has failed, the SDK would print a long line about serializing it, once per check.
  const answer = request(access, input).apply((stdin) =>
    command.local.runOutput(
      {
        command: entry(operation.verb),
        stdin: pulumi.secret(stdin),
        logging: command.local.Logging.Stderr,
        addPreviousOutputInEnv: false,
      },
      opts,
    ),
  );
  refuseReadably(answer, operation.verb);
  return parseResult<Result>(answer.stdout);
}

/** What the SDK gives every Output and leaves out of its types. */
interface Settling {
  promise(): Promise<unknown>;
}

/** Shows what a refused check says and nothing around it: an invoke's error ends the program, and the operator reads it there. */
function refuseReadably(answer: pulumi.Output<unknown>, verb: string): void {
  if (!("promise" in answer) || typeof answer.promise !== "function") return;
  (answer as pulumi.Output<unknown> & Settling).promise().catch((error: unknown) => {
    if (!(error instanceof Error)) return;
    const [, said = error.message] = error.message.split(`running "${entry(verb)}":\n`);
    readably(error, said.trim());
  });
}

/**
 * Only the ways in that these operations need: a resource's request, and with it the state, carries no secret that nothing uses, and a changed secret
 * updates only what uses it.
 */
export function accessFor(
  access: AccessInput,
  ...operations: readonly { readonly needs: readonly System[] }[]
): pulumi.Output<Access> {
  const needed = new Set<string>(operations.flatMap((operation) => operation.needs));
  return pulumi
    .output(access)
    .apply((ways) => Object.fromEntries(Object.entries(ways).filter(([system]) => needed.has(system))));
}

function entry(verb: string): string {
  return `operations/run ${verb}`;
}

function request(access: AccessInput, input: unknown): pulumi.Output<string> {
  return pulumi.secret(pulumi.jsonStringify({ version: 1, access, input }));
}

/** Results never carry secrets (operations see to it), while the engine marks them secret because the request is: previews would show `[secret]`. */
function parseResult<Result>(stdout: pulumi.Output<string>): pulumi.Output<Result> {
  return pulumi.unsecret(stdout).apply((text) => JSON.parse(text) as Result);
}
