import assert from "node:assert/strict";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { VolumeCutover } from "../../../../components/volumes/volume-cutover";
import { VolumeFinalization } from "../../../../components/volumes/volume-finalization";
import type { VolumeSpec } from "../../../../environment/schema";
import { dispatch } from "../../../../operations/dispatch";
import {
  record,
  reveal,
  secret,
  type Properties,
  type Recording,
  type Registration,
} from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { inClear, summaries } from "../../../support/services";
import { newClaim, ref } from "../../../support/volumes";

const volume = environment("home").volumes.find(({ claim }) => claim === ref.claim) as VolumeSpec;
const kubeconfig = "kubeconfig-that-must-not-show";
const name = ref.claim;
const fence = "1-01234567-89ab-cdef-0123-456789abcdef";

interface Options {
  readonly preview?: boolean;
  readonly fail?: string;
  readonly change?: Partial<VolumeSpec>;
  readonly over?: boolean;
}

function answer({ name: of, inputs }: Registration, fail?: string): { outputs?: Properties } {
  if (of === fail) throw new Error("it failed");
  const answers: Record<string, object> = {
    "prepare-cutover": {},
    "quiesce-volume": { fence, supersedes: "1-earlier" },
    "conclude-cutover": { phase: "settled" },
    "switch-volume": { claim: newClaim, uid: "target-uid" },
    "resume-volume": { restored: [], left: [] },
    "probe-volume": { phase: "switched" },
    "prepare-finalize": {
      claim: newClaim,
      uid: "target-uid",
      sourceUid: "source-uid",
      nodeSelector: { "kubernetes.io/hostname": "debian-1" },
    },
    "finalize-volume": { kept: [] },
  };
  const verb = String(inputs.create).replace("operations/run ", "");
  return verb in answers ? { outputs: { stdout: secret(JSON.stringify(answers[verb])) } } : {};
}

async function run(kind: "cutover" | "finalize", options: Options = {}): Promise<Recording> {
  return record(
    () => {
      const providers = [
        new kubernetes.Provider("cluster", { kubeconfig: pulumi.secret(kubeconfig) }),
        new command.Provider("operations"),
      ];
      const args = {
        volume: { ...volume, ...options.change },
        switch: "new-claim" as const,
        name,
        environment: "home",
        scripts: "volume-migration-scripts-0123456789",
        over: options.over ?? false,
        access: pulumi.output({ kubernetes: { kubeconfig: pulumi.secret(kubeconfig) } }),
      };
      if (kind === "cutover")
        new VolumeCutover(
          `${name}-cutover`,
          { ...args, uids: { source: "source-uid", target: "target-uid" } },
          { providers },
        );
      else new VolumeFinalization(`${name}-finalize`, args, { providers });
      return {};
    },
    {
      stack: "test-volumes",
      preview: options.preview ?? false,
      answer: (registration) => answer(registration, options.fail),
    },
  );
}

const input = { environment: "home", ...ref, newClaim, switch: "new-claim", attempt: 1 };
const ours = (recording: Recording) =>
  recording.registrations.filter(({ type }) => type !== "pulumi:pulumi:Stack" && !type.startsWith("pulumi:providers:"));
const namesOf = (recording: Recording) => ours(recording).map((one) => one.name);
const commandOf = (owner: string, suffix: string, create: string, update: string, given: object, after: string[]) => ({
  name: `${owner}-${suffix}`,
  type: "command:local:Command",
  parent: owner,
  provider: "operations",
  inputs: {
    create: `operations/run ${create}`,
    update: `operations/run ${update}`,
    stdin: { secret: { version: 1, access: { kubernetes: { kubeconfig } }, input: given } },
    logging: "stderr",
    addPreviousOutputInEnv: update === "keep",
  },
  ...(after.length > 0 && { after }),
  options: { deleteBeforeReplace: true },
});
interface PodSpec {
  readonly containers: readonly {
    readonly command: readonly string[];
    readonly env: readonly { name: string; value: string }[];
    readonly volumeMounts: readonly { name: string }[];
  }[];
  readonly volumes: readonly { readonly persistentVolumeClaim?: { readonly claimName: string } }[];
  readonly nodeSelector: object;
}
function podOf(recording: Recording, of: string): PodSpec {
  const found = ours(recording).find((one) => one.name === of);
  return (found?.inputs.spec as { template: { spec: PodSpec } }).template.spec;
}
const settings = (pod: PodSpec) =>
  Object.fromEntries((pod.containers[0]?.env ?? []).map((one) => [one.name, one.value]));
