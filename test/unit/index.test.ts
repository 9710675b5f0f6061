import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { secretKeys } from "../../environment/schema";
import { layers, type Layer } from "../../environment/stack";
import { isSecret, record, reveal, type RecordOptions, type Recording } from "../../rehearsal/record";
import { standInVersions } from "../../rehearsal/stand-ins";
import type { Context } from "../../stacks/context";
import { unresolved, versions } from "../../versions";
import { rawEnvironment, root } from "../support/environment";
import { keepingWarnings } from "../support/warnings";
import { configFrom, configOf, sentinels } from "../support/program";

/** Runs index.ts anew, each layer's module replaced by one that registers a resource of the layer's name and keeps its context. */
async function dispatched(
  options: RecordOptions,
  also: () => void = () => undefined,
): Promise<{ recording: Recording; ran: Map<Layer, Context>; warnings: readonly string[] }> {
  const ran = new Map<Layer, Context>();
  const dispatcher = require.resolve("../../index");
  const modules = layers.map((layer) => {
    const module = require.cache[require.resolve(`../../stacks/${layer}`)];
    assert.ok(module, "index.ts has loaded it");
    return { layer, module, exports: module.exports as unknown };
  });
  try {
    for (const { layer, module } of modules) {
      module.exports = {
        [layer]: (context: Context): object => {
          ran.set(layer, context);
          also();
          new command.local.Command(`of-${layer}`, { create: "true" });
          return { layer, token: context.secrets.proxmoxToken };
        },
      };
    }
    delete require.cache[dispatcher];
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- an import would be the module with the real layers
    const { result, warnings } = await keepingWarnings(() => record(() => require(dispatcher) as unknown, options));
    return { recording: result, ran, warnings };
  } finally {
    for (const { module, exports } of modules) module.exports = exports;
    delete require.cache[dispatcher];
  }
}

/** The engine prints a stack trace unless an error says otherwise, and takes seconds over one that has a stack at all. */
function assertReadable(error: Error | undefined): void {
  assert.equal(pulumi.RunError.isInstance(error), true);
  assert.equal(error?.stack, undefined);
}

/** Names of what was registered besides the stack itself. */
function registered(recording: Recording): string[] {
  return recording.registrations.filter(({ type }) => type !== "pulumi:pulumi:Stack").map(({ name }) => name);
}

