import assert from "node:assert/strict";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { VolumeMigration } from "../../../../components/volumes/volume-migration";
import type { VolumeSpec } from "../../../../environment/schema";
import { dispatch } from "../../../../operations/dispatch";
import { readLedger } from "../../../../operations/volumes/ledger";
import {
  isUnknown,
  record,
  reveal,
  secret,
  type Properties,
  type Recording,
  type Registration,
} from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { inClear, summaries } from "../../../support/services";
import { cluster, migrationHome, newClaim, ref } from "../../../support/volumes";

const home = environment("home");
const volume = home.volumes.find(({ claim }) => claim === ref.claim) as VolumeSpec;
const kubeconfig = "kubeconfig-that-must-not-show";
const name = ref.claim;

interface Options {
  readonly preview?: boolean;
  readonly fail?: string;
  readonly change?: Partial<VolumeSpec>;
  readonly over?: boolean;
  readonly storageClass?: () => pulumi.Input<string>;
  readonly dependsOn?: () => pulumi.Input<pulumi.Input<pulumi.Resource>[]>;
  readonly result?: (outputs: unknown) => void;
}

async function run(options: Options = {}): Promise<Recording> {
  return record(
    () => {
      const providers = [
        new kubernetes.Provider("cluster", { kubeconfig: pulumi.secret(kubeconfig) }),
        new command.Provider("operations"),
      ];
      const migration = new VolumeMigration(
        name,
        {
          volume: { ...volume, ...options.change },
          oldStorageClass: "nfs-client",
          storageClass: options.storageClass?.() ?? "longhorn",
          scripts: "volume-migration-scripts-0123456789",
          over: options.over ?? false,
          environment: "home",
          access: pulumi.output({ kubernetes: { kubeconfig: pulumi.secret(kubeconfig) } }),
        },
        { providers, ...(options.dependsOn && { dependsOn: options.dependsOn() }) },
      );
      return { claim: migration.claim };
    },
    {
      stack: "test-volumes",
      preview: options.preview ?? false,
      answer: (registration) => answer(registration, options.fail),
    },
  );
}

function answer(registration: Registration, fail?: string): { outputs?: Properties } {
  if (registration.name === fail) throw new Error("it failed");
  if (registration.type === "kubernetes:core/v1:PersistentVolumeClaim") {
    return { outputs: { metadata: { ...(registration.inputs.metadata as object), uid: "target-uid" } } };
  }
  const answers: Record<string, object> = {
    "prepare-volume": { sourceUid: "source-uid" },
    "observe-consumers": { consumers: [] },
    "conclude-copy": { phase: "warm" },
  };
  const verb = String(registration.inputs.create).replace("operations/run ", "");
  return verb in answers ? { outputs: { stdout: secret(JSON.stringify(answers[verb])) } } : {};
}

const ours = (recording: Recording) =>
  recording.registrations.filter(({ type }) => type !== "pulumi:pulumi:Stack" && !type.startsWith("pulumi:providers:"));
const namesOf = (recording: Recording) => ours(recording).map((registration) => registration.name);
function called(recording: Recording, wanted: string): Registration {
  const found = ours(recording).find((registration) => registration.name === wanted && registration.custom);
  assert.ok(found, wanted);
  return found;
}
const request = (registration: Registration) =>
  JSON.parse(String(reveal(registration.inputs.stdin))) as { access: object; input: Record<string, unknown> };

const chain = ["prepare", "claim", "copy", "observe", "verify", "conclude"].map((suffix) => `${name}-${suffix}`);
const look = { ...ref, newClaim, attempt: 1 };

