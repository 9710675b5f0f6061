import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Secrets } from "../../../environment/load";
import type { Environment } from "../../../environment/schema";
import { isSecret, type Recording } from "../../../rehearsal/record";
import { services } from "../../../stacks/services";
import { environment } from "../../support/environment";
import { lbHome, password, recordOn, type ProgramOptions } from "../../support/load-balancer";
import { inClear, names, resources, summaries } from "../../support/services";

const secrets = {
  kubeconfig: "kubeconfig-secret",
  backupAccessKey: "access-key-secret",
  backupSecretKey: "secret-key-secret",
};

/** The outputs of the layer nodes, for nodes of these names. */
function deployed(stack: string, ...nodes: readonly string[]): ProgramOptions["stackOutputs"] {
  const reach = { vmId: 1, address: "192.0.2.1", hostKey: "ssh-ed25519 AAAA" };
  return {
    [`organization/home-cluster/${stack}`]: { nodes: Object.fromEntries(nodes.map((node) => [node, reach])) },
  };
}

async function up(file: Environment, options: ProgramOptions = {}): Promise<Recording> {
  const name = file.cluster.name;
  const given = Object.fromEntries(Object.entries(secrets).map(([key, value]) => [key, pulumi.secret(value)]));
  const stackOutputs = deployed(`${name}-nodes`, ...file.nodes.map((node) => node.name));
  return recordOn(
    await lbHome(file),
    () => services({ environment: name, layer: "services", file, secrets: given as unknown as Secrets }),
    { stackOutputs, ...options },
  );
}

const home = environment("home");
const lab = environment("lab");

/** The whole update of each, recorded once: a recording takes a good part of a second. */
const whole = new Map<Environment, Promise<Recording>>();
function update(file: Environment): Promise<Recording> {
  const recording = whole.get(file) ?? up(file);
  whole.set(file, recording);
  return recording;
}

const longhorn = [
  "longhorn-default-default-class",
  "longhorn-default-storage-ready",
  "longhorn-guard-guard",
  "longhorn-helm-release",
  "longhorn-storage-namespace",
  "longhorn-ui-auth-password",
  "longhorn-ui-auth-salt",
  "longhorn-ui-auth-secret",
  "longhorn-ui-way-ingress",
];
const metallb = [
  "metallb-namespace",
  "metallb-release",
  "metallb-webhook-ready",
  "pools-default",
  "pools-default-announcement",
];

function registered(recording: Recording): readonly string[] {
  return resources(recording).map(({ name }) => name);
}

/** What `fail` prevents: names that are registered without it and not with it. */
async function lost(file: Environment, fail: string): Promise<readonly string[]> {
  const without = registered(await up(file, { fail }));
  return registered(await update(file)).filter((name) => !without.includes(name));
}

const sorted = (...names: readonly string[]): string[] => [...names].sort((a, b) => a.localeCompare(b));