describe("index.ts, the dispatcher (layers replaced by markers; the real layers have their own tests)", () => {
  let takeOut: () => void;
  before(() => (takeOut = standInVersions()));
  after(() => takeOut());

  for (const name of ["home", "lab"] as const) {
    for (const layer of layers) {
      it(`${name}-${layer} runs the layer ${layer} and no other, with name, file and secrets`, async () => {
        const { recording, ran } = await dispatched({ ...configOf(name), stack: `${name}-${layer}` });
        assert.equal(recording.error, undefined);
        assert.deepEqual([...ran.keys()], [layer]);
        assert.deepEqual(registered(recording), [`of-${layer}`]);
        const context = ran.get(layer);
        assert.equal(context?.environment, name);
        assert.equal(context.layer, layer);
        assert.equal(context.file.cluster.name, name);
      });
    }
  }

  it("returns the layer's outputs as the stack's, secrets still secret", async () => {
    const { recording } = await dispatched({ ...configOf("home"), stack: "home-services" });
    assert.equal(recording.outputs.layer, "services");
    assert.equal(isSecret(recording.outputs.token), true);
    assert.equal(reveal(recording.outputs.token), sentinels.proxmoxToken);
  });

  it("passes on what is only a warning, and runs", async () => {
    const { warnings, ran } = await dispatched({ ...configOf("home"), stack: "home-nodes" });
    assert.equal(ran.size, 1);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /oldNodes\[1\]: rancheros-2: .*etcd/);
  });

  it("takes an environment whose name has hyphens", async () => {
    const { ran } = await dispatched({ ...configOf("home"), stack: "holiday-home-volumes" });
    assert.deepEqual(
      [...ran].map(([layer, { environment }]) => [layer, environment]),
      [["volumes", "holiday-home"]],
    );
  });

  describe("refuses a stack name that is no environment and layer, with the names to use, before any resource", () => {
    for (const [stack, example] of [
      ["home", "home"],
      ["home-nose", "home"],
      ["lab-x-node", "lab-x"],
      ["nodes", "home"],
      ["-nodes", "home"],
      ["home-", "home"],
      ["home-Nodes", "home"],
      ["home_nodes", "home"],
    ] as const) {
      it(stack, async () => {
        const { recording, ran } = await dispatched({ ...configOf("home"), stack });
        assert.deepEqual([registered(recording), ran.size], [[], 0]);
        assert.equal(
          recording.error?.message,
          `stack ${stack}: not <environment>-<layer>; use one of ${layers.map((layer) => `${example}-${layer}`).join(", ")}: ` +
            `\`pulumi stack select ${example}-nodes\``,
        );
        assertReadable(recording.error);
      });
    }
  });

  describe("refuses a broken environment as a whole, before any resource", () => {
    const broken = structuredClone(rawEnvironment("home")) as Record<string, unknown> &
      ReturnType<typeof rawEnvironment>;
    const [first, second] = broken.nodes;
    assert.ok(first && second);
    second.vmId = first.vmId;
    first.memory = 2;
    broken.surprise = true;

    for (const layer of layers) {
      it(`in the layer ${layer}, in preview and update alike, naming every problem`, async () => {
        for (const preview of [false, true]) {
          const { recording, ran } = await dispatched({ ...configFrom(broken), stack: `home-${layer}`, preview });
          assert.deepEqual([registered(recording), ran.size], [[], 0]);
          const message = recording.error?.message ?? "";
          assert.match(message, new RegExp(`^stack home-${layer}: refused, nothing was touched\n`));
          for (const part of [/^ {2}surprise: /m, /vmId/, /memory/]) assert.match(message, part);
          assertReadable(recording.error);
        }
      });
    }

    it("and one that is not there at all", async () => {
      const { recording, ran } = await dispatched({ config: {}, stack: "home-nodes" });
      assert.deepEqual([registered(recording), ran.size], [[], 0]);
      assert.match(recording.error?.message ?? "", /no key of the configuration starts with home-cluster:/);
    });

    it("and one with a secret in plain text, which it does not show", async () => {
      const { config, secretKeys: keys } = configOf("home");
      const { recording, ran } = await dispatched({ config, secretKeys: keys.slice(1), stack: "home-nodes" });
      assert.deepEqual([registered(recording), ran.size], [[], 0]);
      assert.match(recording.error?.message ?? "", /proxmoxToken/);
      assert.doesNotMatch(recording.error?.message ?? "", /must-not-show/);
    });
  });

  describe("what is unresolved in versions.ts", () => {
    /** As a preview or an update of the layer finds it. */
    const withoutPins = async (layer: Layer, preview: boolean): Promise<Awaited<ReturnType<typeof dispatched>>> => {
      const { build } = versions.debian;
      versions.debian.build = unresolved;
      try {
        return await dispatched({ ...configOf("home"), stack: `home-${layer}`, preview });
      } finally {
        versions.debian.build = build;
      }
    };

    it("refuses an update of the layer that needs it, before any resource, and names npm run pin", async () => {
      const { recording, ran } = await withoutPins("nodes", false);
      assert.deepEqual([registered(recording), ran.size], [[], 0]);
      assert.match(recording.error?.message ?? "", /debian\.build not resolved.*`npm run pin`/);
      assertReadable(recording.error);
    });

    it("lets its preview and every other layer pass", async () => {
      assert.deepEqual(registered((await withoutPins("nodes", true)).recording), ["of-nodes"]);
      for (const layer of layers.filter((other) => other !== "nodes")) {
        assert.deepEqual(registered((await withoutPins(layer, false)).recording), [`of-${layer}`]);
      }
    });
  });

  it("asks for a secret only when something uses it, and names the command that sets it", async () => {
    const { config } = configOf("home");
    const plain = Object.fromEntries(
      Object.entries(config).filter(([key]) => !secretKeys.some((secret) => key === `home-cluster:${secret}`)),
    );
    const { recording, ran } = await dispatched({ config: plain, stack: "home-nodes" });
    // The markers use the Proxmox token alone.
    assert.equal(ran.size, 1);
    assert.match(recording.error?.message ?? "", /proxmoxToken/);
    assert.match(recording.error?.message ?? "", /pulumi config set --secret/);
    assertReadable(recording.error);
  });

  it("passes an error that is nobody's refusal on as it is, with its stack", async () => {
    const broken = new TypeError("a bug in a layer");
    const { recording } = await dispatched({ ...configOf("home"), stack: "home-nodes" }, () => {
      throw broken;
    });
    assert.equal(recording.error, broken);
    assert.ok(broken.stack);
  });

  it("is the program that Pulumi runs, through the tsconfig that checks nothing", () => {
    const packageJson = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { main: string };
    assert.equal(packageJson.main, "index.ts");
    assert.match(readFileSync(join(root, "Pulumi.yaml"), "utf8"), /tsconfig: tsconfig\.pulumi\.json/);
  });
});
