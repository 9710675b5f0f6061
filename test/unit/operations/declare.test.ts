import assert from "node:assert/strict";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { ask, declare, type AccessInput, type DeclareArgs } from "../../../operations/declare";
import { keep } from "../../../operations/keep";
import { defineOperation } from "../../../operations/operation";
import {
  isSecret,
  isUnknown,
  record,
  reveal,
  type Properties,
  type Recording,
  type Registration,
} from "../../../rehearsal/record";

const schema = z.strictObject({ node: z.string() });
const run = async (): Promise<{ joined: boolean }> => ({ joined: true });
const join = defineOperation({ verb: "join", needs: ["kubernetes"], schema, run });
const leave = defineOperation({ verb: "leave", needs: ["kubernetes"], schema, run });

const secretText = "kubeconfig-that-must-not-show";
const access = (): AccessInput => pulumi.output({ kubernetes: { kubeconfig: pulumi.secret(secretText) } });

type Args = DeclareArgs<{ node: string }, { joined: boolean }>;

/** Declares one operation under a recorder and returns its registration and what the program made of its result. */
async function declared(
  args: Partial<Args> = {},
  options: { readonly opts?: pulumi.CustomResourceOptions; readonly preview?: boolean; readonly stdout?: string } = {},
): Promise<{ registration: Registration; outputs: Properties; error: Error | undefined }> {
  const recording = await record(
    () => {
      const { resource, result } = declare(
        "debian-1-join",
        { create: join, update: keep, access: access(), input: { node: "debian-1" }, ...args },
        options.opts ?? {},
      );
      return { result, id: resource.id };
    },
    {
      preview: options.preview ?? false,
      answer: () => ({ outputs: { stdout: options.stdout ?? '{"joined":true}' } }),
    },
  );
  const registration = recording.registrations.find((candidate) => candidate.name === "debian-1-join");
  assert.ok(registration);
  return { registration, outputs: recording.outputs, error: recording.error };
}

/** The request as it stands on standard input. */
function requestOf(registration: Registration): unknown {
  return JSON.parse(String(reveal(registration.inputs.stdin)));
}

describe("declare (mock runtime: does not prove that the provider runs the command)", () => {
  it("registers one Command whose command lines are constant and relative to the checkout", async () => {
    const { registration } = await declared({ delete: leave });
    assert.equal(registration.type, "command:local:Command");
    assert.deepEqual(
      { ...registration.inputs, stdin: undefined },
      {
        create: "operations/run join",
        update: "operations/run keep",
        delete: "operations/run leave",
        stdin: undefined,
        logging: "stderr",
        addPreviousOutputInEnv: true,
      },
    );
  });

  it("has no delete unless one is given, so that nothing happens when the resource goes", async () => {
    assert.equal("delete" in (await declared()).registration.inputs, false);
  });

  it("hands on what the last run printed only to keep: any other update would get an input that nobody reviews", async () => {
    const { registration } = await declared({ update: join });
    assert.equal(registration.inputs.update, "operations/run join");
    assert.equal(registration.inputs.addPreviousOutputInEnv, false);
  });

  it("always says what an update runs: without it the provider would run create again", async () => {
    for (const update of [keep, join]) assert.ok((await declared({ update })).registration.inputs.update);
  });

  it("puts the whole request on standard input as one secret", async () => {
    const { registration } = await declared();
    assert.equal(isSecret(registration.inputs.stdin), true);
    assert.deepEqual(requestOf(registration), {
      version: 1,
      access: { kubernetes: { kubeconfig: secretText } },
      input: { node: "debian-1" },
    });
  });

  it("keeps the request secret when neither access nor input is", async () => {
    const { registration } = await declared({ access: {} });
    assert.equal(isSecret(registration.inputs.stdin), true);
  });

  it("shows no access in any other input", async () => {
    const { registration } = await declared({ delete: leave, triggers: ["a"] });
    assert.doesNotMatch(JSON.stringify({ ...registration.inputs, stdin: undefined }), new RegExp(secretText));
  });

  it("passes triggers on only when there are any", async () => {
    assert.deepEqual((await declared({ triggers: ["uid-1", 2] })).registration.inputs.triggers, ["uid-1", 2]);
    assert.equal("triggers" in (await declared()).registration.inputs, false);
  });

  it("is replaced delete-first, so that an old delete never runs after a new create", async () => {
    assert.equal((await declared()).registration.options.deleteBeforeReplace, true);
  });

  it("lets the call site say otherwise and keeps its other options", async () => {
    const { registration } = await declared({}, { opts: { deleteBeforeReplace: false, protect: true } });
    assert.deepEqual([registration.options.deleteBeforeReplace, registration.options.protect], [false, true]);
  });

  it("returns the result as typed data, no longer secret", async () => {
    const { outputs } = await declared();
    assert.deepEqual(outputs.result, { joined: true });
  });

  it("leaves the result unknown in a preview and registers the very same inputs", async () => {
    const [preview, update] = [await declared({ delete: leave }, { preview: true }), await declared({ delete: leave })];
    assert.equal(isUnknown(preview.outputs.result), true);
    assert.deepEqual(preview.registration, update.registration);
  });

  it("makes the program fail when a result is no JSON instead of passing text on", async () => {
    const { error } = await declared({}, { stdout: "Welcome to the shell" });
    assert.match(String(error), /JSON/);
  });

  it("waits for whatever input and access come from", async () => {
    const { registrations } = await record(() => {
      const first = new command.local.Command("first", { create: "true" });
      declare(
        "second",
        { create: join, update: keep, access: access(), input: pulumi.output({ node: first.stdout }) },
        {},
      );
    });
    assert.deepEqual(registrations.find(({ name }) => name === "second")?.dependencies, [
      "urn:pulumi:test-nodes::home-cluster::command:local:Command::first",
    ]);
  });

  /** What @pulumi/command does with a change: a changed input runs `update`; a changed trigger replaces. Documented, not proved here. */
  for (const [title, change] of Object.entries<Partial<Args>>({
    input: { input: { node: "debian-2" } },
    access: { access: { kubernetes: { kubeconfig: "another" } } },
  })) {
    it(`changes nothing but standard input when ${title} changes, so that the update runs and not the create`, async () => {
      const [before, after] = [(await declared()).registration, (await declared(change)).registration];
      assert.notDeepEqual(requestOf(after), requestOf(before));
      assert.deepEqual({ ...after.inputs, stdin: 0 }, { ...before.inputs, stdin: 0 });
    });
  }
});

