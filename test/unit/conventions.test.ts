import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { layers } from "../../environment/stack";
import { isSecret, record, type RecordOptions, type Recording } from "../../rehearsal/record";
import {
  componentProblems,
  configReadings,
  defaultProviders,
  plainSecrets,
  previewDifferences,
  product,
  resourcesInApply,
  sourcePaths,
  strayNames,
  tokenOf,
  undeclaredTokens,
  upwardImports,
  type Source,
} from "../support/conventions";
import { root } from "../support/environment";
import { committed, recordLayer, sentinels } from "../support/program";

const read = (path: string): Source => ({ path, text: readFileSync(join(root, path), "utf8") });
const components = sourcePaths(root, ["components"]).map(read);
const tokens = components.flatMap((source) => tokenOf(source) ?? []);

describe("conventions (design, rules 1-3): the sources", () => {
  it("there are components to look at, each under a token of its own", () => {
    assert.ok(tokens.length >= 20, `${tokens.length}`);
    assert.deepEqual(tokens, [...new Set(tokens)]);
  });

  it("every component has its form: one a file, token, constructor, super, children's names and parents, registerOutputs", () => {
    assert.deepEqual(components.flatMap(componentProblems), []);
  });

  const all = sourcePaths(root, product).map(read);

  it("no resource is made inside .apply", () => assert.deepEqual(all.flatMap(resourcesInApply), []));

  it("nothing but environment/ reads Pulumi's configuration", () => {
    const others = sourcePaths(root, ["commands", "rehearsal"]).map(read);
    assert.deepEqual([...all, ...others].flatMap(configReadings), []);
  });

  it("imports point one way: index → stacks → components → operations → environment, and never to rehearsal, commands or test", () => {
    assert.deepEqual(all.flatMap(upwardImports), []);
  });
});

describe("conventions (design, rules 1-3): every layer of every committed environment, as it registers", () => {
  const seen = new Set<string>();

  for (const { name } of committed) {
    for (const layer of layers) {
      describe(`${name}-${layer}`, () => {
        let update: Recording;
        let preview: Recording;
        /** What is drawn while the program runs, beside the secrets that it is given. */
        const drawn: string[] = [];

        before(async () => {
          const recording = await recordLayer(name, layer, {
            answer: async (_registration, usual) => {
              const answer = await usual();
              if (_registration.type.startsWith("random:")) drawn.push(...secretTexts(answer.outputs ?? {}));
              return answer;
            },
          });
          update = recording;
          drawn.push(recording.home.rancher.token);
          preview = await recordLayer(name, layer, { preview: true });
          for (const { type } of update.registrations) seen.add(type);
        });

        it("runs whole", () => {
          for (const recording of [update, preview]) {
            assert.deepEqual([recording.error, [...recording.failed]], [undefined, []]);
          }
          assert.ok(update.registrations.length > 1);
        });

        it("names every child after its component", () => assert.deepEqual(strayNames(update), []));

        it("gives every resource one of the stack's own providers, in preview and update", () => {
          assert.deepEqual([...defaultProviders(update), ...defaultProviders(preview)], []);
        });

        it("registers components under the tokens of components/ alone", () => {
          assert.deepEqual(undeclaredTokens(update, tokens), []);
        });

        it("shows no secret outside a secret mark: none it was given, none that was drawn", () => {
          assert.deepEqual(plainSecrets(update, [...Object.values(sentinels), ...drawn]), []);
        });

        it("registers in a preview exactly what it registers in an update", () => {
          assert.deepEqual(previewDifferences(preview, update), []);
        });
      });
    }
  }

  // A suite of its own, since mocha runs a suite's tests before the suites in it.
  describe("all together", () => {
    it("leave no component of components/ out", () => {
      assert.deepEqual(
        tokens.filter((token) => !seen.has(token)),
        // For volumes past their copy, of which the committed files have none: test/unit/stacks/volumes-cutover.test.ts looks at those.
        ["NodesWithoutLonghorn", "VolumeCutover", "VolumeFinalization"].map((one) => `home-cluster:volumes:${one}`),
      );
    });
  });
});

