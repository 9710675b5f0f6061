import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { V1ConfigMap } from "@kubernetes/client-node";
import type { Secrets } from "../../../environment/load";
import type { Environment } from "../../../environment/schema";
import { dispatch } from "../../../operations/dispatch";
import { configMaps, pods } from "../../../operations/kinds";
import { readLedger, writeLedger, type Ledger } from "../../../operations/volumes/ledger";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { answerResource } from "../../../rehearsal/models";
import { isUnknown, record, reveal, type Recording } from "../../../rehearsal/record";
import { volumes } from "../../../stacks/volumes";
import { environment } from "../../support/environment";
import { inClear, summaries } from "../../support/services";
import { migrationHome, ref, type MigrationHome } from "../../support/volumes";

const kubeconfig = "kubeconfig-that-must-not-show";
const services = "organization/home-cluster/home-services";

interface Options {
  readonly preview?: boolean;
  readonly file?: Environment;
  /** Fails the resource of this name. */
  readonly fail?: string;
  /** Answers the reading of the ledgers instead of the operation. */
  readonly ledgers?: object;
  /** What the services layer has put out; default its class. */
  readonly outputs?: Record<string, unknown>;
}

/** Runs the layer with its own operations on the pretend home. */
async function up(at: MigrationHome, options: Options = {}): Promise<Recording> {
  const clock = at.clients.clock;
  assert.ok(clock instanceof VirtualClock);
  const { preview = false, file = environment("home"), outputs = { storageClass: "longhorn" } } = options;
  return record(
    () => {
      const secrets = { kubeconfig: pulumi.secret(kubeconfig) } as unknown as Secrets;
      return volumes({ environment: "home", layer: "volumes", file, secrets });
    },
    {
      stack: "home-volumes",
      preview,
      stackOutputs: { [services]: outputs },
      call: async (token, args) => {
        assert.equal(token, "command:local:run");
        const verb = String(args.command).replace("operations/run ", "");
        if (options.ledgers) return { stdout: JSON.stringify(options.ledgers), stderr: "" };
        return { stdout: await dispatch(verb, String(reveal(args.stdin)), () => at.clients), stderr: "" };
      },
      answer: async (registration) => {
        if (registration.name === options.fail) throw new Error("it failed");
        return preview ? {} : answerResource(registration, at.home, clock, at.clients);
      },
    },
  );
}

const names = (recording: Recording) => summaries(recording).map(({ name }) => name);
const home = environment("home");
const steps = (volume: string) => [
  volume,
  ...["prepare", "claim", "copy", "observe", "verify", "conclude"].map((step) => `${volume}-${step}`),
];
const all = home.volumes.map(({ claim }) => claim);
const ofVolumes = (recording: Recording) =>
  names(recording).filter((name) => all.some((claim) => name.startsWith(claim)));