describe("ask (mock runtime: does not prove that the provider runs the command)", () => {
  /** Asks once and returns the calls that reached the provider with what came back. */
  async function asked(
    options: {
      readonly preview?: boolean;
      readonly input?: (known: pulumi.Output<string>) => pulumi.Input<string>;
    } = {},
  ): Promise<{ calls: { token: string; args: Properties }[]; outputs: Properties; error: Error | undefined }> {
    const calls: { token: string; args: Properties }[] = [];
    const { outputs, error } = await record(
      () => {
        const created = new command.local.Command("first", { create: "true" });
        const node = options.input?.(created.stdout) ?? "debian-1";
        return { result: ask(join, access(), pulumi.output({ node }), {}) };
      },
      {
        preview: options.preview ?? false,
        answer: () => ({ outputs: { stdout: "debian-2" } }),
        call: (token, args) => {
          calls.push({ token, args });
          return { stdout: '{"joined":false}' };
        },
      },
    );
    return { calls, outputs, error };
  }

  for (const preview of [false, true]) {
    it(`runs in ${preview ? "a preview" : "an update"}, as an invoke with a constant command line`, async () => {
      const { calls, outputs } = await asked({ preview });
      assert.deepEqual(
        calls.map(({ token, args }) => [token, { ...args, stdin: JSON.parse(String(reveal(args.stdin))) as unknown }]),
        [
          [
            "command:local:run",
            {
              command: "operations/run join",
              logging: "stderr",
              addPreviousOutputInEnv: false,
              stdin: {
                version: 1,
                access: { kubernetes: { kubeconfig: secretText } },
                input: { node: "debian-1" },
              },
            },
          ],
        ],
      );
      assert.deepEqual(outputs.result, { joined: false });
    });
  }

  it("does not run in a preview while its input is unknown, and its result stays unknown", async () => {
    const { calls, outputs } = await asked({ preview: true, input: (unknown) => unknown });
    assert.deepEqual(calls, []);
    assert.equal(isUnknown(outputs.result), true);
  });

  it("runs in the update with what the input came to be", async () => {
    const { calls } = await asked({ input: (known) => known });
    assert.match(JSON.stringify(calls), /debian-2/);
  });

  /** Asks, refused by the provider in its own words around ours; something waits for the answer. */
  const refused = (says: string): Promise<Recording> =>
    record(
      () => {
        const answer = ask(join, access(), { node: "debian-1" }, {});
        new command.local.Command("waits", { create: answer.apply(({ joined }) => String(joined)) });
        return { answer };
      },
      {
        call: () => {
          throw new Error(says);
        },
      },
    );

  it("ends the program with what the refused check says, without the provider's words, the SDK's or a stack trace", async () => {
    const { error, registrations } = await refused(
      'exit status 1: running "operations/run join":\ndebian-1: no\n  why:  so\n  next: look\n',
    );
    assert.equal(error?.message, "debian-1: no\n  why:  so\n  next: look");
    assert.equal(error.stack, undefined);
    assert.equal(pulumi.RunError.isInstance(error), true);
    assert.deepEqual(
      registrations.map(({ name }) => name),
      ["home-cluster-test-nodes"],
    );
  });

  it("ends the program with all that it knows when the check could not be run", async () => {
    assert.match((await refused("no such plugin")).error?.message ?? "", /no such plugin$/);
  });
});