/** Texts that are marked as secret anywhere in these properties. */
function secretTexts(value: unknown): string[] {
  if (isSecret(value)) return typeof value.value === "string" ? [value.value] : secretTexts(value.value);
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(secretTexts);
}

describe("conventions: each check catches a component that breaks its rule", () => {
  /** A component whose way of breaking a rule is given; right as it is. */
  class Sample extends pulumi.ComponentResource {
    constructor(
      name: string,
      args: {
        readonly child?: string;
        readonly inputs?: command.local.CommandArgs;
        readonly inApply?: pulumi.Output<string>;
        readonly option?: (parent: Sample) => pulumi.CustomResourceOptions;
      },
      opts?: pulumi.ComponentResourceOptions,
    ) {
      super("home-cluster:samples:Sample", name, {}, opts);
      const { child = `${name}-child`, inputs = { create: "true" } } = args;
      new command.local.Command(child, inputs, { parent: this, ...args.option?.(this) });
      args.inApply?.apply((text) => new command.local.Command(`${name}-late`, { create: text }, { parent: this }));
      this.registerOutputs({});
    }
  }

  const made = (
    args: (first: command.local.Command) => ConstructorParameters<typeof Sample>[1],
    options: RecordOptions = {},
    opts: (providers: pulumi.ProviderResource[]) => pulumi.ComponentResourceOptions = (providers) => ({ providers }),
  ): Promise<Recording> =>
    record(
      () => {
        const operations = new command.Provider("operations");
        const first = new command.local.Command("first", { create: "true" }, { provider: operations });
        new Sample("sample", args(first), opts([operations]));
        return {};
      },
      { answer: () => ({ outputs: { stdout: "known now" } }), ...options },
    );

  it("and lets one pass that breaks none", async () => {
    const [update, preview] = [await made(() => ({})), await made(() => ({}), { preview: true })];
    assert.deepEqual(
      [
        strayNames(update),
        defaultProviders(update),
        defaultProviders(preview),
        plainSecrets(update, ["secret-text"]),
        previewDifferences(preview, update),
        undeclaredTokens(update, ["home-cluster:samples:Sample"]),
      ],
      [[], [], [], [], [], []],
    );
  });

  it("a child with a name of its own", async () => {
    for (const child of ["stray", "sampler-child", "sample"]) {
      assert.deepEqual(strayNames(await made(() => ({ child }))), [`${child}: not named after its component sample`]);
    }
  });

  it("a child without a provider of the stack, or with one of another package", async () => {
    assert.deepEqual(
      defaultProviders(
        await made(
          () => ({}),
          {},
          () => ({}),
        ),
      ),
      ["sample-child: has no provider of the stack"],
    );
    const other = await record(() => {
      new Sample("sample", { option: () => ({ provider: new kubernetes.Provider("cluster", {}) }) });
    });
    assert.deepEqual(defaultProviders(other), ["sample-child: has a provider of kubernetes"]);
  });

  it("a secret in plain inputs, at any depth, in base64, in a name, in an output; not one that is marked", async () => {
    const shown = async (inputs: command.local.CommandArgs): Promise<string[]> =>
      plainSecrets(await made(() => ({ inputs })), ["secret-text"]);
    assert.deepEqual(await shown({ create: "use secret-text here" }), ["sample-child: shows a secret"]);
    assert.deepEqual(await shown({ environment: { A: "secret-text" } }), ["sample-child: shows a secret"]);
    assert.deepEqual(await shown({ triggers: [{ a: [Buffer.from("secret-text").toString("base64")] }] }), [
      "sample-child: shows a secret",
    ]);
    assert.deepEqual(await shown({ create: pulumi.secret("secret-text") }), []);
    assert.deepEqual(plainSecrets(await made(() => ({ child: "sample-secret-text" })), ["secret-text"]), [
      "sample-secret-text: shows a secret",
    ]);
    const recording = await record(() => ({ open: "secret-text", hidden: pulumi.secret("secret-text") }));
    assert.deepEqual(plainSecrets(recording, ["secret-text"]), ["output open: shows a secret"]);
  });

  it("a resource that only an update registers, and one that only a preview does", async () => {
    const late = (preview: boolean): Promise<Recording> => made((first) => ({ inApply: first.stdout }), { preview });
    assert.deepEqual(previewDifferences(await late(true), await late(false)), ["sample-late: only in the update"]);
    assert.deepEqual(previewDifferences(await late(false), await late(true)), ["sample-late: only in the preview"]);
  });

  describe("a difference between preview and update", () => {
    const differs = async (
      args: (first: command.local.Command) => ConstructorParameters<typeof Sample>[1],
    ): Promise<string[]> => previewDifferences(await made(args, { preview: true }), await made(args));
    const inPreview = (): boolean => pulumi.runtime.isDryRun();

    it("in an input", async () => {
      assert.deepEqual(await differs(() => ({ inputs: { create: inPreview() ? "a" : "b" } })), [
        "sample-child: inputs.create differs between preview and update",
      ]);
    });

    it("in which inputs there are", async () => {
      for (const dryRun of [true, false]) {
        const args = (): ConstructorParameters<typeof Sample>[1] => ({
          inputs: { create: "true", ...(inPreview() === dryRun && { delete: "true" }) },
        });
        assert.deepEqual(await differs(args), ["sample-child: inputs.delete differs between preview and update"]);
      }
    });

    it("in an option", async () => {
      assert.deepEqual(await differs(() => ({ option: () => ({ protect: inPreview() }) })), [
        "sample-child: options.protect differs between preview and update",
      ]);
    });

    it("in what it waits for", async () => {
      const args = (first: command.local.Command): ConstructorParameters<typeof Sample>[1] => ({
        option: () => ({ dependsOn: inPreview() ? [] : [first] }),
      });
      assert.deepEqual(await differs(args), ["sample-child: dependencies.0 differs between preview and update"]);
    });

    it("in whether a value is secret", async () => {
      const secretInPreview = (): ConstructorParameters<typeof Sample>[1] => ({
        inputs: { create: inPreview() ? pulumi.secret("a") : "a" },
      });
      assert.deepEqual(await differs(secretInPreview), [
        "sample-child: inputs.create (secret) differs between preview and update",
      ]);
      const secretInUpdate = (): ConstructorParameters<typeof Sample>[1] => ({
        inputs: { create: inPreview() ? "a" : pulumi.secret("a") },
      });
      assert.deepEqual(await differs(secretInUpdate), [
        "sample-child: inputs.create differs between preview and update",
      ]);
    });

    it("but not in a value that the preview does not know, plain or secret, nor in one that came to be undefined", async () => {
      assert.deepEqual(await differs((first) => ({ inputs: { create: first.stdout } })), []);
      assert.deepEqual(await differs((first) => ({ inputs: { create: pulumi.secret(first.stdout) } })), []);
      const undefinedLater = (first: command.local.Command): ConstructorParameters<typeof Sample>[1] => ({
        inputs: { create: "true", delete: first.stdout.apply(() => undefined as never) },
        option: () => ({ dependsOn: first }),
      });
      assert.deepEqual(await differs(undefinedLater), []);
    });
  });

  it("a token that no file declares", async () => {
    assert.deepEqual(undeclaredTokens(await made(() => ({})), tokens), [
      "sample: no file of components/ declares home-cluster:samples:Sample",
    ]);
  });

  describe("over sources", () => {
    const right = `
import * as pulumi from "@pulumi/pulumi";
import * as kubernetes from "@pulumi/kubernetes";
export class MetalLb extends pulumi.ComponentResource {
  readonly address: pulumi.Output<string>;
  constructor(name: string, args: MetalLbArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:MetalLb", name, args, opts);
    const after = { parent: this, dependsOn: opts?.dependsOn };
    new kubernetes.core.v1.Secret(\`\${name}-one\`, {}, { parent: this });
    new kubernetes.core.v1.Secret(numbered(\`\${name}-two\`, 2), {}, pulumi.mergeOptions(after, { protect: true }));
    const { result } = declare(\`\${name}-three\`, { create }, after);
    const map = new Map([["a", new Date()]]);
    this.address = result;
    this.registerOutputs({ address: this.address });
  }
  method(): void {}
}
`;
    const problems = (text: string, path = "components/services/metallb.ts"): string[] =>
      componentProblems({ path, text }).map((problem) => problem.replace(`${path}: `, ""));

    it("lets one pass that breaks no rule", () => {
      assert.deepEqual(problems(right), []);
      assert.deepEqual(problems("export const pure = 1;"), []);
    });

    const wrong: Record<
      string,
      { readonly change: (text: string) => string; readonly path?: string; readonly says: string[] }
    > = {
      "a token of another class": {
        change: (text) => text.replace('services:MetalLb"', 'services:Metallb"'),
        says: ["MetalLb is not registered as home-cluster:services:MetalLb"],
      },
      "a token of another folder": {
        change: (text) => text,
        path: "components/nodes/metallb.ts",
        says: ["MetalLb is not registered as home-cluster:nodes:MetalLb"],
      },
      "a token that is no literal": {
        change: (text) => text.replace('"home-cluster:services:MetalLb"', "token"),
        says: ["MetalLb is not registered as home-cluster:services:MetalLb"],
      },
      "a file of another name": {
        change: (text) => text,
        path: "components/services/address-pools.ts",
        says: ["is not named after MetalLb"],
      },
      "options in the place of args": {
        change: (text) => text.replace("name, args, opts);", "name, opts);"),
        says: ["MetalLb calls super without name, args, opts in this order"],
      },
      "no args for super": {
        change: (text) => text.replace("name, args, opts);", "name, {}, opts);"),
        says: ["MetalLb calls super without name, args, opts in this order"],
      },
      "another constructor": {
        change: (text) => text.replace("opts?: pulumi.Comp", "opts: pulumi.Comp"),
        says: ["MetalLb's constructor is not (name: string, args: …, opts?: pulumi.ComponentResourceOptions)"],
      },
      "a constructor with a fourth parameter": {
        change: (text) => text.replace("ResourceOptions) {", "ResourceOptions, more = 1) {"),
        says: ["MetalLb's constructor is not (name: string, args: …, opts?: pulumi.ComponentResourceOptions)"],
      },
      "no registerOutputs": {
        change: (text) => text.replace("this.registerOutputs({ address: this.address });", ""),
        says: ["MetalLb does not call registerOutputs last"],
      },
      "registerOutputs before something else": {
        change: (text) =>
          text
            .replace("this.address = result;", "")
            .replace("this.address });", "this.address }); this.address = result;"),
        says: ["MetalLb does not call registerOutputs last"],
      },
      "a child with a name of its own": {
        change: (text) => text.replace("`${name}-one`", '"one"'),
        says: ['MetalLb names a child "one", not `${name}-…`'],
      },
      "a declared operation with a name of its own": {
        change: (text) => text.replace("`${name}-three`", "`${other}-three`"),
        says: ["MetalLb names a child `${other}-three`, not `${name}-…`"],
      },
      "a child without a parent": {
        change: (text) => text.replace("{}, { parent: this });", "{}, { protect: true });"),
        says: ["MetalLb gives its child `${name}-one` no { parent: this }"],
      },
      "a child without options": {
        change: (text) => text.replace("{}, { parent: this });", "{});"),
        says: ["MetalLb gives its child `${name}-one` no { parent: this }"],
      },
      "children whose common options have no parent": {
        change: (text) => text.replace("after = { parent: this, ", "after = { "),
        says: [
          "MetalLb gives its child numbered(`${name}-two`, 2) no { parent: this }",
          "MetalLb gives its child `${name}-three` no { parent: this }",
        ],
      },
      "a provider that is chosen and not inherited": {
        change: (text) => text.replace("{}, { parent: this });", "{}, { parent: this, provider: args.provider });"),
        says: ["MetalLb chooses a provider, which is inherited"],
      },
      "a method before the constructor": {
        change: (text) =>
          text.replace("method(): void {}", "").replace("  constructor(", "  method(): void {}\n  constructor("),
        says: ["MetalLb has a method before its constructor"],
      },
      "two components in one file": {
        change: (text) => text + text.replaceAll("MetalLb", "Other").replace(/import.*\n/g, ""),
        says: ["declares 2 components, one a file", "is not named after Other"],
      },
      "more than 150 lines": { change: (text) => text + "//\n".repeat(150), says: ["is longer than 150 lines"] },
    };
    for (const [title, { change, path, says }] of Object.entries(wrong)) {
      it(title, () => assert.deepEqual(problems(change(right), path), says));
    }

    it("a resource, component or operation that is made inside .apply; not an error or a map", () => {
      const inside = (body: string): string[] =>
        resourcesInApply({ path: "x.ts", text: `pulumi.all([a, b]).apply(([one]) => { ${body} });` });
      assert.deepEqual(inside("return new kubernetes.core.v1.Secret(`${one}`, {});"), [
        "x.ts: makes kubernetes.core.v1.Secret inside .apply",
      ]);
      assert.deepEqual(inside("return [1].map(() => new DebianNode('a', {}));"), [
        "x.ts: makes DebianNode inside .apply",
      ]);
      assert.deepEqual(inside("return declare('a', {}, {}).result;"), ["x.ts: makes declare inside .apply"]);
      assert.deepEqual(
        inside("if (!one) throw new Refusal({}); return new Map([[one, new pulumi.RunError(one)]]);"),
        [],
      );
      assert.deepEqual(resourcesInApply({ path: "x.ts", text: "new DebianNode('a', {}); a.apply((b) => b);" }), []);
    });

    it("configuration that is read outside environment/", () => {
      const text =
        "const config = new pulumi.Config(); pulumi.runtime.allConfig(); runtime.getConfig('a'); new Config('b');";
      assert.deepEqual(configReadings({ path: "components/nodes/x.ts", text }), [
        "components/nodes/x.ts: new pulumi.Config",
        "components/nodes/x.ts: new Config",
        "components/nodes/x.ts: pulumi.runtime.allConfig",
        "components/nodes/x.ts: runtime.getConfig",
      ]);
      assert.deepEqual(configReadings({ path: "environment/load.ts", text }), []);
    });

    it("imports that point upwards or aside, however they are written", () => {
      const cases: Record<string, readonly [string, string][]> = {
        "environment/load.ts": [
          ["./schema", "allowed"],
          ["@pulumi/pulumi", "allowed"],
          ["../operations/refusal", "refused"],
          ["../versions", "refused"],
        ],
        "versions.ts": [
          ["./environment/stack", "allowed"],
          ["./operations/refusal", "refused"],
        ],
        "operations/nodes/join.ts": [
          ["../refusal", "allowed"],
          ["../../environment/schema", "allowed"],
          ["../../versions", "allowed"],
          ["../../components/nodes/x", "refused"],
          ["../../rehearsal/record", "refused"],
        ],
        "components/nodes/x.ts": [
          ["./y", "allowed"],
          ["../services/y", "allowed"],
          ["../../operations/declare", "allowed"],
          ["../../stacks/context", "refused"],
          ["../../test/support/environment", "refused"],
        ],
        "stacks/nodes.ts": [
          ["./context", "allowed"],
          ["../components/nodes/x", "allowed"],
          ["../index", "refused"],
          ["../commands/pin", "refused"],
        ],
        "index.ts": [
          ["./stacks/nodes", "allowed"],
          ["./versions", "allowed"],
          ["./rehearsal/record", "refused"],
        ],
      };
      for (const [path, imports] of Object.entries(cases)) {
        for (const [specifier, verdict] of imports) {
          for (const text of [
            `import { a } from "${specifier}";`,
            `import type { a } from "${specifier}";`,
            `export { a } from "${specifier}";`,
            `const a = require("${specifier}");`,
            `void import("${specifier}");`,
          ]) {
            assert.deepEqual(
              upwardImports({ path, text }),
              verdict === "allowed" ? [] : [`${path}: imports ${specifier}`],
            );
          }
        }
      }
    });
  });
});