describe("components/volumes/volume-migration (does not prove that the engine retains a claim, nor that the provider awaits a Job)", () => {
  it("registers exactly this, in this order", async () => {
    const recording = await run();
    assert.equal(recording.error, undefined);
    assert.deepEqual(namesOf(recording), [name, ...chain]);
    assert.deepEqual(recording.outputs, { claim: newClaim });
    const timeouts = { create: "7200s", update: "7200s", delete: "" };
    const commandOf = (suffix: string, create: string, update: string, input: object, after: string[]) => ({
      name: `${name}-${suffix}`,
      type: "command:local:Command",
      parent: name,
      provider: "operations",
      inputs: {
        create: `operations/run ${create}`,
        update: `operations/run ${update}`,
        stdin: { secret: { version: 1, access: { kubernetes: { kubeconfig } }, input } },
        logging: "stderr",
        addPreviousOutputInEnv: update === "keep",
      },
      ...(after.length > 0 && { after }),
      options: { deleteBeforeReplace: true },
    });
    const expected = [
      commandOf(
        "prepare",
        "prepare-volume",
        "prepare-volume",
        {
          ...ref,
          newClaim,
          accessMode: "ReadWriteOnce",
          stage: "copy",
          environment: "home",
          attempt: 1,
          oldStorageClass: "nfs-client",
          storageClass: "longhorn",
          oldSize: "10Gi",
        },
        [],
      ),
      {
        name: `${name}-claim`,
        type: "kubernetes:core/v1:PersistentVolumeClaim",
        parent: name,
        provider: "cluster",
        inputs: {
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          metadata: {
            name: newClaim,
            namespace: "games",
            labels: {
              "app.kubernetes.io/managed-by": "home-cluster",
              "app.kubernetes.io/part-of": "volume-migration",
            },
            annotations: {
              "home-cluster/volume": "games/valheim-server-data",
              "pulumi.com/waitFor": "jsonpath={.status.phase}=Bound",
            },
          },
          spec: {
            accessModes: ["ReadWriteOnce"],
            storageClassName: "longhorn",
            resources: { requests: { storage: "20Gi" } },
          },
        },
        after: [`${name}-prepare`],
        options: { retainOnDelete: true, customTimeouts: { create: "15m", update: "15m", delete: "" } },
      },
      commandOf("observe", "observe-consumers", "keep", look, [`${name}-copy`]),
      commandOf("conclude", "conclude-copy", "keep", { ...look, job: "volume-verification-valheim-server-data" }, [
        `${name}-verify`,
      ]),
    ];
    const found = summaries(recording);
    for (const one of expected)
      assert.deepEqual(
        found.find(({ name: other }) => other === one.name),
        one,
      );
    for (const [suffix, kind, after] of [
      ["copy", "migration", [`${name}-claim`, `${name}-prepare`]],
      ["verify", "verification", [`${name}-claim`, `${name}-observe`, `${name}-prepare`]],
    ] as const) {
      const job = found.find(({ name: other }) => other === `${name}-${suffix}`);
      // The spec itself stands in migration-job.test.ts; here, that it is this volume's.
      const { metadata, ...rest } = job?.inputs as { metadata: { name: string }; spec: unknown };
      assert.deepEqual(
        { ...job, inputs: undefined },
        {
          name: `${name}-${suffix}`,
          type: "kubernetes:batch/v1:Job",
          parent: name,
          provider: "cluster",
          inputs: undefined,
          after,
          options: { ignoreChanges: ["spec"], customTimeouts: timeouts },
        },
      );
      assert.equal(metadata.name, `volume-${kind}-valheim-server-data`);
      const text = JSON.stringify(rest.spec);
      assert.match(text, /"name":"volume-migration-scripts-0123456789"/);
      assert.match(text, /"claimName":"valheim-server-data","readOnly":true/);
      assert.match(text, /"claimName":"valheim-server-data-longhorn"\}/);
      if (suffix === "copy")
        assert.match(text, /"SOURCE_UID","value":"source-uid"\},\{"name":"TARGET_UID","value":"target-uid"/);
    }
  });

  it("a preview registers the same, with what only an update can know unknown", async () => {
    const [update, preview] = [await run(), await run({ preview: true })];
    assert.equal(preview.error, undefined);
    const shape = (recording: Recording) =>
      summaries(recording).map(({ name: of, type, parent, provider, after, options }) => ({
        of,
        type,
        parent,
        provider,
        after,
        options,
      }));
    assert.deepEqual(shape(preview), shape(update));
    const spec = called(preview, `${name}-copy`).inputs.spec as {
      template: { spec: { containers: { env: { name: string; value: unknown }[] }[] } };
    };
    const values = new Map(spec.template.spec.containers[0]?.env.map((entry) => [entry.name, entry.value]));
    assert.equal(isUnknown(values.get("SOURCE_UID")), true);
    assert.equal(isUnknown(values.get("TARGET_UID")), true);
  });

  it("shows no secret", async () => {
    for (const preview of [false, true]) assert.equal(inClear(await run({ preview })).includes(kubeconfig), false);
  });

  it("is called as the file says where it says so", async () => {
    const recording = await run({ change: { newClaim: "world" } });
    assert.equal((called(recording, `${name}-claim`).inputs.metadata as { name: string }).name, "world");
    assert.equal(request(called(recording, `${name}-conclude`)).input.newClaim, "world");
  });

  describe("gates: what fails keeps exactly what comes after it from being registered", () => {
    for (const [index, step] of chain.entries()) {
      it(step, async () => {
        const recording = await run({ fail: step });
        assert.deepEqual(
          [...recording.failed.keys()].map((urn) => urn.split("::").at(-1)),
          [step],
        );
        const missing = chain.filter((other) => !namesOf(recording).includes(other));
        assert.deepEqual(missing, chain.slice(index + 1));
      });
    }
    it("storage that is not ready", async () => {
      const recording = await run({
        storageClass: () => pulumi.output(Promise.reject(new Error("deploy home-services first"))),
      });
      assert.match(recording.error?.message ?? "", /deploy home-services first/);
      assert.deepEqual(
        ours(recording).filter(({ custom }) => custom),
        [],
      );
    });
    it("what the component depends on: not even the component", async () => {
      const recording = await run({
        dependsOn: () => pulumi.output(Promise.reject(new Error("the ledger disagrees"))),
      });
      assert.match(recording.error?.message ?? "", /the ledger disagrees/);
      assert.deepEqual(namesOf(recording), []);
    });
    it("a resource that the component depends on is recorded with the first of its children", async () => {
      const recording = await run({
        dependsOn: () => [
          new kubernetes.core.v1.Namespace("ledgers", {}, { provider: new kubernetes.Provider("other") }),
        ],
      });
      assert.deepEqual(summaries(recording).find(({ name: of }) => of === `${name}-prepare`)?.after, ["ledgers"]);
    });
  });

  describe("nothing runs again by itself", () => {
    it("a Job's whole spec is ignored for changes, so that a bumped image or setting replaces none", async () => {
      const [before, after] = [await run(), await run({ change: { oldSize: "11Gi", size: "30Gi" } })];
      for (const job of [`${name}-copy`, `${name}-verify`]) {
        const [one, other] = [called(before, job), called(after, job)];
        assert.notDeepEqual(other.inputs.spec, one.inputs.spec);
        assert.deepEqual(other.options.ignoreChanges, ["spec"]);
        assert.deepEqual({ ...other.inputs, spec: 0 }, { ...one.inputs, spec: 0 });
      }
    });

    it("no Job cleans itself up, and none is replaced for not being ready", async () => {
      const text = JSON.stringify(ours(await run()).filter(({ type }) => type === "kubernetes:batch/v1:Job"));
      assert.equal(text.includes("ttlSecondsAfterFinished"), false);
      assert.equal(text.includes("replaceUnready"), false);
      assert.equal(text.includes("podFailurePolicy"), false);
    });

    it("a raised attempt is another copy, look, verification and verdict; preflight and claim stay", async () => {
      const recording = await run({ change: { attempt: 2 } });
      assert.deepEqual(namesOf(recording), [
        name,
        `${name}-prepare`,
        `${name}-claim`,
        `${name}-copy-attempt-2`,
        `${name}-observe-attempt-2`,
        `${name}-verify-attempt-2`,
        `${name}-conclude-attempt-2`,
      ]);
      assert.equal(
        (called(recording, `${name}-copy-attempt-2`).inputs.metadata as { name: string }).name,
        "volume-migration-valheim-server-data-attempt-2",
      );
      assert.equal(
        request(called(recording, `${name}-conclude-attempt-2`)).input.job,
        "volume-verification-valheim-server-data-attempt-2",
      );
    });

    describe("each input and access value changed: the update looks at nothing and repeats the result", () => {
      for (const step of ["observe", "conclude"]) {
        it(step, async () => {
          const registration = called(await run(), `${name}-${step}`);
          const { access, input } = request(registration);
          const update = String(registration.inputs.update).replace("operations/run ", "");
          const changed = [
            ...Object.keys(input).map((key) => ({ version: 1, access, input: { ...input, [key]: "changed" } })),
            { version: 1, access: { kubernetes: { kubeconfig: "rotated" } }, input },
          ];
          assert.ok(changed.length >= 5);
          for (const other of changed) {
            const never = () => assert.fail("no client is asked for");
            assert.equal(await dispatch(update, JSON.stringify(other), never, '{"phase":"warm"}'), '{"phase":"warm"}');
          }
        });
      }
      it("prepare: a rotated kubeconfig looks again and changes nothing (its inputs: prepare-volume.test.ts)", async () => {
        const at = await migrationHome();
        const registration = called(await run(), `${name}-prepare`);
        const verb = (property: "create" | "update") =>
          String(registration.inputs[property]).replace("operations/run ", "");
        const text = String(reveal(registration.inputs.stdin));
        const first = await dispatch(verb("create"), text, () => at.clients);
        const [ledger, rest] = [await readLedger(at.clients.kubernetes, ref), cluster(at.home)];
        assert.equal(await dispatch(verb("update"), text.replace(kubeconfig, "rotated"), () => at.clients), first);
        assert.deepEqual(await readLedger(at.clients.kubernetes, ref), ledger);
        assert.equal(cluster(at.home), rest);
      });
      it("none has anything to do when it is deleted", async () => {
        const commands = ours(await run()).filter(({ type }) => type === "command:local:Command");
        assert.deepEqual(
          commands.map(({ inputs }) => inputs.delete),
          [undefined, undefined, undefined],
        );
      });
    });
  });
});
