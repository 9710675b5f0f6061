import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { checkFile, readConfigFile } from "../../../environment/file";
import { loadEnvironment, loadSecrets, project } from "../../../environment/load";
import { EnvironmentRefused, formatProblem } from "../../../environment/problem";
import { secretKeys } from "../../../environment/schema";
import { isSecret, record, reveal } from "../../../rehearsal/record";
import { join } from "node:path";
import { root } from "../../support/environment";

/** The committed configuration as the CLI hands it on: text, structures as JSON. */
function committed(name: "home" | "lab"): Record<string, string> {
  const { config } = readConfigFile(join(root, `Pulumi.${name}.yaml`));
  return Object.fromEntries([...(config ?? [])].map(([key, { text }]) => [key, text]));
}

// Through Pulumi's own configuration store. Does not prove what the CLI puts there: that was read in its source (see file.test.ts).
describe("environment/load", () => {
  const load = (
    config: Record<string, string>,
    secrets: readonly string[] = [],
  ): ReturnType<typeof loadEnvironment> => {
    pulumi.runtime.setAllConfig(config, [...secrets]);
    return loadEnvironment();
  };
  const refusal = (config: Record<string, string>, secrets: readonly string[] = []): readonly string[] => {
    try {
      load(config, secrets);
    } catch (error) {
      if (error instanceof EnvironmentRefused) return error.problems.map(formatProblem);
      throw error;
    }
    return assert.fail("was not refused");
  };
  /** Nothing but errors: home's one warning stands in every refusal. */
  const errors = (lines: readonly string[]): readonly string[] => lines.filter((line) => !line.startsWith("warning: "));
  // Without an engine the SDK prints its log here.
  const { warn } = console;
  let warnings: unknown[] = [];
  beforeEach(() => {
    warnings = [];
    console.warn = (line: unknown) => warnings.push(line);
  });
  afterEach(() => {
    console.warn = warn;
    pulumi.runtime.setAllConfig({}, []);
  });

  for (const name of ["home", "lab"] as const) {
    it(`loads ${name} as validate reads it`, () => {
      const fromFile = checkFile(join(root, `Pulumi.${name}.yaml`)).environment;
      assert.deepEqual(load(committed(name)), fromFile);
    });
  }

  it("keeps values that look like numbers as text, and structures as they are", () => {
    const lines = refusal({ ...committed("lab"), "home-cluster:domain": "1.30" });
    assert.deepEqual(lines, [
      "domain: 1.30: must be a DNS name such as longhorn.example.org: for example home.example.org",
    ]);
  });

  it("refuses an unknown key of this project, and lets those of others through", () => {
    assert.equal(load({ ...committed("lab"), "aws:region": "x", "home-clusters:x": "y" }).cluster.name, "lab");
    const [line = "", ...more] = refusal({ ...committed("lab"), "home-cluster:volume": "[]" });
    assert.deepEqual(more, []);
    assert.match(line, /^volume: \(a list, not shown\): there is no such key here.*did you mean volumes\?/);
  });

  it("refuses everything at once, and names the stack", async () => {
    const config = { ...committed("home"), "home-cluster:domain": "home", "home-cluster:oldStorage": "" };
    const { error, registrations } = await record(() => ({ name: loadEnvironment().domain }), {
      stack: "home-nodes",
      config,
    });
    assert.equal(error?.name, "EnvironmentRefused");
    assert.deepEqual(
      error.message.split("\n").filter((line) => !line.includes("warning: ")),
      [
        "stack home-nodes: refused, nothing was touched",
        "  domain: home: must be a DNS name such as longhorn.example.org: for example home.example.org",
        "  oldStorage: (nothing): is required, as a mapping: add oldStorage",
      ],
    );
    assert.deepEqual(
      registrations.map(({ type }) => type),
      ["pulumi:pulumi:Stack"],
    );
  });

  it("loads with a warning, and says it once", () => {
    assert.equal(load(committed("home")).domain, "home.example.org");
    assert.deepEqual(warnings, [
      "warning: [runtime] oldNodes[1]: rancheros-2: once it has left, 4 etcd members are there: an even number survives no more losses than 3: retire the next node soon after this one",
    ]);
  });

  it("refuses a stack without configuration", () => {
    assert.deepEqual(refusal({}), [
      "home-cluster: (missing): no key of the configuration starts with home-cluster:: write the environment under config, as in Pulumi.home.yaml: `home-cluster:cluster: …`",
    ]);
  });

  it("refuses a secret that was set in plain text, and never prints it", () => {
    const config = { ...committed("home"), "home-cluster:rancherToken": "hunter2" };
    const lines = refusal(config);
    assert.deepEqual(errors(lines), [
      "rancherToken: (text, not shown): is a secret in plain text, readable by everybody who sees the file: take it out, make a new one, and set that with `pulumi config set --secret rancherToken`",
    ]);
    assert.doesNotMatch(lines.join("\n"), /hunter2/);
    assert.equal(load(config, ["home-cluster:rancherToken"]).cluster.name, "home");
  });

  it("refuses an encrypted value that is no secret, and never prints it", () => {
    const lines = refusal({ ...committed("home"), "home-cluster:domain": "hunter2" }, ["home-cluster:domain"]);
    assert.match(errors(lines).join("\n"), /^domain: \(encrypted\): is encrypted/);
    assert.doesNotMatch(lines.join("\n"), /hunter2/);
  });

  describe("loadSecrets", () => {
    const key = `${project}:proxmoxToken`;

    it("gives every secret as a secret output", async () => {
      const names = secretKeys.map((name) => `${project}:${name}`);
      const { error, outputs } = await record(() => ({ ...loadSecrets() }), {
        config: Object.fromEntries(names.map((name) => [name, `value of ${name}`])),
        secretKeys: names,
      });
      assert.equal(error, undefined);
      assert.deepEqual(Object.keys(outputs).sort(), [...secretKeys].sort());
      for (const [name, value] of Object.entries(outputs)) {
        assert.ok(isSecret(value), name);
        assert.equal(reveal(value), `value of ${project}:${name}`);
      }
    });

    it("asks for a secret only when something uses it", () => {
      pulumi.runtime.setAllConfig({ [key]: "x" }, [key]);
      const secrets = loadSecrets();
      assert.ok(pulumi.Output.isInstance(secrets.proxmoxToken));
      assert.throws(() => secrets.rancherToken, /rancherToken/);
    });
  });
});
