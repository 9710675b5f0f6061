import assert from "node:assert/strict";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import {
  isSecret,
  isUnknown,
  record,
  reveal,
  secret,
  type Recording,
  type Registration,
} from "../../../rehearsal/record";

const stackUrn = "urn:pulumi:test-nodes::home-cluster::pulumi:pulumi:Stack::home-cluster-test-nodes";
const urn = (type: string, name: string): string => `urn:pulumi:test-nodes::home-cluster::${type}::${name}`;

/** The registration of that name; there must be exactly one. */
function named(recording: Recording, name: string): Registration {
  const found = recording.registrations.filter((registration) => registration.name === name);
  assert.equal(found.length, 1, `${found.length} registrations of ${name}`);
  return found[0] as Registration;
}

function names(recording: Recording): string[] {
  return recording.registrations.filter(({ parent }) => parent !== "").map(({ name }) => name);
}

class Pair extends pulumi.ComponentResource {
  readonly first: command.local.Command;
  constructor(name: string, args: { readonly text: string }, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:test:Pair", name, args, opts);
    this.first = new command.local.Command(`${name}-first`, { create: args.text }, { parent: this });
    new command.local.Command(`${name}-second`, { create: this.first.stdout }, { parent: this });
    this.registerOutputs({ text: this.first.stdout });
  }
}