const mounted = (pod: PodSpec) => pod.volumes.flatMap((one) => one.persistentVolumeClaim?.claimName ?? []);

describe("components/volumes/volume-cutover (does not prove what the engine or a real cluster does with it)", () => {
  const owner = `${name}-cutover`;
  const chain = ["prepare", "quiesce", "copy", "verify", "conclude", "switch", "resume", "probe"].map(
    (one) => `${owner}-${one}`,
  );

  it("registers exactly this, in this order, each behind the one before", async () => {
    const recording = await run("cutover");
    assert.equal(recording.error, undefined);
    assert.deepEqual(namesOf(recording), [owner, ...chain]);
    const found = summaries(recording);
    const job = "volume-final-verification-valheim-server-data";
    for (const expected of [
      commandOf(owner, "prepare", "prepare-cutover", "prepare-cutover", input, []),
      commandOf(owner, "quiesce", "quiesce-volume", "keep", input, [`${owner}-prepare`]),
      commandOf(owner, "conclude", "conclude-cutover", "keep", { ...input, job }, [`${owner}-verify`]),
      commandOf(owner, "switch", "switch-volume", "keep", input, [`${owner}-conclude`]),
      commandOf(owner, "resume", "resume-volume", "keep", input, [`${owner}-switch`]),
      commandOf(owner, "probe", "probe-volume", "keep", input, [`${owner}-resume`]),
    ])
      assert.deepEqual(
        found.find((one) => one.name === expected.name),
        expected,
      );
    for (const [suffix, title, after] of [
      ["copy", "volume-final-migration-valheim-server-data", "quiesce"],
      ["verify", job, "copy"],
    ] as const) {
      const one = found.find((other) => other.name === `${owner}-${suffix}`);
      const { metadata } = one?.inputs as { metadata: { name: string } };
      assert.equal(metadata.name, title);
      assert.equal(one?.type, "kubernetes:batch/v1:Job");
      assert.ok(one?.after?.includes(`${owner}-${after}`));
      const customTimeouts = { create: "7200s", update: "7200s", delete: "" };
      assert.deepEqual(one.options, { ignoreChanges: ["spec"], customTimeouts });
    }
  });

  it("the Jobs carry the fence, what it takes the place of, and the setting that hashes everything", async () => {
    const copy = settings(podOf(await run("cutover"), `${owner}-copy`));
    assert.deepEqual(
      {
        phase: copy.PHASE,
        fence: copy.FENCE,
        supersedes: copy.SUPERSEDES,
        source: copy.SOURCE_UID,
        target: copy.TARGET_UID,
      },
      { phase: "final", fence, supersedes: "1-earlier", source: "source-uid", target: "target-uid" },
    );
    for (const hash of ["changed", "all"] as const) {
      const verify = settings(podOf(await run("cutover", { change: { hash } }), `${owner}-verify`));
      assert.deepEqual([verify.PHASE, verify.FENCE, verify.HASH], ["final", fence, hash]);
    }
  });

  it("Jobs that come back once it is over mount no claim and run no script; before that they do", async () => {
    for (const [over, claims, script] of [
      [false, [name, newClaim], true],
      [true, [], false],
    ] as const) {
      const recording = await run("cutover", { over });
      for (const suffix of ["copy", "verify"]) {
        const pod = podOf(recording, `${owner}-${suffix}`);
        assert.deepEqual(mounted(pod), claims);
        assert.equal(/copy\.sh|verify\.py/.test(pod.containers[0]?.command.join(" ") ?? ""), script);
        assert.equal(
          pod.containers[0]?.volumeMounts.some((one) => ["old", "new"].includes(one.name)),
          script,
        );
      }
    }
  });

  for (const [index, step] of chain.entries())
    it(`what fails at ${step} keeps exactly what comes after it from being registered`, async () => {
      const recording = await run("cutover", { fail: step });
      assert.deepEqual(
        chain.filter((one) => !namesOf(recording).includes(one)),
        chain.slice(index + 1),
      );
    });

  it("a raised attempt is every step again under another name", async () => {
    const recording = await run("cutover", { change: { attempt: 2 } });
    assert.deepEqual(namesOf(recording), [owner, ...chain.map((one) => `${one}-attempt-2`)]);
  });

  it("shows no secret", async () => {
    for (const kind of ["cutover", "finalize"] as const)
      for (const preview of [false, true])
        assert.equal(inClear(await run(kind, { preview })).includes(kubeconfig), false);
  });

  it("each input and access value changed: what has stopped, switched or started something repeats its result and touches nothing", async () => {
    const commands = ours(await run("cutover")).filter(
      ({ type, inputs }) =>
        type === "command:local:Command" && String(inputs.create) !== "operations/run prepare-cutover",
    );
    assert.equal(commands.length, 5);
    for (const { inputs } of commands) {
      const request = JSON.parse(String(reveal(inputs.stdin))) as { access: object; input: Record<string, unknown> };
      const changed = [
        ...Object.keys(request.input).map((key) => ({ ...request, input: { ...request.input, [key]: "changed" } })),
        { ...request, access: { kubernetes: { kubeconfig: "rotated" } } },
      ];
      for (const other of changed) {
        const update = String(inputs.update).replace("operations/run ", "");
        const never = () => assert.fail("no client is asked for");
        assert.equal(await dispatch(update, JSON.stringify(other), never, '{"a":1}'), '{"a":1}');
      }
      assert.equal(inputs.delete, undefined);
    }
  });
});