describe("stacks/volumes (does not prove that one provider takes over what exists, nor what a real Job copies)", () => {
  let at: MigrationHome;
  beforeEach(async () => {
    at = await migrationHome();
  });

  it("registers a namespace for the ledgers, the scripts, and seven resources a volume, with one provider a system", async () => {
    const recording = await up(at);
    assert.equal(recording.error, undefined);
    assert.deepEqual([...recording.failed], []);
    const others = names(recording).filter((name) => !ofVolumes(recording).includes(name));
    assert.deepEqual(
      others.map((name) => name.replace(/-[0-9a-f]{10}$/, "")).sort(),
      ["ledgers", "scripts", ...home.volumes.map(({ namespace }) => `scripts-${namespace}`)].sort(),
    );
    assert.deepEqual(ofVolumes(recording).sort(), all.flatMap(steps).sort());
    for (const { name, type, provider } of summaries(recording)) {
      const system = type.startsWith("kubernetes:") ? "cluster" : type.startsWith("command:") ? "operations" : "";
      assert.equal(provider, system, name);
    }
    const providers = recording.registrations.filter(({ type }) => type.startsWith("pulumi:providers:"));
    assert.deepEqual(providers.map(({ name, type }) => [name, type]).sort(), [
      ["cluster", "pulumi:providers:kubernetes"],
      ["operations", "pulumi:providers:command"],
    ]);
    assert.equal(providers.find(({ name }) => name === "cluster")?.inputs.upsertExistingObjects, "true");
  });

  it("keeps the ledgers when it leaves, and lets no pod in beside them that could do anything", async () => {
    const ledgers = summaries(await up(at)).find(({ name }) => name === "ledgers");
    const labels = {
      "pod-security.kubernetes.io/enforce": "restricted",
      "pod-security.kubernetes.io/audit": "restricted",
      "pod-security.kubernetes.io/warn": "restricted",
    };
    assert.deepEqual(ledgers, {
      name: "ledgers",
      type: "kubernetes:core/v1:Namespace",
      parent: ledgers?.parent,
      provider: "cluster",
      inputs: { apiVersion: "v1", kind: "Namespace", metadata: { name: "home-cluster", labels } },
      options: { retainOnDelete: true },
    });
  });

  it("registers the same in preview and update", async () => {
    const preview = await up(at, { preview: true });
    assert.equal(preview.error, undefined);
    const shape = (recording: Recording) =>
      summaries(recording).map(({ name, type, parent, provider, after, options }) => ({
        name,
        type,
        parent,
        provider,
        after,
        options,
      }));
    assert.deepEqual(shape(preview), shape(await up(at)));
  });

  it("puts out each volume's new claim and its ledger as it is after the update, and no secret in clear", async () => {
    const recording = await up(at);
    const expected = Object.fromEntries(all.map((claim) => [claim, { claim: `${claim}-longhorn`, ledger: "warm" }]));
    assert.deepEqual(recording.outputs, { volumes: expected });
    assert.equal(inClear(recording).includes(kubeconfig), false);
  });

  it("in a preview of the first update only the ledgers are unknown, in later ones nothing is made up", async () => {
    const { volumes: found } = (await up(at, { preview: true })).outputs as {
      volumes: Record<string, { claim: string; ledger: unknown }>;
    };
    assert.deepEqual(Object.keys(found).sort(), [...all].sort());
    for (const [name, { claim, ledger }] of Object.entries(found)) {
      assert.equal(claim, `${name}-longhorn`);
      assert.equal(isUnknown(ledger), true);
    }
  });

  it("a volume that nobody uses is verified, the others are warm", async () => {
    await at.clients.kubernetes.remove(pods, "grafana-data-0", "monitoring");
    const { outputs } = await up(at);
    const ledgers = Object.entries((outputs as { volumes: Record<string, { ledger: string }> }).volumes);
    assert.deepEqual(
      ledgers.filter(([, { ledger }]) => ledger === "verified").map(([name]) => name),
      ["grafana-data"],
    );
    assert.equal(ledgers.filter(([, { ledger }]) => ledger === "warm").length, 4);
  });

  it("two volumes whose claims have one name are told apart by their namespaces", async () => {
    const file = environment("home", (raw) => {
      raw.volumes?.push({ namespace: "media", claim: "grafana-data", oldSize: "2Gi", size: "5Gi" });
    });
    const recording = await up(at, { preview: true, file });
    const components = summaries(recording).filter(({ type }) => type === "home-cluster:volumes:VolumeMigration");
    assert.deepEqual(components.map(({ name }) => name).sort(), [
      "home-assistant-config",
      "jellyfin-config",
      "media-grafana-data",
      "monitoring-grafana-data",
      "nextcloud-data",
      "valheim-server-data",
    ]);
  });

  it("an environment without volumes is an empty layer", async () => {
    const recording = await up(at, { file: environment("home", (raw) => (raw.volumes = [])) });
    assert.equal(recording.error, undefined);
    assert.deepEqual(names(recording), ["ledgers", "scripts"]);
    assert.deepEqual(recording.outputs, { volumes: {} });
  });

  describe("nodes without Longhorn", () => {
    /** What the program does at a stage whose operations are not there yet. */
    const past = (claim: string): Environment => ({
      ...home,
      volumes: home.volumes.map((volume) =>
        volume.claim === claim ? Object.assign({}, volume, { stage: "cutover" }) : volume,
      ),
    });
    const closing = (recording: Recording) =>
      summaries(recording).filter(({ name }) => name.startsWith("nodes-without-longhorn"));

    it("are left alone while every volume is only copied", async () => assert.deepEqual(closing(await up(at)), []));

    it("are cordoned before anything of a volume that is past its copy, and no other volume waits for that", async () => {
      const recording = await up(at, { preview: true, file: past(ref.claim), ledgers: { volumes: [] } });
      assert.equal(recording.error, undefined);
      const [component, cordon, ...more] = closing(recording);
      assert.deepEqual(
        [component?.type, cordon?.name, cordon?.provider, cordon?.after, more],
        ["home-cluster:volumes:NodesWithoutLonghorn", "nodes-without-longhorn-cordon", "operations", ["ledgers"], []],
      );
      const waiting = summaries(recording).filter(({ after = [] }) => after.includes("nodes-without-longhorn-cordon"));
      assert.deepEqual(
        waiting.map(({ name }) => name),
        [ref.claim, `${ref.claim}-prepare`],
      );
    });
  });

  describe("gates", () => {
    it("volumes move side by side: what fails in one keeps back only its own rest", async () => {
      const recording = await up(at, { fail: "nextcloud-data-copy" });
      const missing = all.flatMap(steps).filter((name) => !names(recording).includes(name));
      assert.deepEqual(missing, ["nextcloud-data-observe", "nextcloud-data-verify", "nextcloud-data-conclude"]);
      assert.equal((await readLedger(at.clients.kubernetes, ref))?.phase, "warm");
      assert.equal(
        (await readLedger(at.clients.kubernetes, { namespace: "cloud", claim: "nextcloud-data" }))?.phase,
        "prepared",
      );
    });

    it("no volume waits for another one's resources", async () => {
      for (const { name, after = [] } of summaries(await up(at))) {
        const own = all.find((claim) => name.startsWith(claim));
        const foreign = after.filter((other) => all.some((claim) => claim !== own && other.startsWith(claim)));
        if (own !== undefined) assert.deepEqual(foreign, [], name);
      }
    });

    for (const preview of [true, false]) {
      const when = preview ? "a preview" : "an update";
      it(`without the services layer nothing of a volume is made, in ${when}`, async () => {
        const recording = await up(at, { preview, outputs: {} });
        assert.match(recording.error?.message ?? "", /deploy home-services first: `pulumi up -s home-services`/);
        const custom = ofVolumes(recording).filter((name) => !all.includes(name));
        assert.deepEqual(custom, []);
      });

      it(`a ledger that disagrees with the file's stage: nothing of any volume is registered, in ${when}`, async () => {
        await up(at);
        await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), phase: "switched" }));
        const before = JSON.stringify(at.home.kubernetes.objects);
        const recording = await up(at, { preview });
        assert.match(
          recording.error?.message ?? "",
          /volume games\/valheim-server-data: the ledger says switched.*`npm run rollback -- home games\/valheim-server-data`/s,
        );
        assert.deepEqual(ofVolumes(recording), []);
        assert.deepEqual(
          names(recording).filter((name) => name.startsWith("scripts")),
          [],
        );
        if (preview) assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
      });
    }

    it("a broken ledger stops the run as well", async () => {
      await at.clients.kubernetes.create<V1ConfigMap>({
        apiVersion: configMaps.apiVersion,
        kind: configMaps.kind,
        metadata: { name: "volume-games-valheim-server-data", namespace: "home-cluster" },
      });
      const recording = await up(at, { preview: true });
      assert.match(recording.error?.message ?? "", /refused, and left as it is/);
      assert.deepEqual(ofVolumes(recording), []);
    });
  });
});