describe("stacks/services (mock runtime: does not prove that a provider accepts them)", () => {
  it("home: exactly these resources", async () => {
    const recording = await update(home);
    assert.equal(recording.error, undefined);
    assert.deepEqual(
      registered(recording),
      sorted(
        ...longhorn,
        ...metallb,
        "longhorn-jobs-backup-nightly",
        "longhorn-jobs-snapshot-hourly",
        "ingress-answers",
        "ingress-own-record",
        "ingress-own-service",
      ),
    );
  });

  it("lab: exactly these resources", async () => {
    const recording = await update(lab);
    assert.equal(recording.error, undefined);
    assert.deepEqual(
      registered(recording),
      sorted(
        ...longhorn,
        ...metallb,
        "longhorn-backup-secret",
        "longhorn-jobs-snapshot-daily",
        "longhorn-ui-way-longhorn-auth",
        "longhorn-ui-way-longhorn-https",
        "ingress-answers",
        "ingress-chart-values",
      ),
    );
  });

  it("gives each resource the one provider of its system, and makes no other", async () => {
    for (const file of [home, lab]) {
      const recording = await update(file);
      for (const { name, type, provider } of resources(recording)) {
        const expected = { command: "operations", kubernetes: "cluster", random: "random" }[type.split(":")[0] ?? ""];
        assert.equal(provider, expected, name);
      }
      const providers = recording.registrations.filter(({ type }) => type.startsWith("pulumi:providers:"));
      assert.deepEqual(sorted(...providers.map(({ name, type }) => `${name} ${type}`)), [
        "cluster pulumi:providers:kubernetes",
        "operations pulumi:providers:command",
        "random pulumi:providers:random",
      ]);
    }
  });

  for (const file of [home, lab]) {
    it(`${file.cluster.name}: registers the same in preview and update`, async () => {
      assert.deepEqual(names(await up(file, { preview: true })), names(await update(file)));
    });
  }

  it("opens the gates in this order: release, webhook, pool, announcement, record, Service, answer; the guard last", async () => {
    const found = summaries(await update(home));
    const after = (name: string) => found.find((one) => one.name === name)?.after ?? [];
    assert.deepEqual(after("metallb-release"), ["metallb-namespace"]);
    assert.deepEqual(after("metallb-webhook-ready"), ["metallb-release"]);
    assert.ok(after("pools-default").includes("metallb-webhook-ready"));
    assert.deepEqual(after("pools-default-announcement"), ["metallb-webhook-ready", "pools-default"]);
    assert.deepEqual(after("ingress-own-record"), ["pools-default", "pools-default-announcement"]);
    assert.deepEqual(after("ingress-own-service"), [
      "ingress-own-record",
      "pools-default",
      "pools-default-announcement",
    ]);
    assert.deepEqual(after("ingress-answers"), ["ingress-own-service", "ingress-own-record"].sort());
    const everything = found
      .filter(({ type, name }) => !type.startsWith("home-cluster:") && name !== "longhorn-guard-guard")
      .map(({ name }) => name);
    assert.deepEqual(
      everything.filter((name) => !after("longhorn-guard-guard").includes(name)),
      [],
    );
  });

  it("returns each output by itself: a secret password does not hide the others", async () => {
    const { outputs } = await update(home);
    assert.ok(isSecret(outputs.longhornPassword));
    assert.deepEqual(outputs, {
      storageClass: "longhorn",
      ingressAddress: "192.168.40.5",
      longhornUrl: "https://longhorn.home.example.org",
      longhornPassword: outputs.longhornPassword,
    });
    assert.equal(outputs.longhornPassword.value, password);
  });

  it("shows no secret", async () => {
    for (const file of [home, lab]) {
      const clear = inClear(await update(file));
      for (const text of [...Object.values(secrets), password]) assert.ok(!clear.includes(text), text);
    }
  });

  it("takes the keys of the backup store from the secrets, and only for S3", async () => {
    const secretOf = async (file: Environment) =>
      resources(await update(file)).find(({ name }) => name === "longhorn-backup-secret")?.inputs as
        { data: { secret: Record<string, string> } } | undefined;
    assert.equal(await secretOf(home), undefined);
    assert.deepEqual((await secretOf(lab))?.data.secret, {
      AWS_ACCESS_KEY_ID: Buffer.from(secrets.backupAccessKey).toString("base64"),
      AWS_SECRET_ACCESS_KEY: Buffer.from(secrets.backupSecretKey).toString("base64"),
    });
  });

  it("registers nothing where a chart that the file gives by path is none, or does not know a value", async () => {
    const folder = mkdtempSync(join(tmpdir(), "chart-"));
    try {
      const file = { ...home, longhorn: { ...home.longhorn, chart: { path: folder } } };
      const none = await up(file);
      assert.deepEqual(registered(none), []);
      assert.match(none.error?.message ?? "", /longhorn\.chart\.path .*: no chart can be read there/);
      writeFileSync(join(folder, "Chart.yaml"), "name: longhorn\nversion: 1.12.1\n");
      const empty = await up(file, { preview: true });
      assert.deepEqual(registered(empty), []);
      assert.match(empty.error?.message ?? "", /does not take 10 values .*\n {4}global: no such key/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  for (const preview of [true, false]) {
    const when = preview ? "a preview" : "an update";

    it(`registers nothing before the layer nodes is up, and says so (${when})`, async () => {
      const recording = await up(home, { preview, stackOutputs: {} });
      assert.deepEqual(registered(recording), []);
      assert.match(
        recording.error?.message ?? "",
        /home-services needs the output nodes of home-nodes: deploy home-nodes first: `pulumi up -s home-nodes`/,
      );
    });

    it(`registers nothing while a node of the file is not deployed, and names it (${when})`, async () => {
      const recording = await up(home, { preview, stackOutputs: deployed("home-nodes", "debian-1", "debian-3") });
      assert.deepEqual(registered(recording), []);
      assert.match(
        recording.error?.message ?? "",
        /home-services needs debian-2 of the file: deploy home-nodes first: `pulumi up -s home-nodes`/,
      );
    });
  }

  it("without MetalLB's webhook: no pool and no ingress Service, and Longhorn all the same", async () => {
    assert.deepEqual(
      await lost(home, "metallb-webhook-ready"),
      sorted(
        "ingress-answers",
        "ingress-own-record",
        "ingress-own-service",
        "longhorn-guard-guard",
        "pools-default",
        "pools-default-announcement",
      ),
    );
  });

  it("without the announcement the Service is not touched", async () => {
    assert.deepEqual(
      await lost(home, "pools-default-announcement"),
      sorted("ingress-answers", "ingress-own-record", "ingress-own-service", "longhorn-guard-guard"),
    );
    assert.deepEqual(
      await lost(lab, "pools-default-announcement"),
      sorted("ingress-answers", "ingress-chart-values", "longhorn-guard-guard"),
    );
  });

  it("without Longhorn's storage MetalLB and the ingress go on", async () => {
    const gone = await lost(home, "longhorn-default-storage-ready");
    assert.deepEqual(
      gone.filter((name) => !name.startsWith("longhorn")),
      [],
    );
    assert.ok(gone.includes("longhorn-guard-guard"));
  });
});