describe("components/volumes/volume-finalization (does not prove what the engine or a real cluster does with it)", () => {
  const owner = `${name}-finalize`;

  it("registers exactly this: a look, the Job that cleans, the end", async () => {
    const recording = await run("finalize");
    assert.equal(recording.error, undefined);
    assert.deepEqual(namesOf(recording), [owner, `${owner}-prepare`, `${owner}-clean`, `${owner}-release`]);
    const found = summaries(recording);
    for (const expected of [
      commandOf(owner, "prepare", "prepare-finalize", "keep", input, []),
      commandOf(owner, "release", "finalize-volume", "finalize-volume", input, [`${owner}-clean`]),
    ])
      assert.deepEqual(
        found.find((one) => one.name === expected.name),
        expected,
      );
  });

  it("the Job mounts the workload's claim alone, on the workload's node, and nothing once it is over", async () => {
    const pod = podOf(await run("finalize"), `${owner}-clean`);
    assert.deepEqual(mounted(pod), [newClaim]);
    assert.deepEqual(pod.nodeSelector, { "kubernetes.io/hostname": "debian-1" });
    const set = settings(pod);
    assert.deepEqual([set.PHASE, set.SOURCE_UID, set.TARGET_UID], ["finalize", "source-uid", "target-uid"]);
    assert.deepEqual(mounted(podOf(await run("finalize", { over: true }), `${owner}-clean`)), []);
  });

  it("what fails keeps exactly what comes after it from being registered", async () => {
    const chain = ["prepare", "clean", "release"].map((one) => `${owner}-${one}`);
    for (const [index, step] of chain.entries()) {
      const recording = await run("finalize", { fail: step });
      assert.deepEqual(
        chain.filter((one) => !namesOf(recording).includes(one)),
        chain.slice(index + 1),
      );
    }
  });
});