describe("record (Pulumi's mock runtime: does not prove what a provider accepts)", () => {
  it("records the stack and every resource, in the order of registration, with type, name, parent and urn", async () => {
    const recording = await record(() => {
      new Pair("pair", { text: "true" });
    });
    assert.equal(recording.error, undefined);
    assert.deepEqual(
      recording.registrations.map(({ type, name, custom, parent, urn: own }) => [type, name, custom, parent, own]),
      [
        ["pulumi:pulumi:Stack", "home-cluster-test-nodes", false, "", stackUrn],
        ["home-cluster:test:Pair", "pair", false, stackUrn, urn("home-cluster:test:Pair", "pair")],
        ...["first", "second"].map((suffix) => [
          "command:local:Command",
          `pair-${suffix}`,
          true,
          urn("home-cluster:test:Pair", "pair"),
          urn("home-cluster:test:Pair$command:local:Command", `pair-${suffix}`),
        ]),
      ],
    );
  });

  it("uses the project and stack it is given, and the organization that a file backend has", async () => {
    const { registrations, outputs } = await record(
      () => ({ says: `${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}` }),
      { project: "other", stack: "lab-services" },
    );
    assert.equal(registrations[0]?.urn, "urn:pulumi:lab-services::other::pulumi:pulumi:Stack::other-lab-services");
    assert.deepEqual(outputs, { says: "organization/other/lab-services" });
  });

  it("runs a program that is a module exporting a function, and its outputs become the stack's", async () => {
    const { outputs } = await record(() => async () => ({ answer: pulumi.output(42) }));
    assert.deepEqual(outputs, { answer: 42 });
  });

  it("gives configuration to the program, secrets as secrets", async () => {
    const { outputs } = await record(
      () => {
        const config = new pulumi.Config("home-cluster");
        return { domain: config.require("domain"), token: config.requireSecret("token") };
      },
      {
        config: { "home-cluster:domain": "example.org", "home-cluster:token": "t" },
        secretKeys: ["home-cluster:token"],
      },
    );
    assert.equal(outputs.domain, "example.org");
    assert.equal(isSecret(outputs.token), true);
    assert.equal(reveal(outputs.token), "t");
  });

  it("forgets the configuration of the run before", async () => {
    const read = (): object => ({ domain: new pulumi.Config("home-cluster").get("domain") ?? "none" });
    await record(read, { config: { "home-cluster:domain": "example.org" } });
    assert.deepEqual((await record(read)).outputs, { domain: "none" });
  });

  it("records every option that guards data or orders work", async () => {
    const recording = await record(() => {
      const other = new command.local.Command("other", { create: "true" });
      new command.local.Command(
        "guarded",
        { create: "true" },
        {
          protect: true,
          retainOnDelete: true,
          deleteBeforeReplace: true,
          deletedWith: other,
          ignoreChanges: ["create"],
          import: "some-id",
          customTimeouts: { create: "1m", update: "2m", delete: "3m" },
          aliases: [{ name: "older" }, urn("command:local:Command", "oldest")],
          additionalSecretOutputs: ["stdout"],
        },
      );
    });
    assert.deepEqual(named(recording, "guarded").options, {
      protect: true,
      retainOnDelete: true,
      deleteBeforeReplace: true,
      deletedWith: urn("command:local:Command", "other"),
      ignoreChanges: ["create"],
      importId: "some-id",
      customTimeouts: { create: "1m", update: "2m", delete: "3m" },
      aliases: ["older", urn("command:local:Command", "oldest")],
      additionalSecretOutputs: ["stdout"],
    });
    assert.deepEqual(named(recording, "other").options, {
      protect: false,
      retainOnDelete: false,
      deleteBeforeReplace: false,
      deletedWith: "",
      ignoreChanges: [],
      importId: "",
      customTimeouts: { create: "", update: "", delete: "" },
      aliases: [],
      additionalSecretOutputs: [],
    });
  });

  it("records what a resource waits for: through a property, by dependsOn, and through a component on all its children", async () => {
    const recording = await record(
      () => {
        const pair = new Pair("pair", { text: "true" });
        const plain = new command.local.Command("plain", { create: "true" });
        new command.local.Command("after-component", { create: "true" }, { dependsOn: [pair] });
        new command.local.Command("after-both", { create: plain.stdout }, { dependsOn: [pair.first] });
      },
      { answer: () => ({ outputs: { stdout: "x" } }) },
    );
    const child = (suffix: string): string => urn("home-cluster:test:Pair$command:local:Command", `pair-${suffix}`);
    assert.deepEqual([...named(recording, "after-component").dependencies].sort(), [child("first"), child("second")]);
    assert.deepEqual([...named(recording, "after-both").dependencies].sort(), [
      urn("command:local:Command", "plain"),
      child("first"),
    ]);
  });

  for (const preview of [false, true]) {
    it(`records the provider that a child inherits, in ${preview ? "a preview" : "an update"}`, async () => {
      const recording = await record(
        () => {
          const provider = new command.Provider("commands", {});
          new Pair("inherits", { text: "true" }, { providers: [provider] });
          new Pair("default", { text: "true" });
        },
        { preview },
      );
      const id = preview ? "04da6b54-80e4-46f7-96ec-b56ff0331ba9" : "commands-id";
      assert.equal(
        named(recording, "inherits-first").provider,
        `${urn("pulumi:providers:command", "commands")}::${id}`,
      );
      assert.equal(named(recording, "default-first").provider, "");
    });
  }

  it("keeps inputs as they travel: secrets marked at their depth, undefined left out", async () => {
    const recording = await record(() => {
      const provider = new kubernetes.Provider("cluster", { kubeconfig: pulumi.secret("k") });
      new kubernetes.core.v1.Secret(
        "s",
        { metadata: { name: "s", namespace: undefined }, stringData: { open: "o", hidden: pulumi.secret("h") } },
        { provider },
      );
    });
    const { stringData, metadata } = named(recording, "s").inputs as Record<string, Record<string, unknown>>;
    assert.deepEqual(metadata, { name: "s" });
    // The Secret's own constructor marks the whole map.
    assert.equal(isSecret(stringData), true);
    assert.deepEqual(reveal(stringData), { open: "o", hidden: "h" });
    assert.equal(isSecret(named(recording, "cluster").inputs.kubeconfig), true);
  });

  describe("answers", () => {
    const program = (): object => {
      const first = new command.local.Command("first", { create: "true" });
      new command.local.Command("second", { create: first.stdout, dir: first.id });
      return { stdout: first.stdout };
    };

    it("go to the program in an update: id, outputs, and inputs unless an output overrides them", async () => {
      const recording = await record(program, {
        answer: ({ name }) => (name === "first" ? { id: "the-id", outputs: { stdout: "hello" } } : {}),
      });
      assert.deepEqual(named(recording, "second").inputs, { create: "hello", dir: "the-id" });
      assert.deepEqual(recording.outputs, { stdout: "hello" });
    });

    it("default to the name as id and the inputs as outputs", async () => {
      const recording = await record(() => void program());
      assert.deepEqual(named(recording, "second").inputs, { dir: "first-id" });
    });

    it("stay unknown in a preview, id and computed outputs alike, while what the program gave is known", async () => {
      const recording = await record(
        () => {
          const first = new command.local.Command("first", { create: "true" });
          new command.local.Command("second", {
            create: first.stdout,
            dir: first.id,
            stdin: first.create.apply((text) => text ?? ""),
          });
          return { stdout: first.stdout };
        },
        { preview: true, answer: () => ({ id: "the-id", outputs: { stdout: "hello" } }) },
      );
      const { create, dir, stdin } = named(recording, "second").inputs;
      assert.deepEqual([isUnknown(create), isUnknown(dir), stdin], [true, true, "true"]);
      assert.equal(isUnknown(recording.outputs.stdout), true);
    });

    it("have the server's part of a Kubernetes object's metadata, unknown, beside what the program gave", async () => {
      const recording = await record(
        () => {
          const provider = new kubernetes.Provider("cluster", { kubeconfig: "k" });
          const claim = new kubernetes.core.v1.ConfigMap("claim", { metadata: { name: "c" } }, { provider });
          new command.local.Command("after", { create: claim.metadata.name, update: claim.metadata.uid });
        },
        { preview: true },
      );
      const { create, update } = named(recording, "after").inputs;
      assert.deepEqual([create, isUnknown(update)], ["c", true]);
      assert.deepEqual(named(recording, "claim").inputs.metadata, { name: "c" });
    });

    it("that are secret stay secret on their way", async () => {
      const recording = await record(program, {
        answer: ({ name }) => (name === "first" ? { outputs: { stdout: secret("hello") } } : {}),
      });
      assert.equal(isSecret(named(recording, "second").inputs.create), true);
      assert.equal(reveal(named(recording, "second").inputs.create), "hello");
    });

    it("that name no id leave the resource its name as one", async () => {
      const recording = await record(program, { answer: () => ({ outputs: { stdout: "x" } }) });
      assert.deepEqual(named(recording, "second").inputs, { create: "x", dir: "first-id" });
    });

    it("are not asked of components", async () => {
      const asked: string[] = [];
      await record(() => void new Pair("pair", { text: "true" }), {
        answer: ({ name }) => {
          asked.push(name);
          return { outputs: { stdout: "x" } };
        },
      });
      assert.deepEqual(asked, ["pair-first", "pair-second"]);
    });

    it("are told of once each resource is done, components included", async () => {
      const done: string[] = [];
      await record(() => void new Pair("pair", { text: "true" }), {
        answer: () => ({ outputs: { stdout: "x" } }),
        done: ({ name }) => done.push(name),
      });
      assert.deepEqual(done, ["home-cluster-test-nodes", "pair", "pair-first", "pair-second"]);
    });
  });

  describe("a resource that fails", () => {
    const chain = (): void => {
      const first = new command.local.Command("first", { create: "true" });
      const second = new command.local.Command("second", { create: first.stdout });
      new command.local.Command("third", { create: "true" }, { dependsOn: second });
      new command.local.Command("beside", { create: "true" });
    };
    const failing = (part: string): Promise<Recording> =>
      record(chain, {
        answer: ({ name }) => {
          if (name === part) throw new Error(`${part} is broken`);
          return { outputs: { stdout: "x" } };
        },
      });

    it("takes down exactly those that wait for it, and is no error of the program", async () => {
      const recording = await failing("first");
      assert.deepEqual(names(recording), ["first", "beside"]);
      assert.deepEqual([...recording.failed], [[urn("command:local:Command", "first"), "first is broken"]]);
      assert.equal(recording.error, undefined);
    });

    it("takes down nothing that came before it", async () => {
      assert.deepEqual(names(await failing("second")).sort(), ["beside", "first", "second"]);
      assert.deepEqual(names(await failing("third")).sort(), ["beside", "first", "second", "third"]);
    });

    it("may fail with anything that can be thrown", async () => {
      const { failed } = await record(chain, {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- libraries do
        answer: ({ name }) => (name === "beside" ? Promise.reject("only a text") : { outputs: { stdout: "x" } }),
      });
      assert.deepEqual([...failed.values()], ["only a text"]);
    });

    it("does not hide another error of the program", async () => {
      const { failed, error } = await record(
        () => {
          new command.local.Command("first", { create: "true" });
          throw new Error("the program is wrong");
        },
        {
          answer: () => {
            throw new Error("broken");
          },
        },
      );
      assert.match(String(error), /the program is wrong/);
      assert.equal(failed.size, 1);
    });

    it("leaves no listener behind and fails nothing in the run after it", async () => {
      const listeners = process.listeners("unhandledRejection");
      await failing("first");
      assert.deepEqual(process.listeners("unhandledRejection"), listeners);
      const next = await record(chain);
      assert.deepEqual([next.failed.size, next.error], [0, undefined]);
    });
  });

  describe("an error of the program", () => {
    it("that is thrown is returned, with what was registered before it", async () => {
      const recording = await record(() => {
        new command.local.Command("first", { create: "true" });
        throw new Error("the program is wrong");
      });
      assert.match(String(recording.error), /the program is wrong/);
      assert.deepEqual(names(recording), ["first"]);
    });

    it("that is no Error is returned as one", async () => {
      const thrown = await record(() => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- libraries do
        throw "only a text";
      });
      assert.equal(thrown.error?.message, "only a text");
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- libraries do
      const rejected = await record(() => void Promise.reject("nobody awaits it"));
      assert.equal(rejected.error?.message, "nobody awaits it");
    });

    it("inside an apply that nobody awaits is returned too", async () => {
      const { error } = await record(
        () => {
          const first = new command.local.Command("first", { create: "true" });
          first.stdout.apply(() => {
            throw new Error("wrong inside");
          });
        },
        { answer: () => ({ outputs: { stdout: "x" } }) },
      );
      assert.match(String(error), /wrong inside/);
    });
  });

  describe("invokes", () => {
    const asks = (): object => ({
      said: command.local.runOutput({ command: "look", stdin: pulumi.secret("s") }).stdout,
    });

    it("reach the caller with token and arguments, in previews too, and answer the program", async () => {
      for (const preview of [false, true]) {
        const calls: unknown[] = [];
        const { outputs } = await record(asks, {
          preview,
          call: (token, args) => {
            calls.push([token, args.command, reveal(args.stdin)]);
            return { stdout: "seen" };
          },
        });
        assert.deepEqual(calls, [["command:local:run", "look", "s"]]);
        assert.equal(reveal(outputs.said), "seen");
      }
    });

    it("that fail are an error of the program", async () => {
      const { error } = await record(asks, {
        call: () => {
          throw new Error("cannot look");
        },
      });
      assert.match(String(error), /cannot look/);
      const other = await record(asks, {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- libraries do
        call: () => Promise.reject("only a text"),
      });
      assert.match(String(other.error), /only a text/);
    });

    it("have an empty answer unless one is given", async () => {
      const { outputs, error } = await record(() => ({
        said: command.local.runOutput({ command: "look" }).apply((answer) => JSON.stringify(answer)),
      }));
      assert.deepEqual([outputs.said, error], ["{}", undefined]);
    });
  });

  describe("other stacks", () => {
    const read = (): object => {
      const other = new pulumi.StackReference("home-nodes", { name: "organization/home-cluster/home-nodes" });
      return {
        there: other.getOutput("nodes").apply((nodes: unknown) => nodes ?? "none"),
        missing: other.getOutput("nothing").apply((v: unknown) => v === undefined),
      };
    };

    it("answer with the outputs given for them, and undefined for any other", async () => {
      const { outputs } = await record(read, {
        stackOutputs: { "organization/home-cluster/home-nodes": { nodes: { a: 1 } } },
      });
      assert.deepEqual(outputs, { there: { a: 1 }, missing: true });
    });

    it("that are not given have no outputs", async () => {
      const { outputs } = await record(read, {
        stackOutputs: { "organization/home-cluster/lab-nodes": { nodes: { a: 1 } } },
      });
      assert.deepEqual(outputs, { there: "none", missing: true });
    });
  });

  describe("helpers", () => {
    it("secret and isSecret agree, and reveal takes marks off at any depth", () => {
      assert.equal(isSecret(secret("x")), true);
      for (const plain of ["x", null, undefined, 3, {}, [], { value: "x" }]) assert.equal(isSecret(plain), false);
      assert.deepEqual(reveal({ a: [secret({ b: secret("c") }), null, 1], d: secret(undefined) }), {
        a: [{ b: "c" }, null, 1],
        d: undefined,
      });
    });

    it("isUnknown knows the mark of unknown values and nothing else", () => {
      assert.equal(isUnknown(pulumi.runtime.unknownValue), true);
      for (const known of ["", "x", undefined, null, {}, [pulumi.runtime.unknownValue]])
        assert.equal(isUnknown(known), false);
    });
  });
});
